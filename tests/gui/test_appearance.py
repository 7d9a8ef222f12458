"""What the user sees is what is encoded; no window needed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gui_scenes import drifting_disc
from napari.components import ViewerModel
from napari.layers import Image
from windowless import Work

from napari_anysam._napari.appearance import Appearance, conditioning_of, same_grid
from napari_anysam._napari.coordinates import current_frame
from napari_anysam._napari.image_control import MR_WINDOW
from napari_anysam._napari.pixels import plane_source, stack_of
from napari_anysam._napari.status import Stage, sentence
from napari_anysam.images.conditioning import Conditioning
from napari_anysam.segmentation.regions import Region

LEVELS = ((1, 2, 4), (1, 4))
"""By how much each level of two layers is smaller."""

RAMP = np.linspace(0, 100, 48).reshape(6, 8)


def viewer_of(*layers):
    viewer = ViewerModel()
    for layer in layers:
        viewer.add_layer(layer)
    return viewer


def channel(data, colour, blending="additive", **options):
    return Image(
        data, colormap=colour, blending=blending, contrast_limits=(0, 100), name=colour, **options
    )


def seen(viewer, image):
    """The picture that a network gets."""
    look = Appearance(viewer, image).look()
    return plane_source(look, current_frame(viewer.dims, image), 0).read()


def test_split_channels_are_seen_as_they_are_blended():
    red, green = channel(RAMP, "red"), channel(RAMP[::-1].astype(np.uint8), "green")
    viewer = viewer_of(red, green)
    picture = seen(viewer, red)
    grey = Conditioning(((0, 100),))
    np.testing.assert_array_equal(picture[..., 0], grey.apply(RAMP)[..., 0])
    np.testing.assert_array_equal(picture[..., 1], grey.apply(green.data)[..., 0])
    assert not picture[..., 2].any()
    np.testing.assert_array_equal(seen(viewer, green), picture)


def test_a_layer_alone_is_grey_whatever_its_colours():
    image = channel(RAMP, "magenta")
    np.testing.assert_array_equal(
        seen(viewer_of(image), image), Conditioning(((0, 100),)).apply(RAMP)
    )


@pytest.mark.parametrize(
    "other",
    [
        channel(RAMP, "green", visible=False),
        channel(RAMP, "green", scale=(2, 1)),
        channel(RAMP, "green", translate=(0, 0.2)),
        channel(RAMP[:5], "green"),
        channel(RAMP, "green", "translucent"),
        channel(RAMP, "green", "opaque"),
        Image(np.zeros((6, 8, 3), np.uint8), rgb=True, blending="additive"),
    ],
)
def test_what_is_not_seen_with_the_image_is_no_channel(other):
    image = channel(RAMP, "red")
    assert Appearance(viewer_of(image, other), image).look().layers == (image,)


def test_what_an_opaque_layer_hides_is_no_channel():
    layers = [channel(RAMP, colour) for colour in ("red", "green", "blue")]
    layers[1].blending = "translucent"
    viewer = viewer_of(*layers)
    assert Appearance(viewer, layers[2]).look().layers == tuple(layers[1:])
    layers[1].opacity = 0.5
    assert Appearance(viewer, layers[2]).look().layers == tuple(layers)


def test_units_do_not_part_channels():
    image = channel(RAMP, "red", scale=(1, 1), units=("um", "um"))
    other = channel(RAMP, "green", scale=(1000, 1000), units=("nm", "nm"))
    assert same_grid(image, other)
    assert len(Appearance(viewer_of(image, other), image).look().layers) == 2


def test_channels_of_stacks_are_read_plane_by_plane():
    data = np.random.default_rng(0).integers(0, 100, (3, 5, 6, 7), dtype=np.uint16)
    layers = [channel(part, colour) for part, colour in zip(data, "rgb", strict=True)]
    viewer = viewer_of(*layers)
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_point(1, 4)
    frame = current_frame(viewer.dims, layers[0])
    look = Appearance(viewer, layers[0]).look()
    planes = stack_of(look, frame, 1)
    assert planes.count == 6
    expected = np.moveaxis(data[:, :, 4], 0, -1)
    np.testing.assert_array_equal(planes.read(4), expected)
    picture = plane_source(look, frame, 0).read()
    np.testing.assert_array_equal(picture, Conditioning(((0, 100),)).apply(expected))


def test_colour_maps_of_many_colours_are_seen():
    maps = [channel(RAMP, "viridis"), channel(np.zeros_like(RAMP), "red")]
    picture = seen(viewer_of(*maps), maps[0])
    expected = maps[0].colormap.map(RAMP.ravel() / 100)[:, :3].reshape(6, 8, 3) * 255
    assert np.abs(picture - expected).max() <= 2.5


def changes_of(viewer, image):
    """Return the appearance, watched, and the list that grows with every change."""
    appearance, changes = Appearance(viewer, image), []
    appearance.watch()
    appearance.changed.connect(lambda: changes.append(1))
    return appearance, changes


@pytest.mark.parametrize(
    "change",
    [
        lambda image, _: setattr(image, "contrast_limits", (0, 50)),
        lambda image, _: setattr(image, "gamma", 0.5),
        lambda _, other: setattr(other, "gamma", 0.5),
        lambda _, other: setattr(other, "opacity", 0.5),
        lambda _, other: setattr(other, "colormap", "blue"),
        lambda _, other: setattr(other, "visible", False),
        lambda _, other: setattr(other, "data", RAMP[::-1]),
        lambda _, other: setattr(other, "scale", (3, 3)),
    ],
)
def test_every_change_of_the_look_is_told_until_it_is_left(change):
    image, other = channel(RAMP, "red"), channel(RAMP, "green")
    appearance, changes = changes_of(viewer_of(image, other), image)
    change(image, other)
    assert changes
    del changes[:]
    appearance.leave()
    image.contrast_limits = (1, 2)
    assert not changes


def test_a_channel_that_comes_or_goes_changes_the_look():
    image, other = channel(RAMP, "red"), channel(RAMP, "green")
    viewer = viewer_of(image)
    _, changes = changes_of(viewer, image)
    viewer.add_layer(other)
    assert len(changes) == 1
    viewer.layers.remove(other)
    assert len(changes) == 2


def test_what_cannot_be_seen_changes_nothing():
    image, other = channel(RAMP, "red"), channel(RAMP, "green", visible=False)
    viewer = viewer_of(image, other)
    _, changes = changes_of(viewer, image)
    other.gamma = 0.5
    image.colormap = "blue"
    viewer.add_points([(1, 1)])
    assert not changes


@pytest.fixture
def work(loaded_model):
    """A disc that drifts and bleaches, as two channels."""
    stack = drifting_disc()
    bleached = stack * (0.7 ** np.arange(len(stack)))[:, None, None]
    work = Work(bleached, name="cells", colormap="green", blending="additive")
    yield work
    work.control.close()


def place(work, index):
    work.viewer.dims.set_point(0, index)
    return (index, 40, 38)


def test_another_contrast_is_encoded_again_with_a_hint(work):
    work.click(place(work, 2))
    hints = []
    work.control.looks.look_changed.connect(lambda: hints.append("look"))
    work.image.gamma = 0.5
    assert hints == ["look"]
    work.control.looks.encode_again()
    assert work.stage is Stage.WORKING
    assert "looks different now" in sentence(work.control.status)
    work.wait(lambda: work.stage is Stage.PREVIEW)


def test_accepted_masks_stay_when_the_contrast_changes(work):
    work.keep(place(work, 2))
    kept = work.labels.copy()
    work.image.contrast_limits = (0, 10)
    work.control.looks.encode_again()
    assert work.stage is Stage.READY
    np.testing.assert_array_equal(work.labels, kept)


def test_the_labels_carry_how_the_image_looked(work):
    work.image.gamma = 0.8
    work.keep(place(work, 2))
    record = json.loads(json.dumps(work.control.labels.metadata["anysam_conditioning"]))
    assert record["layers"] == ["cells"]
    assert Conditioning.from_dict(record) == conditioning_of(work.image)


def test_the_contrast_follows_the_brightness(work):
    place(work, 2)
    fixed = work.image.contrast_limits
    work.control.looks.follow(0)
    assert work.control.looks.view.measuring
    work.wait(lambda: not work.control.looks.view.measuring)
    view = work.control.looks.view
    assert view.follow_axis == 0
    assert "brightness followed" in view.words
    look, frame = work.control.workspace.appearance.look(), work.control.workspace.frame()
    assert look.at(frame).windows[0] == pytest.approx(fixed, rel=0.01, abs=1)
    assert look.at(frame.at(0, 4)).windows[0][1] < look.at(frame).windows[0][1]
    work.keep(place(work, 2))
    work.propagate()
    assert "follows" in work.control.labels.metadata["anysam_conditioning"]
    assert (work.labels > 0).any(axis=(1, 2)).all()
    work.control.looks.follow(None)
    assert work.control.looks.view.follow_axis is None


def test_another_channel_ends_the_following(work):
    work.control.looks.follow(0)
    work.wait(lambda: not work.control.looks.view.measuring)
    other = Image(work.image.data, name="more", colormap="red", blending="additive")
    work.viewer.layers.insert(0, other)
    look = work.control.workspace.appearance.look()
    assert (len(look.layers), look.follow_axis) == (2, None)
    work.control.looks.blend(False)
    assert work.control.looks.view.follow_axis == 0


def test_radiological_windows_set_the_limits_of_the_layer(work):
    work.control.looks.use_window("lung")
    assert tuple(work.image.contrast_limits) == (-1350, 150)
    work.control.looks.use_window(MR_WINDOW)
    work.wait(lambda: tuple(work.image.contrast_limits) != (-1350, 150))
    low, high = work.image.contrast_limits
    assert 0 < low < high <= work.image.data.max()


def test_channels_are_read_from_the_levels_that_all_of_them_have():
    data = np.random.default_rng(1).integers(0, 100, (2, 64, 80), dtype=np.uint16)
    pyramids = [
        [part[::step, ::step] for step in steps] for part, steps in zip(data, LEVELS, strict=True)
    ]
    layers = [
        Image(levels, multiscale=True, colormap=colour, blending="additive", name=colour)
        for levels, colour in zip(pyramids, ("red", "green"), strict=True)
    ]
    for layer in layers:
        layer.contrast_limits = (0, 100)
    viewer = viewer_of(*layers)
    look = Appearance(viewer, layers[0]).look()
    source = plane_source(look, current_frame(viewer.dims, layers[0]), 0)
    assert source.planes.scales == (1, 4)
    seen = source.pixels().read(Region(0, 0, 64, 80), 16)
    expected = look.conditioning.apply(np.stack([levels[-1] for levels in pyramids], axis=-1))
    np.testing.assert_array_equal(seen, expected)
