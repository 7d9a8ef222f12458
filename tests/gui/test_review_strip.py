"""The review of propagated masks: the strip, its keys, what is locked, repairs, live volume."""

from __future__ import annotations

import time

import numpy as np
import pytest
from gui_scenes import blobs, disc, drifting_disc, iou
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_anysam._napari.review_strip import ReviewStrip
from napari_anysam._napari.session_snapshot import snapshot
from napari_anysam._napari.status import Stage
from napari_anysam.segmentation.review import Lanes
from napari_anysam.segmentation.session_files import load_session, save_session

pytestmark = pytest.mark.gui

PLANE = (80, 96)
NO = Qt.KeyboardModifier.NoModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
CTRL_SHIFT = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier


def truth(plane):
    return disc(PLANE, 40, 30 + 4 * plane, 14)


@pytest.fixture
def stack(desk):
    image = desk.add(drifting_disc(7), name="stack")
    desk.viewer.dims.set_point(0, 3)
    desk.settle()
    return image


def plane(desk):
    return round(desk.viewer.dims.point[0])


def mark(desk, image, data):
    desk.click(image, data)
    desk.wait_for(Stage.PREVIEW)


def finish(desk):
    desk.wait(lambda: not desk.control.stacks.runs.busy)


def follow(desk, image):
    mark(desk, image, (3, 40, 42))
    desk.key(Qt.Key.Key_Return)
    desk.key(Qt.Key.Key_G)
    finish(desk)
    assert desk.labels.any(axis=(1, 2)).all()


def lanes(desk):
    return desk.control.stacks.review.state().lanes


def click_strip(desk, object_id, position, modifier=NO):
    strip = desk.widget.review.strip
    place = strip.place_of(object_id, position)
    QTest.mouseClick(strip, Qt.MouseButton.LeftButton, modifier, QPoint(place.x(), place.y()))
    desk.settle()


def test_the_strip_shows_planes_as_they_are_written(desk, stack):
    assert "propagate an object first" in desk.widget.review.summary.text()
    mark(desk, stack, (3, 40, 42))
    assert lanes(desk).prompt[0].tolist() == [False] * 3 + [True] + [False] * 3
    assert not lanes(desk).present.any()
    desk.key(Qt.Key.Key_G)
    desk.wait(lambda: lanes(desk).present.sum() >= 2)
    assert desk.control.stacks.runs.busy or lanes(desk).present.all()
    finish(desk)
    assert lanes(desk).present.all()
    confidence = lanes(desk).confidence
    assert ((confidence > 0) & (confidence <= 1)).all()
    desk.key(Qt.Key.Key_U)
    assert lanes(desk).present.sum() <= 1


def test_a_click_in_the_strip_shows_that_plane_and_goes_on_with_that_object(desk, stack):
    follow(desk, stack)
    desk.viewer.dims.set_point(0, 3)
    mark(desk, stack, (3, 10, 85))
    desk.key(Qt.Key.Key_Return)
    desk.control.go_to_object(2)
    click_strip(desk, 1, 5)
    assert plane(desk) == 5
    assert desk.status.object_id == 1


def test_keys_go_from_prompt_to_prompt_and_from_doubt_to_doubt(desk, stack):
    follow(desk, stack)
    session = desk.control.workspace.session
    doubted = {key: mask for key, mask in session.kept.items() if key[1] in (1, 5)}
    for key, mask in doubted.items():
        session.kept[key] = type(mask)(mask.window, mask.score, mask.model, None, 0.1, ("jump",))
    session.review([(1, 0)])  # a step, so that the strip looks again
    session.review(list(doubted), reviewed=True)
    session.undo()
    desk.viewer.dims.set_point(0, 0)
    desk.settle()
    desk.key(Qt.Key.Key_K)
    assert plane(desk) == 1
    desk.key(Qt.Key.Key_K)
    assert plane(desk) == 5
    section = desk.widget.review
    desk.wait(lambda: not section.next_button.isEnabled())
    assert section.next_button.toolTip() == "There are no doubtful planes after this one. (K)"
    assert section.previous_button.isEnabled()
    desk.key(Qt.Key.Key_J)
    assert plane(desk) == 1
    desk.key(Qt.Key.Key_Q, CTRL_SHIFT)
    assert plane(desk) == 3
    assert "2 doubtful of 7 planes" in desk.widget.review.summary.text()


def test_reviewed_planes_are_left_alone_by_another_run(desk, stack):
    follow(desk, stack)
    desk.viewer.dims.set_point(0, 5)
    desk.settle()
    square = np.zeros(PLANE, bool)
    square[30:50, 40:60] = True
    desk.control.labels.data[5] = np.where(square, 1, 0)  # by hand
    desk.press(desk.widget.review.reviewed_button)
    assert lanes(desk).reviewed[0].tolist() == [False] * 5 + [True, False]
    desk.key(Qt.Key.Key_G)
    finish(desk)
    assert np.array_equal(desk.labels[5] == 1, square)
    desk.press(desk.widget.review.reviewed_button)
    assert not lanes(desk).reviewed.any()
    desk.key(Qt.Key.Key_U)  # marks are steps like others
    assert lanes(desk).reviewed.any()


def test_a_repair_changes_one_object_up_to_what_is_reviewed(desk, stack):
    follow(desk, stack)
    session = desk.control.workspace.session
    session.review([(1, 1)])
    before = desk.labels.copy()
    wrong = np.zeros(PLANE, np.int32)
    wrong[40:44, 40:44] = 1
    desk.control.labels.data[5:] = 0
    desk.control.labels.data[2] = wrong  # to be repaired
    desk.control.labels.data[1] = wrong  # reviewed
    desk.control.labels.refresh()
    click_strip(desk, 1, 4)
    desk.key(Qt.Key.Key_J, Qt.KeyboardModifier.ShiftModifier)
    finish(desk)
    assert np.array_equal(desk.labels[0], before[0])
    assert np.array_equal(desk.labels[1], wrong)
    step = session.undo(desk.control.workspace.target.array)
    assert step.description == "repair of object 1"


def test_live_volume_follows_an_accepted_mask_until_the_object_ends(desk):
    planes = np.concatenate([np.full((3, *PLANE), 20, np.uint8), drifting_disc(5)])
    planes = np.concatenate([planes, np.full((9, *PLANE), 20, np.uint8)])
    image = desk.add(planes, name="ball")
    desk.viewer.dims.set_point(0, 5)
    desk.settle()
    desk.widget.stack.live.setChecked(True)
    mark(desk, image, (5, 40, 38))
    desk.key(Qt.Key.Key_Return)
    finish(desk)
    filled = np.flatnonzero((desk.labels == 1).any(axis=(1, 2)))
    assert set(range(3, 8)) <= set(filled.tolist())
    assert iou(desk.labels[7] == 1, truth(4)) > 0.5
    desk.key(Qt.Key.Key_U)
    assert np.flatnonzero((desk.labels == 1).any(axis=(1, 2))).tolist() == [5]


def test_many_lanes_are_drawn_without_lag(desk, stack):
    shape = (200, 2000)
    marks = np.zeros((4, *shape), bool)
    marks[:, ::3, ::50] = True
    lanes = Lanes(
        tuple(range(1, 201)),
        np.ones(shape, bool),
        np.random.default_rng(0).random(shape, np.float32),
        *marks,
        {},
    )
    strip = ReviewStrip()
    strip.show_lanes(lanes, 700, 1, desk.control.colour_of)
    strip.resize(600, strip.sizeHint().height())
    started = time.process_time()
    picture = strip.grab()
    assert picture.height() >= 200
    assert time.process_time() - started < 5  # a hang, not a measurement
    assert strip.at(strip.place_of(7, 1500)) in {(6, p) for p in range(1495, 1506)}


def leaving_disc(gone, planes=8):
    """Two discs, of which one is not there from a plane on."""
    shown = [(40, 24, 12), (40, 70, 12)]
    return np.stack(
        [blobs(PLANE, shown[: 1 if plane >= gone else 2], seed=plane) for plane in range(planes)]
    )


def test_the_key_stops_where_an_object_is_lost_in_time(desk, tmp_path):
    image = desk.add(leaving_disc(5), name="film", axis_labels=("t", "y", "x"))
    desk.viewer.dims.set_point(0, 0)
    for column in (24, 70):
        mark(desk, image, (0, 40, column))
        desk.key(Qt.Key.Key_Return)
    desk.key(Qt.Key.Key_G)
    finish(desk)
    assert np.array_equal((desk.labels == 2).any(axis=(1, 2)), np.arange(8) < 5)
    desk.key(Qt.Key.Key_K)
    assert plane(desk) == 5
    assert desk.control.workspace.object_id == 2
    assert "Object 2, plane 5: lost from here on." in lanes(desk).in_words(1, 5)
    assert not desk.widget.review.next_button.isEnabled()
    taken = snapshot(desk.control.workspace)
    save_session(tmp_path, taken.session(), taken.labels())
    assert load_session(tmp_path).session.missed == desk.control.workspace.session.missed
    desk.key(Qt.Key.Key_K, SHIFT)  # reviewed: it left, and that is right
    assert not lanes(desk).doubtful.any()
    image.axis_labels = ("z", "y", "x")
    desk.key(Qt.Key.Key_K, SHIFT)
    assert not lanes(desk).doubtful.any()
