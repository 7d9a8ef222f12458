"""Writing masks into Labels layers: what gives way, and what never does."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.layers import Image, Labels

from napari_anysam._napari.coordinates import PlaneFrame
from napari_anysam._napari.label_target import LabelTarget, can_hold
from napari_anysam._napari.status import Stage, Status, seconds_in_words, sentence, why_not
from napari_anysam.errors import ImageError
from napari_anysam.segmentation.windows import tight_window

FRAME = PlaneFrame((0, 1, 2), (1,), (3, 8, 9))


def square(top, left, size, shape=(8, 9)):
    mask = np.zeros(shape, bool)
    mask[top : top + size, left : left + size] = True
    return tight_window(mask)


@pytest.fixture
def target():
    return LabelTarget(Labels(np.zeros((3, 8, 9), np.uint8)), (0, 1, 2))


def test_a_better_mask_takes_the_place_of_the_earlier_one(target):
    first = square(0, 0, 4)
    target.write(1, FRAME, first, None)
    target.write(1, FRAME, square(2, 2, 4), first)
    assert np.array_equal(target.layer.data[1] == 1, square(2, 2, 4).whole((8, 9)))
    assert not target.layer.data[[0, 2]].any()


def test_other_objects_and_brush_strokes_stay(target):
    target.layer.data[1, 0, 0] = 7
    target.write(1, FRAME, square(0, 0, 4), None)
    target.layer.data[1, 6, 6] = 1
    target.write(1, FRAME, square(1, 1, 2), square(0, 0, 4))
    assert target.layer.data[1, 0, 0] == 7
    assert target.layer.data[1, 6, 6] == 1


def test_a_mask_takes_over_other_objects_only_when_asked(target):
    target.layer.data[1, 0, 0] = 7
    target.write(1, FRAME, square(0, 0, 4), None, policy="over")
    assert target.layer.data[1, 0, 0] == 1


def test_on_background_alone_an_object_only_grows(target):
    target.layer.data[1, 0, 0] = 7
    target.write(1, FRAME, square(0, 0, 4), None, policy="background")
    target.write(1, FRAME, square(2, 2, 3), square(0, 0, 4), policy="background")
    assert (target.layer.data[1] == 1).sum() == 16 - 1 + 9 - 4
    assert target.layer.data[1, 0, 0] == 7


def test_what_was_erased_stays_erased_when_asked(target):
    target.write(1, FRAME, square(0, 0, 4), None)
    target.layer.data[1, 1, 1] = 0
    target.write(1, FRAME, square(0, 0, 5), square(0, 0, 4), keep_erased=True)
    assert target.layer.data[1, 1, 1] == 0
    assert target.layer.data[1, 4, 4] == 1


def test_edits_undo_in_reverse_to_what_was_there(target):
    target.layer.data[1, 0, 0] = 7
    before = target.layer.data.copy()
    edits = [
        *target.write(1, FRAME, square(0, 0, 4), None),
        *target.write(1, FRAME, square(2, 2, 4), square(0, 0, 4)),
        *target.write(1, FRAME, None, square(2, 2, 4)),
    ]
    for edit in reversed(edits):
        edit.undo(target.array)
    assert np.array_equal(target.layer.data, before)


def test_masks_are_written_in_the_axes_that_are_shown():
    layer = Labels(np.zeros((3, 8, 9), np.int32))
    target = LabelTarget(layer, (1, 2, 0))
    frame = PlaneFrame((1, 2, 0), (5,), (8, 9, 3))
    target.write(2, frame, square(1, 0, 2, shape=(9, 3)), None)
    assert np.argwhere(layer.data).tolist() == [[0, 5, 1], [0, 5, 2], [1, 5, 1], [1, 5, 2]]


def test_an_id_that_does_not_fit_is_refused_with_a_remedy(target):
    with pytest.raises(ImageError, match="cannot take object 256"):
        target.write(256, FRAME, square(0, 0, 2), None)
    assert not target.layer.data.any()


def test_only_labels_of_the_same_shape_that_can_be_written_are_offered():
    image = Image(np.zeros((8, 9)))
    plane = np.zeros((8, 9), np.uint8)
    read_only = plane.copy()
    read_only.flags.writeable = False
    assert can_hold(Labels(plane), image)
    assert can_hold(Labels(zarr.array(plane)), image)
    assert not can_hold(Labels(np.zeros((8, 8), int)), image)
    assert not can_hold(Labels(np.zeros((2, 8, 9), int)), image)
    assert not can_hold(Labels(da.from_array(plane)), image)
    assert not can_hold(Labels(read_only), image)


def test_a_zarr_store_is_written_and_knows_its_largest_id():
    store = zarr.array(np.full((3, 8, 9), 4, np.int32), chunks=(1, 8, 9))
    store[1] = 0
    target = LabelTarget(Labels(store), (0, 1, 2))
    assert target.largest_id == 4
    target.write(5, FRAME, square(0, 0, 2), None)
    assert (store[1] == 5).sum() == 4


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("drawing", ["", "points", "boxes"])
def test_every_stage_has_a_sentence(stage, drawing):
    words = sentence(Status(stage=stage, drawing=drawing, detail="Loading anysam-nano ..."))
    assert words.strip()
    assert words[0].isupper()


def test_actions_that_are_not_possible_say_why():
    ready = Status(stage=Stage.READY, cannot_propagate="")
    for action in ("accept", "new", "undo", "clear", "cycle", "cancel"):
        assert why_not(action, ready).endswith(".")
    assert why_not("propagate", ready) == ""
    assert why_not("point", Status()) == "Choose an image first."
    assert why_not("accept", Status(stage=Stage.PREVIEW)) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "about 1 s"), (40, "about 40 s"), (200, "about 3 min"), (9000, "about 2.5 h")],
)
def test_times_are_said_as_people_say_them(seconds, words):
    assert seconds_in_words(seconds) == words
