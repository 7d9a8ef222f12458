"""A click gives the pixel that is seen under it, on every kind of layer."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from gui_scenes import drifting_disc
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Labels
from windowless import Work

from napari_anysam._napari.appearance import Look, conditioning_of
from napari_anysam._napari.coordinates import current_frame, layer_map, show_plane
from napari_anysam._napari.label_target import LabelTarget
from napari_anysam._napari.pixels import plane_source, stack_of
from napari_anysam._napari.prompt_layers import PromptLayers, make_labels
from napari_anysam._napari.status import Stage
from napari_anysam._napari.voxel_grid import VoxelGrid
from napari_anysam._napari.workspace import Workspace
from napari_anysam.errors import ImageError
from napari_anysam.segmentation.windows import tight_window

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal")

SHAPE = (2, 3, 4, 5)
DATA = np.arange(120, dtype=np.int32).reshape(SHAPE)
UNITS = ("pm", "nm", "um", "mm")


def viewer_of(image):
    viewer = ViewerModel()
    viewer.add_layer(image)
    return viewer


def pixel_seen(viewer, image, world):
    """Return the pixel that a network gets for a place in the world, as a click is handled."""
    frame = current_frame(viewer.dims, image)
    points, _ = PromptLayers(viewer, image).ensure()
    points.data = [points.world_to_data(world)]
    numbers, pixels = frame.locate(layer_map(points, image)(points.data))
    assert numbers[0] == (0 if frame.number is None else frame.number)
    row, column = np.round(pixels[0]).astype(int)
    look = Look((image,), conditioning_of(image))
    return plane_source(look, frame, 0).planes.read(0)[row, column]


def stand_at(viewer, world):
    for axis in viewer.dims.not_displayed:
        viewer.dims.set_point(axis, world[axis])


@st.composite
def unmixed_transforms(draw, displayed):
    """Scales and flips of every axis; rotation and shear among the displayed ones."""
    ndim = len(SHAPE)
    sizes = st.floats(0.05, 20)
    linear = np.diag([draw(sizes) * draw(st.sampled_from([1, -1])) for _ in range(ndim)])
    angle, shear = np.radians(draw(st.floats(-180, 180))), draw(st.floats(-0.8, 0.8))
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]]) @ [[1, shear], [0, 1]]
    inside = np.ix_(displayed, displayed)
    linear[inside] = turn @ linear[inside]
    shift = [draw(st.floats(-500, 500)) for _ in range(ndim)]
    affine = np.eye(ndim + 1)
    affine[:-1, :-1], affine[:-1, -1] = linear, shift
    return affine


@given(data=st.data(), order=st.permutations(range(4)), unit=st.sampled_from(UNITS))
@settings(max_examples=15, deadline=None)
def test_a_click_gives_the_pixel_under_it(data, order, unit):
    affine = data.draw(unmixed_transforms(order[-2:]))
    index = data.draw(st.tuples(*[st.integers(0, length - 1) for length in SHAPE]))
    off = np.array(data.draw(st.tuples(*[st.floats(-0.4, 0.4)] * 2)))
    image = Image(DATA, affine=affine, units=(unit,) * 4)
    viewer = viewer_of(image)
    viewer.dims.order = tuple(order)
    stand_at(viewer, image.data_to_world(index))
    place = np.array(index, dtype=float)
    place[list(order[-2:])] += off
    assert pixel_seen(viewer, image, image.data_to_world(place)) == DATA[index]


@given(data=st.data(), order=st.permutations(range(4)), one=st.sampled_from(UNITS))
@settings(max_examples=15, deadline=None)
def test_places_go_to_the_plane_and_back(data, order, one):
    affine = data.draw(unmixed_transforms(order[-2:]))
    index = data.draw(st.tuples(*[st.integers(0, length - 1) for length in SHAPE]))
    image = Image(DATA, affine=affine, units=(one,) * 4)
    viewer = viewer_of(image)
    viewer.dims.order = tuple(order)
    stand_at(viewer, image.data_to_world(index))
    frame = current_frame(viewer.dims, image)
    pixels = np.array([(0.2, 0.7), (1.5, 2.0)])
    world = [image.data_to_world(place) for place in frame.coordinates(pixels)]
    places = np.array([image.world_to_data(place) for place in world])
    numbers, found = frame.locate(places)
    assert (numbers == frame.number).all()
    np.testing.assert_allclose(found, pixels, atol=1e-6)
    viewer.dims.set_point(viewer.dims.not_displayed, [1e6, 1e6])
    show_plane(viewer.dims, image, frame)
    assert current_frame(viewer.dims, image) == frame


@given(one=st.sampled_from(UNITS), other=st.sampled_from(UNITS), index=st.integers(0, 2))
@settings(max_examples=12, deadline=None)
def test_units_of_the_viewer_are_not_those_of_the_layer(one, other, index):
    assume(one != other)
    volume = DATA[0]
    image = Image(volume, units=(one,) * 3, scale=(2, 1, 1))
    viewer = viewer_of(image)
    viewer.add_layer(Image(np.zeros((3, 4, 5)), units=(other,) * 3))
    frame = current_frame(viewer.dims, image)
    frame = frame.at(0, index)
    show_plane(viewer.dims, image, frame)
    assert current_frame(viewer.dims, image) == frame


def pyramid(data):
    return [data, data[..., ::2, ::2]]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda data: da.from_array(data, chunks=(1, 2, 2, 2)),
        lambda data: zarr.array(data, chunks=(1, 1, 3, 3)),
        lambda data: pyramid(np.repeat(np.repeat(data, 8, axis=2), 8, axis=3)),
        lambda data: pyramid(da.from_array(np.repeat(np.repeat(data, 8, axis=2), 8, axis=3))),
    ],
    ids=["dask", "zarr", "multiscale", "multiscale of dask"],
)
def test_arrays_of_every_kind_are_read_at_their_finest_level(wrap):
    array = wrap(DATA)
    image = Image(array, multiscale=isinstance(array, list), contrast_limits=(0, 120))
    finest = np.asarray(array[0] if isinstance(array, list) else array)
    viewer = viewer_of(image)
    place = (1, 2, 3, finest.shape[3] - 1)
    stand_at(viewer, image.data_to_world(place))
    assert pixel_seen(viewer, image, image.data_to_world(place)) == finest[place]
    assert make_labels(image).data.shape == finest.shape


@pytest.mark.parametrize(
    "dtype", ["?", "u1", "i1", "u2", ">u2", "i2", "u4", "i8", "u8", "f2", "f4", "f8"]
)
def test_pixels_of_every_type_are_seen(dtype):
    data = (np.arange(12).reshape(3, 4) * 10).astype(dtype)
    # Left alone, napari shows bytes over their whole range.
    picture = picture_of(Image(data, contrast_limits=(0, 1 if dtype == "?" else 110)))
    assert picture.shape == (3, 4, 3)
    assert (picture[0, 0, 0], picture[-1, -1, 0]) == (0, 255)


def picture_of(image):
    viewer = viewer_of(image)
    look = Look((image,), conditioning_of(image))
    return plane_source(look, current_frame(viewer.dims, image), 0).read()


def test_nan_is_black():
    data = np.array([[np.nan, 1.0], [2.0, 5.0]])
    assert picture_of(Image(data))[..., 0].tolist() == [[0, 0], [64, 255]]
    assert not picture_of(Image(np.full((3, 3), np.nan))).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (3, 1, 1), (1, 1, 1), (1, 9, 7)])
def test_planes_of_one_pixel_and_of_odd_sizes(shape):
    data = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    image = Image(data)
    viewer = viewer_of(image)
    last = tuple(length - 1 for length in shape)
    stand_at(viewer, image.data_to_world(last))
    assert pixel_seen(viewer, image, image.data_to_world(last)) == data[last]


def test_a_series_of_channels_and_volumes_is_sliced_by_its_sliders():
    data = np.random.default_rng(0).integers(0, 99, (3, 2, 4, 5, 6), dtype=np.uint16)
    image = Image(da.from_array(data), axis_labels=("t", "c", "z", "y", "x"))
    viewer = viewer_of(image)
    stand_at(viewer, (2, 1, 3, 0, 0))
    assert pixel_seen(viewer, image, (2, 1, 3, 4, 5)) == data[2, 1, 3, 4, 5]
    look = Look((image,), conditioning_of(image))
    planes = stack_of(look, current_frame(viewer.dims, image), 0)
    np.testing.assert_array_equal(planes.read(1), data[1, 1, 3])


def test_a_mask_is_written_where_it_is_seen_in_every_order_of_axes():
    image = Image(DATA)
    viewer = viewer_of(image)
    viewer.dims.order = (2, 0, 3, 1)
    stand_at(viewer, (1, 0, 3, 0))
    frame = current_frame(viewer.dims, image)
    labels = make_labels(image)
    mask = np.zeros(frame.plane_shape, bool)
    mask[4, 2] = True
    LabelTarget(labels, frame.order).write(7, frame, tight_window(mask), None)
    assert np.argwhere(labels.data == 7).tolist() == [[1, 2, 3, 4]]


OBLIQUE = {"rotate": (10, 20, 30), "scale": (3, 1, 1), "translate": (5, 6, 7)}


def test_an_oblique_volume_is_refused_with_a_remedy():
    image = Image(DATA[0], name="head", **OBLIQUE)
    with pytest.raises(ImageError, match=r"'head' is rotated .*'Voxel-grid view'"):
        current_frame(viewer_of(image).dims, image)


def test_axes_that_the_affine_swaps_are_refused_in_the_same_words():
    affine = np.eye(4)[[1, 0, 2, 3]]
    image = Image(DATA[0], affine=affine)
    with pytest.raises(ImageError, match="Voxel-grid view"):
        current_frame(viewer_of(image).dims, image)


@given(
    angles=st.tuples(*[st.floats(-170, 170)] * 3),
    scale=st.tuples(*[st.floats(0.1, 10)] * 3),
    index=st.tuples(*[st.integers(0, length - 1) for length in SHAPE[1:]]),
)
@settings(max_examples=15, deadline=None)
@pytest.mark.filterwarnings("ignore:Non-orthogonal")
def test_a_voxel_grid_shows_the_planes_of_any_oblique_volume(angles, scale, index):
    image = Image(DATA[0], rotate=angles, scale=scale, translate=(9, -8, 7))
    viewer = viewer_of(image)
    before = image.data_to_world(index)
    grid = VoxelGrid(viewer)
    grid.park(image)
    np.testing.assert_allclose(image.data_to_world((1, 1, 1)), scale, rtol=1e-6)
    stand_at(viewer, image.data_to_world(index))
    assert pixel_seen(viewer, image, image.data_to_world(index)) == DATA[0][index]
    grid.restore()
    np.testing.assert_allclose(image.data_to_world(index), before, atol=1e-6)
    for layer in viewer.layers:
        np.testing.assert_allclose(layer.data_to_world(index), before, atol=1e-6)


def test_labels_and_prompts_follow_an_image_that_is_moved():
    image = Image(DATA[0])
    viewer = viewer_of(image)
    work = Workspace(viewer, image)
    work.prompts.ensure()
    work.ensure_labels()
    image.scale, image.translate, image.rotate = (3, 2, 1), (5, 6, 7), (0, 0, 30)
    work.copy_transform()
    for layer in viewer.layers:
        np.testing.assert_allclose(layer.data_to_world((1, 2, 3)), image.data_to_world((1, 2, 3)))
    assert len(viewer.layers) == 4


def test_layers_made_in_the_voxel_grid_lie_on_the_volume_afterwards():
    affine = np.eye(4)
    affine[:3] = [[0.8, -0.5, 0.1, 3], [0.6, 0.7, -0.2, 4], [0, 0.3, 1.1, 5]]
    image = Image(DATA[0], affine=affine)
    viewer = viewer_of(image)
    apart = viewer.add_image(DATA[0], translate=(50, 0, 0))
    grid = VoxelGrid(viewer)
    grid.park(image)
    labels = viewer.add_layer(make_labels(image))
    grid.restore()
    np.testing.assert_allclose(image.affine.affine_matrix, affine)
    np.testing.assert_allclose(labels.data_to_world((1, 2, 3)), image.data_to_world((1, 2, 3)))
    np.testing.assert_allclose(apart.translate, (50, 0, 0))
    assert not grid.holds(image)


def test_a_volume_that_is_removed_leaves_its_labels_where_they_were():
    image = Image(DATA[0], **OBLIQUE)
    viewer = viewer_of(image)
    labels = viewer.add_layer(Labels(np.zeros(SHAPE[1:], int), **OBLIQUE))
    before = labels.data_to_world((1, 2, 3))
    grid = VoxelGrid(viewer)
    grid.park(image)
    viewer.layers.remove(image)
    grid.restore()
    np.testing.assert_allclose(labels.data_to_world((1, 2, 3)), before)


def test_an_oblique_volume_is_segmented_in_its_voxel_grid(loaded_model):
    work = Work(drifting_disc(), rotate=(0, 20, 0), name="tilted")
    try:
        assert work.stage is Stage.NO_PLANE
        assert work.control.looks.view.oblique
        work.control.looks.voxel_grid(value=True)
        work.viewer.dims.set_point(0, 2)
        work.keep((2, 40, 38))
        assert (work.labels[2] == 1).sum() > 100
    finally:
        work.control.close()
    labels = next(layer for layer in work.viewer.layers if isinstance(layer, Labels))
    for layer in (work.image, labels):
        np.testing.assert_allclose(layer.data_to_world((2, 40, 38)), tilted_place((2, 40, 38)))


def tilted_place(place):
    return Image(drifting_disc(), rotate=(0, 20, 0)).data_to_world(place)


@pytest.mark.parametrize("unit", ["pixel", "mm"])
def test_prompts_and_labels_show_the_planes_that_their_image_shows(unit):
    viewer = viewer_of(Image(DATA[0], scale=(5, 1, 1), units=(unit,) * 3))
    image = viewer.layers[0]
    points, shapes = PromptLayers(viewer, image).ensure()
    labels = make_labels(image)
    viewer.add_layer(labels)
    viewer.dims.set_point(0, 10)
    for layer in (image, points, shapes, labels):
        assert layer._data_slice.point[0] == 2, layer
