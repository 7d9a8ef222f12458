"""Between what napari shows and plane pixels; no window needed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Points

from napari_anysam._napari.appearance import Look, conditioning_of
from napari_anysam._napari.coordinates import (
    PlaneFrame,
    box_from_corners,
    corners_from_box,
    current_frame,
    layer_map,
    show_plane,
)
from napari_anysam._napari.pixels import plane_source, stack_of
from napari_anysam._napari.prompt_layers import PromptLayers, copy_transform, same_prompt
from napari_anysam.errors import ImageError
from napari_anysam.images.axis_view import AxisView
from napari_anysam.segmentation.prompts import Prompt

SHAPE = (3, 4, 5, 6)

scales = st.tuples(*[st.floats(0.05, 20) for _ in SHAPE])
shifts = st.tuples(*[st.floats(-500, 500) for _ in SHAPE])
orders = st.permutations(range(4)).map(tuple)
indices = st.tuples(*[st.integers(0, length - 1) for length in SHAPE])


def given(*arguments, **named):
    """Few examples without a deadline: napari layers take milliseconds to make."""

    def decorate(test):
        return settings(max_examples=8, deadline=None)(given_any(*arguments, **named)(test))

    return decorate


def viewer_of(image):
    viewer = ViewerModel()
    viewer.add_layer(image)
    return viewer


def look_of(image):
    return Look((image,), conditioning_of(image))


def stand_at(viewer, image, index):
    world = image.data_to_world(index)
    for axis in viewer.dims.not_displayed:
        viewer.dims.set_point(axis, world[axis])


@given(scale=scales, shift=shifts, order=orders, index=indices)
def test_the_frame_is_the_plane_under_the_sliders(scale, shift, order, index):
    image = Image(np.zeros(SHAPE), scale=scale, translate=shift)
    viewer = viewer_of(image)
    viewer.dims.order = order
    stand_at(viewer, image, index)
    frame = current_frame(viewer.dims, image)
    assert frame.order[-2:] == order[-2:]
    assert frame.index == tuple(index[axis] for axis in frame.order[:-2])
    assert frame.plane_shape == tuple(SHAPE[axis] for axis in order[-2:])


@given(order=orders, index=indices)
def test_plane_numbers_and_pixels_go_there_and_back(order, index):
    order = (*sorted(order[:2]), *order[2:])
    frame = PlaneFrame(
        order,
        tuple(index[axis] for axis in order[:2]),
        tuple(SHAPE[axis] for axis in order),
    )
    pixels = np.array([(0.25, 3.5), (2, 1)])
    numbers, found = frame.locate(frame.coordinates(pixels))
    assert (numbers == frame.number).all()
    assert np.allclose(found, pixels)
    assert frame.numbered(frame.number) == frame


def test_points_beyond_the_stack_lie_on_no_plane():
    frame = PlaneFrame((0, 1, 2), (1,), (3, 8, 8))
    numbers, _ = frame.locate(np.array([(-1.0, 2, 2), (3.0, 2, 2), (2.4, 2, 2)]))
    assert numbers.tolist() == [-1, -1, 2]


@given(scale=scales, shift=shifts, angle=st.floats(-80, 80), other=scales)
def test_a_layer_map_agrees_with_the_world(scale, shift, angle, other):
    rotation = np.eye(4)
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    rotation[2:, 2:] = [[cosine, -sine], [sine, cosine]]
    image = Image(np.zeros(SHAPE), scale=scale, translate=shift, rotate=rotation)
    points = Points(ndim=4, scale=other)
    data = np.array([1.5, 2.0, 3.0, 0.5])
    expected = image.world_to_data(points.data_to_world(data))
    assert np.allclose(layer_map(points, image)(data), expected, atol=1e-6)


def test_units_are_converted():
    image = Image(np.zeros((4, 5, 6)), scale=(2, 1, 1), units=("um", "um", "um"))
    points = Points([(4000, 3000, 2000)], units=("nm", "nm", "nm"))
    assert np.allclose(layer_map(points, image)(points.data), [(2, 3, 2)])
    viewer = viewer_of(image)
    viewer.add_layer(Image(np.zeros((4, 5, 6)), scale=(2000, 1, 1), units=("nm", "nm", "nm")))
    frame = PlaneFrame((0, 1, 2), (3,), (4, 5, 6))
    show_plane(viewer.dims, image, frame)
    assert current_frame(viewer.dims, image).index == (3,)


@given(
    st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(1, 50), st.floats(1, 50)),
)
def test_boxes_go_to_corners_and_back(box):
    y0, x0, height, width = box
    edges = (y0, x0, y0 + height, x0 + width)
    assert np.allclose(box_from_corners(corners_from_box(edges)), edges)


def test_a_rectangle_over_rows_3_to_5_is_half_open():
    assert box_from_corners([(2.5, 1.5), (5.5, 4.5)]) == (3, 2, 6, 5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda viewer: setattr(viewer.dims, "ndisplay", 3), "2D view"),
        (lambda viewer: viewer.dims.set_point(0, 40), "slider stands outside"),
    ],
)
def test_what_is_no_plane_is_refused_with_a_remedy(change, words):
    image = Image(np.zeros((4, 8, 8)), name="cells")
    viewer = viewer_of(image)
    viewer.add_layer(Image(np.zeros((60, 8, 8))))
    change(viewer)
    with pytest.raises(ImageError, match=words):
        current_frame(viewer.dims, image)


@pytest.mark.filterwarnings("ignore:Non-orthogonal")
def test_a_transform_across_the_sliders_is_refused_but_one_in_the_plane_is_not():
    tilted = Image(np.zeros((4, 8, 8)), rotate=(0, 20, 0), name="tilted")
    with pytest.raises(ImageError, match="rotated or sheared across"):
        current_frame(viewer_of(tilted).dims, tilted)
    turned = Image(np.zeros((8, 8)), rotate=20)
    assert current_frame(viewer_of(turned).dims, turned).plane_shape == (8, 8)


@given(order=orders, index=indices)
def test_planes_and_stacks_are_read_as_they_are_shown(order, index):
    data = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    order = (*sorted(order[:2]), *order[2:])
    frame = PlaneFrame(
        order,
        tuple(index[axis] for axis in order[:2]),
        tuple(SHAPE[axis] for axis in order),
    )
    image = Image(data, contrast_limits=(0, 360))
    shown = data.transpose(order)[frame.index]
    assert np.array_equal(plane_source(look_of(image), frame, 0).planes.read(0), shown)
    planes = stack_of(look_of(image), frame, order[1])
    assert np.array_equal(planes.read(frame.index[1]), shown)
    assert planes.count == SHAPE[order[1]]


def test_rgba_is_read_as_rgb_and_shown_as_it_is():
    data = np.random.default_rng(0).integers(0, 255, (3, 5, 6, 4), dtype=np.uint8)
    image = Image(data, rgb=True)
    frame = PlaneFrame((0, 1, 2), (2,), (3, 5, 6))
    assert np.array_equal(plane_source(look_of(image), frame, 0).read(), data[2, ..., :3])
    floats = Image(data[0, ..., :3] / 255.0, rgb=True)
    flat = PlaneFrame((0, 1), (), (5, 6))
    assert np.array_equal(plane_source(look_of(floats), flat, 0).read(), data[0, ..., :3])


def test_the_contrast_that_is_seen_is_part_of_the_key():
    image = Image(np.zeros((8, 8)), contrast_limits=(0, 10))
    frame = PlaneFrame((0, 1), (), (8, 8))
    before = plane_source(look_of(image), frame, "pixels").key
    image.gamma = 0.5
    image.contrast_limits = (0, 5)
    assert conditioning_of(image).windows == ((0.0, 5.0),)
    assert plane_source(look_of(image), frame, "pixels").key != before
    assert plane_source(look_of(image), frame, "other pixels").key != before


def test_a_view_reads_only_what_is_asked_for():
    class Watched:
        shape, ndim, dtype = (9, 8, 7), 3, np.dtype("u1")
        asked: tuple = ()

        def __getitem__(self, key):
            self.asked = key
            return np.zeros(self.shape, self.dtype)[key]

    array = Watched()
    view = AxisView(array, (2, 1), {0: 4})
    assert view[slice(0, 2), slice(None)].shape == (2, 8)
    assert array.asked == (4, slice(None), slice(0, 2))


@given(scale=scales, shift=shifts, order=orders, index=indices)
def test_prompts_survive_the_layers(scale, shift, order, index):
    image = Image(np.zeros(SHAPE), scale=scale, translate=shift)
    viewer = viewer_of(image)
    viewer.dims.order = order
    stand_at(viewer, image, index)
    frame = current_frame(viewer.dims, image)
    layers = PromptLayers(viewer, image)
    key = (4, frame.number)
    prompt = Prompt(4, frame.number, [(1, 2), (0.5, 1)], [True, False], (0.5, 0.25, 2.5, 2.75))
    layers.replace((9, 0), Prompt(9, 0, [(1, 1)]), frame)
    layers.replace(key, prompt, frame)
    layers.replace(key, prompt, frame)
    found = layers.collect(frame)
    assert set(found) == {key, (9, 0)}
    assert same_prompt(found[key], prompt)
    layers.replace(key, None, frame)
    assert set(layers.collect(frame)) == {(9, 0)}


def test_prompt_layers_are_found_again_and_keep_the_images_transform():
    image = Image(np.zeros((4, 8, 8)), scale=(3, 2, 2), translate=(1, 2, 3), rotate=(0, 0, 10))
    viewer = viewer_of(image)
    first = PromptLayers(viewer, image)
    points, shapes = first.ensure()
    again = PromptLayers(viewer, image)
    assert again.points is points
    assert again.shapes is shapes
    assert np.allclose(points.data_to_world((1, 2, 3)), image.data_to_world((1, 2, 3)))
    image.scale = (1, 1, 1)
    copy_transform(image, points)
    assert np.allclose(points.scale, 1)
