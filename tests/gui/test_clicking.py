"""What a user does with mouse and keys, in a real window."""

from __future__ import annotations

import numpy as np
import pytest
from gui_scenes import blobs, disc, iou
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_anysam._napari.status import Stage, sentence

pytestmark = pytest.mark.gui

PLANE = (96, 128)
FIRST, SECOND = (40, 40), (60, 95)


@pytest.fixture
def coins(desk):
    """The desk with a picture of two discs."""
    image = desk.viewer.add_image(blobs(), name="discs")
    desk.wait_for_image(image)
    return image


def test_an_empty_window_says_what_to_do_first(desk):
    assert "Open an image first" in desk.widget.hint.text()
    assert desk.widget.point_button.toolTip().startswith("Choose an image first.")


def test_an_added_image_is_chosen_and_its_points_layer_waits_for_clicks(desk, coins):
    points = desk.control.workspace.prompts.points
    assert desk.viewer.layers.selection.active is points
    assert points.mode == "add"
    assert desk.widget.hint.text().startswith("Click an object")
    assert desk.widget.image_combo.currentText() == "discs"


def test_a_prompt_right_after_the_image_was_chosen_is_answered(desk):
    image = desk.viewer.add_image(blobs(), name="discs")
    desk.control.choose_image(image)
    desk.control.workspace.prompts.points.add(FIRST)
    desk.wait_for(Stage.PREVIEW)
    assert desk.status.can_undo


def test_a_click_previews_the_object_and_enter_keeps_it(desk, coins):
    desk.click(coins, FIRST)
    desk.wait_for(Stage.PREVIEW)
    assert desk.preview is not None
    assert desk.control.labels is None
    desk.key(Qt.Key.Key_Return)
    assert desk.preview is None
    assert iou(desk.labels == 1, disc(PLANE, *FIRST, 14)) > 0.6
    assert desk.status.object_id == 2


def test_ctrl_click_adds_a_negative_point_and_the_next_click_a_positive_one(desk, coins):
    desk.click(coins, FIRST)
    desk.click(coins, (10, 10), Qt.KeyboardModifier.ControlModifier)
    desk.click(coins, (44, 40))
    points = desk.control.workspace.prompts.points
    assert list(points.features["polarity"]) == ["positive", "negative", "positive"]
    assert len(np.unique(points.face_color, axis=0)) == 2
    assert (desk.status.positive, desk.status.negative) == (2, 1)


def test_n_keeps_the_running_mask_and_begins_the_next_object(desk, coins):
    for place in (FIRST, SECOND):
        desk.click(coins, place)
        desk.wait_for(Stage.PREVIEW)
        desk.key(Qt.Key.Key_N)
    assert set(np.unique(desk.labels)) == {0, 1, 2}
    assert desk.labels[FIRST] == 1
    assert desk.labels[SECOND] == 2
    assert list(desk.control.workspace.prompts.points.features["object_id"]) == [1, 2]


def test_accept_before_the_answer_is_there_keeps_it_when_it_comes(desk, coins):
    desk.click(coins, FIRST)
    desk.key(Qt.Key.Key_Return)
    desk.click(coins, SECOND)
    desk.wait_for(Stage.PREVIEW)
    desk.key(Qt.Key.Key_Return)
    assert desk.labels[FIRST] == 1
    assert desk.labels[SECOND] == 2


def test_a_dragged_rectangle_is_a_box_prompt(desk, coins):
    desk.press(desk.widget.box_button)
    assert desk.status.drawing == "boxes"
    desk.drag(coins, (42, 76), (78, 114))
    desk.wait_for(Stage.PREVIEW)
    assert desk.status.boxes == 1
    desk.key(Qt.Key.Key_Q)
    assert iou(desk.labels == 1, disc(PLANE, *SECOND, 16)) > 0.6


def test_u_takes_back_accept_then_the_click(desk, coins):
    desk.click(coins, FIRST)
    desk.wait_for(Stage.PREVIEW)
    desk.key(Qt.Key.Key_Return)
    assert desk.labels.any()
    desk.key(Qt.Key.Key_U)
    assert not desk.labels.any()
    desk.wait_for(Stage.PREVIEW)
    desk.key(Qt.Key.Key_U)
    assert len(desk.control.workspace.prompts.points.data) == 0
    assert desk.preview is None
    assert not desk.status.can_undo


def test_a_moved_point_is_answered_again_and_can_be_undone(desk, coins):
    desk.click(coins, FIRST)
    desk.wait_for(Stage.PREVIEW)
    points = desk.control.workspace.prompts.points
    points.mode = "select"
    desk.drag(coins, FIRST, SECOND)
    desk.wait_for(Stage.PREVIEW)
    assert np.allclose(points.data[0], SECOND, atol=2)
    row, column = np.round(desk.preview.world_to_data(SECOND)).astype(int)
    assert desk.preview.data[row, column] > 0
    desk.key(Qt.Key.Key_U)
    assert np.allclose(points.data[0], FIRST, atol=2)


def test_a_deleted_point_is_no_longer_a_prompt(desk, coins):
    desk.click(coins, FIRST)
    desk.wait_for(Stage.PREVIEW)
    desk.key(Qt.Key.Key_Delete)
    assert not desk.status.has_prompts
    assert desk.preview is None


def test_w_walks_through_the_candidates(desk, coins):
    desk.click(coins, FIRST)
    desk.wait_for(Stage.PREVIEW)
    count = desk.status.candidates
    seen = []
    for _ in range(count):
        seen.append(desk.status.candidate)
        desk.key(Qt.Key.Key_W)
    assert seen == list(range(1, count + 1))
    assert desk.status.candidate == 1


def test_clear_removes_the_running_objects_prompts_only(desk, coins):
    desk.click(coins, FIRST)
    desk.wait_for(Stage.PREVIEW)
    desk.key(Qt.Key.Key_Return)
    desk.click(coins, SECOND)
    desk.wait_for(Stage.PREVIEW)
    desk.press(desk.widget.clear_button)
    assert list(desk.control.workspace.prompts.points.features["object_id"]) == [1]
    assert desk.labels[FIRST] == 1


def test_accepting_never_touches_what_is_labelled_already(desk, coins):
    ours = np.zeros(PLANE, np.uint8)
    ours[30:50, 30:40] = 7
    layer = desk.viewer.add_labels(ours.copy(), name="mine")
    desk.control.choose_labels(layer)
    desk.widget.point_button.click()
    desk.click(coins, FIRST)
    desk.wait_for(Stage.PREVIEW)
    desk.key(Qt.Key.Key_Return)
    assert (layer.data[ours == 7] == 7).all()
    assert set(np.unique(layer.data)) == {0, 7, 8}


def test_a_click_beside_the_image_is_refused_in_words(desk, coins):
    desk.click(coins, (-6, 20))
    assert len(desk.control.workspace.prompts.points.data) == 0
    assert "outside the image" in notification_manager.records[-1].message


def test_every_disabled_button_says_why(desk, coins):
    buttons = [one for one in desk.widget.findChildren(QPushButton) if not one.isEnabled()]
    assert len(buttons) > 4
    assert all(button.toolTip() for button in buttons)


def test_the_hint_follows_the_work(desk, coins):
    said = [desk.widget.hint.text()]
    desk.click(coins, FIRST)
    desk.wait_for(Stage.PREVIEW)
    said.append(desk.widget.hint.text())
    desk.key(Qt.Key.Key_Return)
    said.append(desk.widget.hint.text())
    assert len(set(said)) == 3
    assert said[-1] == sentence(desk.status) == "Kept. Click the next object."
