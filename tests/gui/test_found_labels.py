"""Objects of a Labels layer that were not made here: listed, gone on with, edited, taken back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from gui_scenes import blobs, disc, drifting_disc, iou
from qtpy.QtCore import Qt
from windowless import Work

from napari_anysam._napari import label_store
from napari_anysam._napari.object_table import ObjectSection
from napari_anysam._napari.status import Stage

PLANE = (96, 128)
FIRST, SECOND = (40, 40), (60, 95)


def cellpose(shape=PLANE):
    """Labels as another program would give them: both discs too small, ids 4 and 9."""
    labels = np.zeros(shape, np.uint16)
    labels[disc(shape, *FIRST, 9)] = 4
    labels[disc(shape, *SECOND, 10)] = 9
    return labels


@pytest.fixture
def work(loaded_model):
    opened = []

    def begin(image, labels, **options):
        work = Work(image, name="image", **options)
        opened.append(work)
        layer = work.viewer.add_labels(labels, name="cellpose")
        work.control.choose_labels(layer)
        counted(work)
        return work

    yield begin
    for work in opened:
        work.control.close()


def counted(work):
    work.wait(lambda: not work.control.objects.is_counting)


def areas(work):
    return {one.object_id: one.area for one in work.control.objects.summaries()}


def test_objects_of_another_program_are_listed_with_their_features(work):
    labels = cellpose()
    work = work(blobs(), labels)
    assert areas(work) == {4: (labels == 4).sum(), 9: (labels == 9).sum()}
    features = work.control.labels.features
    assert list(features["index"]) == [4, 9]
    assert list(features["area"]) == [(labels == 4).sum(), (labels == 9).sum()]
    assert work.control.workspace.next_object_id() == 10


def test_columns_of_a_table_that_came_with_the_labels_stay(work):
    work = work(blobs(), cellpose())
    layer = work.control.labels
    layer.features = pd.DataFrame({"index": [0, 4, 9], "eccentricity": [0, 0.1, 0.2]})
    work.control.name_class(4, "cell")
    assert list(layer.features["eccentricity"]) == [0.1, 0.2]
    assert list(layer.features["class"]) == ["cell", ""]


def test_a_click_on_a_found_object_takes_its_label_for_a_mask_and_replaces_it(work):
    before = cellpose()
    work = work(blobs(), before.copy())
    work.control.go_to_object(4)
    assert work.stage is Stage.READY  # looking at an object changes nothing
    work.click((40, 40))
    prompt = work.control.workspace.session.prompts[4, None]
    assert prompt.mask.sum() == (before == 4).sum()
    assert prompt.points == ((40.0, 40.0),)
    kept = work.control._clicking.running.answer.kept.window.whole(PLANE)
    work.control.accept()
    counted(work)
    assert np.array_equal(work.labels == 4, kept)
    assert areas(work)[4] == (work.labels == 4).sum()
    assert np.array_equal(work.labels == 9, before == 9)
    work.control.undo()
    work.control.undo()
    counted(work)
    assert np.array_equal(work.labels, before)
    assert areas(work)[4] == (before == 4).sum()


def test_the_former_label_gives_way_where_the_new_mask_does_not_reach(work):
    labels = cellpose()
    labels[35:45, 20:60][labels[35:45, 20:60] == 0] = 4  # far beyond the disc
    work = work(blobs(), labels)
    work.control.go_to_object(4)
    work.click((40, 40))
    kept = work.control._clicking.running.answer.kept.window.whole(PLANE)
    work.control.accept()
    assert np.array_equal(work.labels == 4, kept & (labels != 9))


def test_found_objects_are_merged_deleted_and_brought_back(work):
    before = cellpose()
    work = work(blobs(), before.copy())
    work.control.merge_objects([4, 9])
    assert set(areas(work)) == {4}
    counted(work)
    assert areas(work) == {4: (before > 0).sum()}
    work.control.undo()
    work.control.delete_objects([9])
    assert set(areas(work)) == {4}
    counted(work)
    assert set(np.unique(work.labels)) == {0, 4}
    work.control.undo()
    counted(work)
    assert np.array_equal(work.labels, before)
    assert set(areas(work)) == {4, 9}


def test_a_found_object_is_split_by_a_negative_click(work):
    labels = np.zeros(PLANE, np.int32)
    labels[disc(PLANE, *FIRST, 14) | disc(PLANE, *SECOND, 16)] = 6
    work = work(blobs(), labels.copy())
    work.control.go_to_object(6)
    assert "Ctrl-click" in work.control.status.cannot_split
    work.click(FIRST)
    work.control.point_pressed(positive=False)
    work.points.add(SECOND)
    work.wait(lambda: work.stage is not Stage.WORKING)
    work.control.split_object()
    counted(work)
    assert set(areas(work)) == {6, 7}
    assert np.array_equal(work.labels > 0, labels > 0)
    assert work.labels[SECOND] == 7


def test_the_brush_and_its_undo_are_counted(work):
    work = work(blobs(), cellpose())
    layer, before = work.control.labels, areas(work)
    layer.brush_size = 6
    layer.paint((10, 10), 12)
    counted(work)
    assert areas(work)[12] == (work.labels == 12).sum() > 0
    layer.undo()
    counted(work)
    assert areas(work) == before


def test_objects_of_a_stack_are_found_on_their_planes_and_shown_there(work):
    stack = drifting_disc()
    labels = np.zeros(stack.shape, np.int32)
    labels[3:5, 30:50, 30:50] = 8
    work = work(stack, labels)
    (one,) = work.control.objects.summaries()
    assert one.planes == (3, 4)
    work.control.go_to_object(8)
    assert work.viewer.dims.current_step[0] == 3


def test_labels_in_a_store_are_found_and_gone_on_with(loaded_model, monkeypatch, tmp_path):
    monkeypatch.setattr(label_store, "LARGEST_PLANE", 100)
    work = Work(blobs(), name="slide")
    try:
        work.control.keep_labels_in(tmp_path / "labels.zarr")
        store = work.control.workspace.target.array
        store[:, :] = cellpose().astype(np.int32)
        work.control.labels.refresh()
        counted(work)
        assert areas(work) == {4: (cellpose() == 4).sum(), 9: (cellpose() == 9).sum()}
        work.control.go_to_object(9)
        work.click(SECOND)
        kept = work.control._clicking.running.answer.kept.window.whole(PLANE)
        work.control.accept()
        counted(work)
        assert np.array_equal(store[:, :] == 9, kept)
        assert areas(work)[9] == kept.sum()
    finally:
        work.control.close()


@pytest.mark.gui
def test_a_label_from_a_file_is_refined_by_row_and_mouse(desk):
    image = desk.add(blobs(), name="discs")
    layer = desk.viewer.add_labels(cellpose(), name="cellpose")
    desk.settle()
    desk.control.choose_labels(layer)
    desk.control.use_tool("point")
    desk.wait(lambda: not desk.control.objects.is_counting)
    table = desk.widget.objects.table
    assert table.model().rowCount() == 2
    desk.widget.objects.resume.emit(9)
    desk.click(image, SECOND)
    desk.wait_for(Stage.PREVIEW)
    assert desk.status.shapes == 1  # the label
    desk.key(Qt.Key.Key_Q)
    assert iou(desk.labels == 9, cellpose() == 9) > 0.7
    desk.wait(lambda: not desk.control.objects.is_counting)
    assert table.model().data(table.model().index(1, 4)) == str((desk.labels == 9).sum())


@pytest.mark.gui
def test_of_two_thousand_objects_the_table_asks_for_those_it_shows(qapp, work):
    labels = np.zeros((1000, 1000), np.int32)
    for number, (row, column) in enumerate(np.ndindex(40, 50), start=1):
        labels[row * 25 : row * 25 + 15, column * 20 : column * 20 + 12] = number
    control = work(np.zeros((1000, 1000), np.uint8), labels).control
    asked = []

    def colour_of(object_id):
        asked.append(object_id)
        return control.colour_of(object_id)

    section = ObjectSection()
    section.show()
    for current in (1, 1000, 2000):
        control.name_class(current, "cell")
        summaries = control.objects.summaries()
        section.show_objects(summaries, current, colour_of, cannot_split="")
        qapp.processEvents()
        assert section.selected() == (current,)
    assert len(summaries) == 2000
    assert 0 < len(asked) < 300
    section.close()
