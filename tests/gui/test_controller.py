"""The controller without a window: objects, undo and labels."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from gui_scenes import blobs, disc, drifting_disc, iou
from napari.utils.notifications import notification_manager
from windowless import Work

from napari_anysam._napari.active_model import active_model
from napari_anysam._napari.status import Stage

FIRST, SECOND = (40, 40), (60, 95)


@pytest.fixture
def work(loaded_model):
    work = Work(blobs(), name="discs")
    yield work
    work.control.close()


def test_layers_stand_in_an_order_that_shows_prompts_on_top(work):
    work.keep(FIRST)
    work.click(SECOND)
    assert [layer.name for layer in work.viewer.layers] == [
        "discs",
        "discs labels",
        "AnySAM preview",
        "discs boxes",
        "discs points",
    ]
    assert work.viewer.layers.selection.active is work.points


def test_going_back_to_an_object_previews_it_and_refines_it(work):
    work.keep(FIRST)
    work.keep(SECOND)
    before = work.labels.copy()
    work.control.go_to_object(1)
    work.wait(lambda: work.stage is Stage.PREVIEW)
    work.control.go_to_object(2)
    work.wait(lambda: work.stage is Stage.PREVIEW)
    assert np.array_equal(work.labels, before)
    work.control.go_to_object(1)
    work.click((44, 40))
    work.control.accept()
    assert set(np.unique(work.labels)) == {0, 1, 2}
    assert (work.labels == 2).sum() == (before == 2).sum()


def test_moving_a_point_of_a_kept_object_goes_on_with_that_object(work):
    work.keep(FIRST)
    work.keep(SECOND)
    moved = work.points.data.copy()
    moved[0] += (3, 0)
    work.points.data = moved
    work.wait(lambda: work.stage is Stage.PREVIEW)
    assert work.control.status.object_id == 1


def test_a_click_for_another_object_keeps_the_mask_before_it(work):
    work.click(FIRST)
    work.control.go_to_object(5)
    work.click(SECOND)
    assert set(np.unique(work.labels)) == {0, 1}


def test_undo_walks_back_in_the_recorded_order(work):
    work.keep(FIRST)
    work.keep(SECOND)
    seen = []
    while work.control.status.can_undo:
        seen.append((len(work.points.data), len(np.unique(work.labels)) - 1))
        work.control.undo()
        work.wait(lambda: work.stage is not Stage.WORKING)
    seen.append((len(work.points.data), len(np.unique(work.labels)) - 1))
    assert seen == [(2, 2), (2, 1), (1, 1), (1, 0), (0, 0)]


def test_undo_leaves_brush_strokes_alone(work):
    work.keep(FIRST)
    work.labels[0:3, 0:3] = 1
    work.labels[FIRST] = 9
    work.control.undo()
    assert (work.labels[0:3, 0:3] == 1).all()
    assert work.labels[FIRST] == 9
    assert np.count_nonzero(work.labels) == 10


def test_a_chosen_labels_layer_gets_the_next_free_id(work):
    mine = work.viewer.add_labels(np.full((96, 128), 0, np.uint16), name="mine")
    mine.data[0, 0] = 40
    work.control.choose_labels(mine)
    assert work.control.status.object_id == 41
    work.keep(FIRST)
    assert mine.data[FIRST] == 41


def test_the_scale_of_the_image_may_change_while_it_is_segmented(work):
    work.image.scale = (0.25, 0.5)
    work.image.translate = (3, 4)
    assert np.allclose(work.points.scale, work.image.scale)
    work.click(FIRST)
    work.control.accept()
    assert iou(work.labels, disc((96, 128), *FIRST, 14)) > 0.5


def test_a_model_that_is_loaded_later_answers_the_waiting_prompt(loaded_model):
    work = Work.__new__(Work)
    active = active_model()
    kept, active._model = active._model, None
    try:
        work.__init__(blobs(), name="discs")
        work.control.point_pressed(positive=True)
        work.points.add(FIRST)
        assert work.stage is Stage.NO_MODEL
    finally:
        active._model = kept
    active.loaded.emit(loaded_model)
    work.wait(lambda: work.stage is Stage.PREVIEW)
    work.control.close()


def test_close_leaves_the_layers_and_no_connection(work):
    work.keep(FIRST)
    layers = [layer for layer in work.viewer.layers if layer.name != "AnySAM preview"]
    points = work.points
    work.control.close()
    assert list(work.viewer.layers) == layers
    points.add(SECOND)
    work.viewer.add_image(blobs(), name="later")
    assert work.control.status.stage is Stage.NO_IMAGE
    assert not work.control._inference.is_alive


@pytest.fixture
def open_work(loaded_model):
    """Make works, and close them afterwards."""
    made = []

    def make(data, **options):
        made.append(Work(data, **options))
        return made[-1]

    yield make
    for work in made:
        work.control.close()


@pytest.mark.parametrize("kind", ["zarr", "multiscale"])
def test_stores_and_pyramids_are_propagated_like_arrays(open_work, kind):
    stack = drifting_disc(3)
    data = {
        "zarr": lambda: zarr.array(stack, chunks=(1, 40, 96)),
        "multiscale": lambda: [stack, stack[:, ::2, ::2]],
    }[kind]()
    work = open_work(data)
    work.viewer.dims.set_point(0, 1)
    work.click((1, 40, 34))
    work.propagate(last=2)
    assert work.labels.shape == stack.shape
    for plane in range(3):
        assert iou(work.labels[plane], disc((80, 96), 40, 30 + 4 * plane, 14)) > 0.5


def test_range_and_direction_limit_a_propagation(open_work):
    work = open_work(drifting_disc(5))
    work.viewer.dims.set_point(0, 2)
    work.click((2, 40, 38))
    work.propagate(last=3, direction="forward")
    assert np.flatnonzero(work.labels.any(axis=(1, 2))).tolist() == [2, 3]


def test_a_second_run_takes_the_place_of_the_first_and_spares_the_brush(open_work):
    work = open_work(drifting_disc(3))
    work.viewer.dims.set_point(0, 1)
    work.click((1, 40, 34))
    work.propagate()
    first = work.labels.copy()
    work.labels[2, 40, 38] = 0
    work.labels[2, 2:4, 2:4] = 9
    work.propagate()
    assert work.labels[2, 40, 38] == 0
    assert (work.labels[2, 2:4, 2:4] == 9).all()
    assert iou(work.labels == 1, first == 1) > 0.9


def test_an_accepted_mask_is_what_is_propagated(open_work):
    work = open_work(drifting_disc(3))
    work.viewer.dims.set_point(0, 1)
    work.click((1, 40, 34))
    work.control.next_candidate()
    work.control.accept()
    accepted = work.labels[1].copy()
    work.propagate()
    assert np.array_equal(work.labels[1], accepted)


def test_contrast_limits_decide_what_is_encoded(open_work):
    faint = (blobs().astype(np.uint16) - 30).clip(0) // 8 + 1000
    work = open_work(faint, contrast_limits=(1000, 1025))
    work.keep(FIRST)
    assert iou(work.labels, disc((96, 128), *FIRST, 14)) > 0.5


def test_new_pixels_are_encoded_anew(open_work):
    work = open_work(blobs())
    work.click(FIRST)
    identity = work.control.workspace.identity
    work.image.data = blobs(centres=((40, 40, 9),))
    assert work.stage is Stage.READY
    assert work.control.workspace.identity is not identity
    work.click((41, 41))


@pytest.mark.parametrize("value", [np.nan, 7.0])
def test_pixels_without_content_are_no_reason_to_fail(open_work, value):
    notification_manager.records.clear()
    work = open_work(np.full((64, 64), value, np.float32))
    work.click((30, 30), Stage.PREVIEW, Stage.NOTHING_FOUND)
    assert not notification_manager.records


def test_a_plane_that_cannot_be_read_is_reported_and_the_next_click_works(open_work):
    store = zarr.array(blobs(), chunks=(96, 128))
    work = open_work(store)
    values, (key, *_) = store[:], [key for key in store.store._store_dict if key.startswith("c/")]
    good = store.store._store_dict[key]
    store.store._store_dict[key] = good[:10]
    work.click(FIRST, Stage.READY)
    assert "could not" in notification_manager.records[-1].message
    store.store._store_dict[key] = good
    assert (store[:] == values).all()
    work.click((42, 40))
