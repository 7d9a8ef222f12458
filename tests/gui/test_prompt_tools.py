"""Every kind of prompt with the mouse: boxes, lassos, scribbles, labels; and edits of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gui_scenes import blobs, disc, iou
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from napari_anysam._napari.status import Stage

pytestmark = pytest.mark.gui

PLANE = (96, 128)
FIRST, SECOND = (40, 40), (60, 95)


@pytest.fixture
def coins(desk):
    """The desk with a picture of two discs."""
    return desk.add(blobs(), name="discs")


def ring(centre, radius, count=24):
    angles = np.linspace(0, 2 * np.pi, count)
    return [(centre[0] + radius * np.sin(a), centre[1] + radius * np.cos(a)) for a in angles]


def use(desk, tool):
    desk.press(desk.widget.tools.buttons[tool])
    assert desk.widget.tools.buttons[tool].isChecked()


def test_a_second_box_begins_a_new_object_and_keeps_the_mask_of_the_first(desk, coins):
    use(desk, "box")
    desk.drag(coins, (24, 24), (56, 56))
    desk.wait_for(Stage.PREVIEW)
    desk.drag(coins, (42, 76), (78, 114))
    desk.wait_for(Stage.PREVIEW)
    shapes = desk.control.workspace.prompts.shapes
    assert list(shapes.features["object_id"]) == [1, 2]
    assert desk.status.object_id == 2
    desk.key(Qt.Key.Key_Q)
    assert iou(desk.labels == 1, disc(PLANE, *FIRST, 14)) > 0.6
    assert iou(desk.labels == 2, disc(PLANE, *SECOND, 16)) > 0.6


def test_a_lasso_keeps_the_mask_inside(desk, coins):
    use(desk, "lasso")
    right_half = [(20, 40), (20, 62), (60, 62), (60, 40), (20, 40)]
    desk.stroke(coins, right_half)
    desk.wait_for(Stage.PREVIEW)
    prompt = desk.control.workspace.session.prompts[(1, None)]
    assert prompt.lasso is not None
    desk.key(Qt.Key.Key_Q)
    assert (desk.labels == 1).any()
    assert not (desk.labels[:, :38] == 1).any()


def test_a_scribble_marks_an_object_and_ctrl_one_beside_it(desk, coins):
    use(desk, "scribble")
    desk.stroke(coins, [(40, 32), (40, 40), (42, 48)])
    desk.wait_for(Stage.PREVIEW)
    desk.stroke(coins, [(70, 32), (72, 40), (70, 60)], Qt.KeyboardModifier.ControlModifier)
    desk.wait_for(Stage.PREVIEW)
    prompt = desk.control.workspace.session.prompts[(1, None)]
    assert [stroke.positive for stroke in prompt.scribbles] == [True, False]
    shapes = desk.control.workspace.prompts.shapes
    assert len(np.unique(shapes.edge_color, axis=0)) == 2
    desk.key(Qt.Key.Key_Q)
    assert iou(desk.labels == 1, disc(PLANE, *FIRST, 14)) > 0.6


def test_undo_and_redo_take_a_scribble_back_and_bring_it_again(desk, coins):
    use(desk, "scribble")
    desk.stroke(coins, [(40, 32), (40, 40), (42, 48)])
    desk.wait_for(Stage.PREVIEW)
    shapes = desk.control.workspace.prompts.shapes
    drawn = shapes.data[0].copy()
    desk.key(Qt.Key.Key_U)
    assert len(shapes.data) == 0
    desk.control._clicking.redo()
    desk.wait_for(Stage.PREVIEW)
    assert shapes.shape_type == ["path"]
    assert np.allclose(shapes.data[0], drawn)


def test_a_label_of_another_layer_becomes_a_rough_mask_of_the_running_object(desk, coins):
    rough = np.zeros(PLANE, np.uint8)
    rough[disc(PLANE, *SECOND, 14)] = 7
    desk.viewer.add_labels(rough, name="cellpose")
    use(desk, "label")
    desk.click(coins, SECOND)
    desk.wait_for(Stage.PREVIEW)
    prompt = desk.control.workspace.session.prompts[(1, None)]
    assert prompt.mask.sum() == (rough == 7).sum()
    desk.press(desk.widget.accept_button)
    assert iou(desk.labels == 1, disc(PLANE, *SECOND, 16)) > 0.6
    desk.control.undo()
    desk.wait_for(Stage.PREVIEW)
    desk.control.undo()
    assert not desk.status.has_prompts


def test_a_label_of_our_own_layer_keeps_its_id_and_takes_points_too(desk, coins):
    ours = np.zeros(PLANE, np.uint8)
    ours[disc(PLANE, *SECOND, 10)] = 7
    layer = desk.viewer.add_labels(ours, name="mine")
    desk.control.choose_labels(layer)
    use(desk, "label")
    desk.click(coins, SECOND)
    desk.wait_for(Stage.PREVIEW)
    assert desk.status.object_id == 7
    use(desk, "point")
    desk.click(coins, (66, 99))
    desk.wait_for(Stage.PREVIEW)
    prompt = desk.control.workspace.session.prompts[(7, None)]
    assert prompt.mask is not None
    assert len(prompt.points) == 1


def test_without_labels_the_label_tool_says_what_is_missing(desk, coins):
    desk.press(desk.widget.tools.buttons["label"])
    assert "No Labels layer" in notification_manager.records[-1].message
    assert desk.status.drawing == "points"


def test_a_point_relabelled_in_the_features_belongs_to_the_other_object(desk, coins):
    desk.click(coins, FIRST)
    desk.wait_for(Stage.PREVIEW)
    points = desk.control.workspace.prompts.points
    points.features = points.features.assign(object_id=4)
    desk.wait_for(Stage.PREVIEW)
    assert set(desk.control.workspace.session.prompts) == {(4, None)}
    points.features = points.features.assign(polarity="negative")
    assert desk.control.workspace.session.prompts[(4, None)].polarity == (False,)


def test_a_tool_that_the_model_cannot_take_is_grey_and_says_why(desk, coins, monkeypatch):
    model = desk.control._clicking.running.model
    boxes_only = replace(model.capabilities, points=False)
    monkeypatch.setattr(type(model), "capabilities", boxes_only)
    desk.widget._render()
    button = desk.widget.tools.buttons["point"]
    assert not button.isEnabled()
    assert "takes boxes and no clicks" in button.toolTip()
    assert desk.widget.tools.buttons["lasso"].isEnabled()


def test_with_a_model_for_boxes_an_image_begins_with_the_box_tool(desk, loaded_model, monkeypatch):
    boxes_only = replace(loaded_model.capabilities, points=False)
    monkeypatch.setattr(type(loaded_model), "capabilities", boxes_only)
    image = desk.viewer.add_image(blobs(), name="discs")
    desk.wait(lambda: desk.control.image is image)
    assert desk.status.drawing == "boxes"
