"""Many objects at once: each click an object, many boxes, a Labels layer, everything in a plane."""

from __future__ import annotations

import numpy as np
import pytest
from gui_scenes import blobs, disc, drifting_disc, iou
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from windowless import Work

from napari_anysam._napari import label_store
from napari_anysam._napari.status import Stage
from napari_anysam.images import label_pyramid
from napari_anysam.segmentation import labels as label_arrays

PLANE = (96, 128)
FIRST, SECOND = (40, 40), (60, 95)
RADII = {FIRST: 14, SECOND: 16}
BOXES = ([(25, 25), (25, 55), (55, 55), (55, 25)], [(43, 78), (43, 112), (77, 112), (77, 78)])


@pytest.fixture
def work(loaded_model):
    work = Work(blobs(), name="discs")
    yield work
    work.control.close()


@pytest.fixture
def coins(desk):
    return desk.add(blobs(), name="discs")


def rough_labels(ids=(7, 3)):
    labels = np.zeros(PLANE, np.uint16)
    for object_id, centre in zip(ids, RADII, strict=True):
        labels[disc(PLANE, *centre, RADII[centre] - 2)] = object_id
    return labels


def assert_discs(labels, ids=(1, 2)):
    for object_id, centre in zip(ids, RADII, strict=True):
        assert iou(labels == object_id, disc(PLANE, *centre, RADII[centre])) > 0.6


def finish(work):
    assert work.stage is Stage.IN_BULK
    work.wait(lambda: work.stage is not Stage.IN_BULK)


@pytest.mark.gui
def test_each_click_is_an_object_and_quick_clicks_are_all_answered(desk, coins):
    desk.widget.many.each_click.setChecked(True)
    for place in RADII:
        desk.click(coins, place)
    desk.wait(lambda: desk.control.labels is not None and len(np.unique(desk.labels)) == 3)
    assert_discs(desk.labels)
    desk.key(Qt.Key.Key_U)
    assert set(np.unique(desk.labels)) == {0, 1}
    desk.widget.many.each_click.setChecked(False)


@pytest.mark.gui
def test_the_everything_button_finds_every_object_and_one_undo_takes_them_back(desk, coins):
    desk.widget.many.setVisible(True)
    desk.widget.many.everything_button.click()
    desk.wait_for(Stage.IN_BULK)
    desk.wait_for(Stage.READY)
    assert len(np.unique(desk.labels)) == 3
    found = [desk.labels[place] for place in RADII]
    assert_discs(desk.labels, found)
    assert desk.status.kept == 2
    assert list(desk.control.labels.features["index"]) == sorted(found)
    desk.key(Qt.Key.Key_U)
    assert not desk.labels.any()
    assert not desk.control.workspace.session.prompts


def test_clicks_that_wait_are_decoded_together(work, monkeypatch):
    predictor = work.control._clicking.running.predictor
    asked = []
    many = predictor.predict_many
    monkeypatch.setattr(
        predictor,
        "predict_many",
        lambda read, key, shape, prompts, **rest: (
            asked.append(len(prompts)),
            many(read, key, shape, prompts, **rest),
        )[1],
    )
    work.control.let_each_click_be_new(True)
    for row in range(20):
        work.control.point_pressed(positive=True)
        work.points.add((30 + row, 40))
    work.wait(lambda: not work.control._clicking.clicks.is_busy)
    assert sum(asked) == 20
    assert len(asked) < 20
    assert list(work.points.features["object_id"]) == list(range(1, 21))


def test_a_negative_click_corrects_the_last_of_the_clicked_objects(work):
    work.control.let_each_click_be_new(True)
    for place in RADII:
        work.control.point_pressed(positive=True)
        work.points.add(place)
    work.wait(lambda: not work.control._clicking.clicks.is_busy)
    work.control.point_pressed(positive=False)
    work.points.add((60, 120))
    work.wait(lambda: work.stage is Stage.PREVIEW)
    assert work.control.status.object_id == 2
    assert work.control.status.negative == 1


def test_a_click_taken_back_before_its_answer_writes_nothing(work):
    work.control.let_each_click_be_new(True)
    work.control.point_pressed(positive=True)
    work.points.add(FIRST)
    work.control.undo()
    work.wait(lambda: not work.control._clicking.clicks.is_busy)
    assert work.control.labels is None


def test_many_boxes_at_once_are_many_objects(work):
    work.control.workspace.prompts.shapes.add(list(BOXES), shape_type="rectangle")
    finish(work)
    assert_discs(work.labels)
    work.control.undo()
    assert not work.labels.any()
    assert len(work.control.workspace.prompts.shapes.data) == 2
    work.control.undo()
    assert len(work.control.workspace.prompts.shapes.data) == 0


def test_without_the_setting_the_later_box_replaces_the_first(work):
    work.control.let_each_box_be_new(False)
    for box in BOXES:
        work.control.workspace.prompts.shapes.add(np.array(box), shape_type="rectangle")
    work.wait(lambda: work.stage is Stage.PREVIEW)
    (prompt,) = work.control.workspace.session.prompts.values()
    assert prompt.box == (43.5, 78.5, 77.5, 112.5)


@pytest.mark.parametrize("kind", ["box", "mask", "points"])
def test_a_whole_labels_layer_is_refined_with_its_ids_kept(work, kind):
    layer = work.viewer.add_labels(rough_labels(), name="cellpose")
    work.control.refine_labels(layer, kind)
    finish(work)
    assert work.control.labels is not layer
    assert_discs(work.labels, (7, 3))
    assert np.array_equal(layer.data, rough_labels())
    assert set(work.control.workspace.session.prompts) == {(7, None), (3, None)}


def test_refining_is_one_step_to_undo_and_to_redo(work):
    layer = work.viewer.add_labels(rough_labels(), name="cellpose")
    work.control.refine_labels(layer, "box")
    finish(work)
    refined = work.labels.copy()
    session = work.control.workspace.session
    work.control.undo()
    assert not work.labels.any()
    assert not session.prompts
    work.control._clicking.redo()
    assert np.array_equal(work.labels, refined)
    assert set(session.prompts) == {(7, None), (3, None)}


def test_refined_into_its_own_layer_an_object_may_shrink_and_undo_brings_it_back(work):
    rough = rough_labels()
    rough[disc(PLANE, *FIRST, 19)] = 7
    layer = work.viewer.add_labels(rough.copy(), name="mine")
    work.control.choose_labels(layer)
    work.control.refine_labels(layer, "points")
    finish(work)
    assert_discs(layer.data, (7, 3))
    work.control.undo()
    assert np.array_equal(layer.data, rough)


def test_ids_that_are_taken_are_refused_by_name(work):
    work.keep(FIRST)
    layer = work.viewer.add_labels(rough_labels((1, 2)), name="cellpose")
    before = work.labels.copy()
    work.control.refine_labels(layer, "box")
    work.wait(lambda: work.stage is not Stage.IN_BULK)
    assert "Object 1 of 'cellpose'" in notification_manager.records[-1].message
    assert np.array_equal(work.labels, before)


def test_a_refined_object_is_gone_on_with_by_a_click(work):
    layer = work.viewer.add_labels(rough_labels(), name="cellpose")
    work.control.refine_labels(layer, "mask")
    finish(work)
    work.control.go_to_object(7)
    work.wait(lambda: work.stage is Stage.PREVIEW)
    work.click((44, 44))
    prompt = work.control.workspace.session.prompts[(7, None)]
    assert prompt.mask is not None
    assert len(prompt.points) == 1
    work.control.undo()
    assert not work.control.workspace.session.prompts[(7, None)].points


def test_a_cancelled_run_keeps_what_is_done_as_one_step(work):
    centres = [(8 + 10 * row, 8 + 10 * column) for row in range(8) for column in range(12)]
    labels = np.zeros(PLANE, np.uint16)
    for number, (row, column) in enumerate(centres, start=1):
        labels[row - 3 : row + 4, column - 3 : column + 4] = number
    layer = work.viewer.add_labels(labels, name="cellpose")
    work.control.refine_labels(layer, "mask")
    work.wait(lambda: work.control.status.done > 0)
    work.control.cancel()
    work.wait(lambda: work.stage is not Stage.IN_BULK)
    assert 0 < len(work.control.workspace.session.prompts) < len(centres)
    work.control.undo()
    assert not work.labels.any()
    assert not work.control.status.can_undo


def test_labels_of_a_stack_are_refined_on_their_planes_and_can_be_propagated(loaded_model):
    stack = drifting_disc(3)
    work = Work(stack, name="stack")
    labels = np.zeros(stack.shape, np.uint8)
    labels[1][disc(stack.shape[1:], 40, 34, 12)] = 5
    layer = work.viewer.add_labels(labels, name="cellpose")
    work.control.refine_labels(layer, "box")
    finish(work)
    assert [plane.any() for plane in work.labels] == [False, True, False]
    work.propagate()
    assert all((plane == 5).any() for plane in work.labels)
    work.control.close()


def test_nothing_else_runs_beside_a_run(work):
    layer = work.viewer.add_labels(rough_labels(), name="cellpose")
    work.control.refine_labels(layer, "box")
    work.control.find_everything()
    assert "runs already" in notification_manager.records[-1].message
    finish(work)


def test_a_run_ends_when_its_labels_are_removed(work):
    layer = work.viewer.add_labels(rough_labels(), name="cellpose")
    work.control.refine_labels(layer, "box")
    work.viewer.layers.remove(work.control.labels)
    work.wait(lambda: work.stage is not Stage.IN_BULK)
    assert work.control.labels is None
    assert not work.control.workspace.session.prompts


@pytest.fixture(params=[1024, 32], ids=["one level", "pyramid"])
def stored(work, tmp_path, monkeypatch, request):
    """Work whose labels are a pyramid on disk, read by a few rows at a time."""
    monkeypatch.setattr(label_pyramid, "COARSEST", request.param)
    monkeypatch.setattr(label_store, "LARGEST_PLANE", 100)
    monkeypatch.setattr(label_arrays, "STRIP_PIXELS", 20 * PLANE[1])
    work.control.keep_labels_in(tmp_path / "labels.zarr")
    return work


def in_store(work):
    return label_store.store_of(work.control.labels)[np.s_[:, :]]


@pytest.mark.parametrize("kind", ["box", "mask", "points"])
def test_objects_are_refined_into_a_label_store_and_within_it(stored, kind):
    layer = stored.viewer.add_labels(rough_labels(), name="cellpose")
    stored.control.refine_labels(layer, kind)
    finish(stored)
    assert_discs(in_store(stored), (7, 3))
    stored.control.refine_labels(stored.control.labels, kind)
    finish(stored)
    assert_discs(in_store(stored), (7, 3))
    stored.control.undo()
    stored.control.undo()
    assert not in_store(stored).any()


def test_everything_is_written_into_a_label_store(stored):
    stored.control.find_everything()
    finish(stored)
    assert len(np.unique(in_store(stored))) > 2


def test_a_label_of_a_store_is_picked_as_a_rough_mask(stored):
    layer = stored.viewer.add_labels(rough_labels(), name="cellpose")
    stored.control.refine_labels(layer, "box")
    finish(stored)
    stored.control._clicking.take_label(stored.control.labels, 7)
    stored.wait(lambda: stored.stage is Stage.PREVIEW)
    prompt = stored.control.workspace.session.prompts[(7, None)]
    assert np.count_nonzero(prompt.mask) == np.count_nonzero(in_store(stored) == 7)


def test_objects_of_a_label_store_are_merged_and_deleted(stored):
    for place in RADII:
        stored.keep(place)
    before = in_store(stored)
    stored.control.merge_objects([1, 2])
    assert np.array_equal(in_store(stored), (before > 0).astype(int))
    stored.control.undo()
    assert np.array_equal(in_store(stored), before)
    stored.control.delete_objects([1])
    assert 2 in set(stored.control.labels.features["index"])
    assert np.array_equal(in_store(stored), np.where(before == 2, 2, 0))
