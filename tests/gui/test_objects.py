"""Whole objects in the window: redo, pick, resume, class, merge, split, delete."""

from __future__ import annotations

import numpy as np
import pytest
from gui_scenes import blobs, disc, drifting_disc, iou
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit

from napari_anysam._napari.status import Stage

pytestmark = pytest.mark.gui

PLANE = (96, 128)
FIRST, SECOND = (40, 40), (60, 95)
CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def kept(desk):
    """Two discs, both kept: objects 1 and 2."""
    image = desk.add(blobs(), name="discs")
    for place in (FIRST, SECOND):
        desk.click(image, place)
        desk.wait_for(Stage.PREVIEW)
        desk.key(Qt.Key.Key_Q)
    return image


def shift_key(desk, key):
    QTest.keyClick(desk.canvas.native, key, Qt.KeyboardModifier.ShiftModifier)
    desk.settle()


def rows(desk):
    model = desk.widget.objects.table.model()
    return [
        tuple(model.data(model.index(row, column)) for column in range(model.columnCount()))
        for row in range(model.rowCount())
    ]


def click_row(desk, row, column=0, modifier=Qt.KeyboardModifier.NoModifier):
    table = desk.widget.objects.table
    rect = table.visualRect(table.model().index(row, column))
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, modifier, rect.center())
    desk.settle()


def test_the_table_tells_of_every_object(desk, kept):
    first, second = rows(desk)
    assert first[0] == "1"
    assert float(first[3]) > 0.4
    assert int(first[4]) == (desk.labels == 1).sum()
    assert second[0] == "2"
    features = desk.control.labels.features
    assert list(features["index"]) == [1, 2]
    assert set(features["model"]) == {"anysam-nano-3"}


def test_redo_brings_back_what_undo_took(desk, kept):
    after = desk.labels.copy()
    for _ in range(4):  # two masks, two prompts
        desk.key(Qt.Key.Key_U)
    assert not desk.labels.any()
    assert len(desk.control.workspace.prompts.points.data) == 0
    for _ in range(4):
        shift_key(desk, Qt.Key.Key_U)
    assert np.array_equal(desk.labels, after)
    assert len(desk.control.workspace.prompts.points.data) == 2
    assert not desk.widget.redo_button.isEnabled()


def test_a_click_on_a_row_goes_on_with_its_object(desk, kept):
    click_row(desk, 0)
    assert desk.status.object_id == 1
    desk.wait_for(Stage.PREVIEW)
    desk.click(kept, (44, 44))
    desk.wait_for(Stage.PREVIEW)
    assert desk.status.positive == 2
    desk.key(Qt.Key.Key_Q)
    assert set(np.unique(desk.labels)) == {0, 1, 2}


def test_an_object_is_picked_by_clicking_it_in_the_image(desk, kept):
    shift_key(desk, Qt.Key.Key_N)
    assert str(desk.control.labels.mode) == "pick"
    desk.click(kept, SECOND)
    assert desk.status.object_id == 2
    assert desk.status.drawing == "points"
    assert str(desk.control.labels.mode) == "pan_zoom"


def test_a_resumed_object_in_a_stack_is_shown_on_its_own_plane(desk):
    image = desk.add(drifting_disc(), name="stack")
    desk.viewer.dims.set_point(0, 3)
    desk.click(image, (3, 40, 44))
    desk.wait_for(Stage.PREVIEW)
    desk.key(Qt.Key.Key_N)
    desk.viewer.dims.set_point(0, 0)
    desk.settle()
    click_row(desk, 0)
    assert desk.viewer.dims.current_step[0] == 3


def test_a_class_is_typed_into_the_table_and_can_be_undone(desk, kept):
    table = desk.widget.objects.table
    place = table.visualRect(table.model().index(1, 1)).center()
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    QTest.mouseDClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    desk.settle()
    (editor,) = table.viewport().findChildren(QLineEdit)
    QTest.keyClicks(editor, "nucleus")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    desk.settle()
    assert rows(desk)[1][1] == "nucleus"
    assert list(desk.control.labels.features["class"]) == ["", "nucleus"]
    desk.press(desk.widget.undo_button)
    assert rows(desk)[1][1] == ""


def test_deleting_is_one_step(desk, kept):
    before = desk.labels.copy()
    click_row(desk, 1)
    desk.press(desk.widget.objects.delete_button)
    assert set(np.unique(desk.labels)) == {0, 1}
    assert [row[0] for row in rows(desk)] == ["1"]
    assert list(desk.control.workspace.prompts.points.features["object_id"]) == [1]
    desk.key(Qt.Key.Key_U)
    assert np.array_equal(desk.labels, before)
    assert list(desk.control.workspace.prompts.points.features["object_id"]) == [1, 2]


def test_merged_objects_become_one(desk, kept):
    before = desk.labels.copy()
    click_row(desk, 0)
    click_row(desk, 1, modifier=CONTROL)
    assert desk.widget.objects.selected() == (1, 2)
    desk.press(desk.widget.objects.merge_button)
    assert np.array_equal(desk.labels == 1, before > 0)
    assert [row[0] for row in rows(desk)] == ["1"]
    desk.key(Qt.Key.Key_U)
    assert np.array_equal(desk.labels, before)


def test_a_split_makes_what_is_left_out_an_object(desk, kept):
    """Both discs as one object, and a negative click in the second."""
    click_row(desk, 0)
    click_row(desk, 1, modifier=CONTROL)
    desk.press(desk.widget.objects.merge_button)
    whole = desk.labels > 0
    assert not desk.widget.objects.split_button.isEnabled()
    points = desk.control.workspace.prompts.points
    to_second = np.abs(points.data - np.array(SECOND)).sum(axis=1)
    points.selected_data = {int(np.argmin(to_second))}
    points.remove_selected()
    desk.wait(lambda: desk.status.stage is not Stage.WORKING)
    desk.click(kept, SECOND, CONTROL)
    desk.wait_for(Stage.PREVIEW)
    desk.press(desk.widget.objects.split_button)
    assert iou(desk.labels == 1, disc(PLANE, *FIRST, 14)) > 0.6
    new = desk.status.object_id
    assert new == 3
    assert np.array_equal(desk.labels > 0, whole)
    assert desk.labels[SECOND] == new
    desk.key(Qt.Key.Key_U)
    assert np.array_equal(desk.labels == 1, whole)


def test_prompts_have_the_colours_of_their_objects(desk, kept):
    points = desk.control.workspace.prompts.points
    expected = [desk.control.labels.get_color(one) for one in (1, 2)]
    assert np.allclose(points.border_color, expected, atol=0.01)
    assert not np.allclose(points.border_color[0], points.border_color[1], atol=0.1)


def test_nothing_can_be_done_to_objects_before_there_are_any(desk):
    section = desk.widget.objects
    for button in (section.pick_button, section.split_button, section.merge_button):
        assert not button.isEnabled()
    assert section.split_button.toolTip().startswith("Choose an image first.")
    assert "Select an object" in section.delete_button.toolTip()
