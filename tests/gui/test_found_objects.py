"""Everything in a plane: each found object is kept or dropped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gui_scenes import blobs, iou
from windowless import Work

from napari_anysam._napari.found import OUTLINE_NAME
from napari_anysam._napari.status import Stage
from napari_anysam.networks.protocol import Embedding, Masks, ProposalOptions

DISCS = ((24, 24, 10), (24, 90, 12), (70, 40, 14))
SHAPE = (96, 128)


def outlines(viewer):
    return [layer for layer in viewer.layers if layer.name == OUTLINE_NAME]


def ids(work):
    return set(np.unique(work.labels)) - {0}


@pytest.fixture
def work(loaded_model):
    work = Work(blobs(SHAPE, DISCS), name="discs")
    work.control.find_everything()
    work.wait(lambda: work.stage is not Stage.IN_BULK)
    yield work
    work.control.close()


def test_all_are_kept_unless_dropped(work):
    found = work.control.found
    assert (found.state.count, found.state.place) == (3, 0)
    assert not outlines(work.viewer)
    for place in (1, 2, 3):
        found.keep()
        assert found.state.place == place
        assert found.state.score > 0.5
        assert len(outlines(work.viewer)) == 1
    found.go_back()
    assert found.state.place == 2
    found.keep()
    found.keep()
    assert found.state.count == 0
    assert not outlines(work.viewer)
    assert len(ids(work)) == 3


def test_the_outline_is_around_the_object(work):
    work.control.found.keep()
    (outline,) = outlines(work.viewer)
    rows, columns = np.nonzero(work.labels == min(ids(work)))
    low, high = outline.data[0].min(axis=0), outline.data[0].max(axis=0)
    np.testing.assert_allclose(low, (rows.min() - 0.5, columns.min() - 0.5))
    np.testing.assert_allclose(high, (rows.max() + 0.5, columns.max() + 0.5))


def test_a_dropped_one_is_gone_and_undo_brings_it_back(work):
    found, before = work.control.found, ids(work)
    found.keep()
    found.drop()
    assert ids(work) == before - {min(before)}
    assert (found.state.count, found.state.place) == (2, 1)
    work.control.undo()
    assert ids(work) == before
    assert found.state.count == 3


def test_all_below_a_score_or_an_area_go_together(work):
    found, before = work.control.found, ids(work)
    areas = {one: np.count_nonzero(work.labels == one) for one in before}
    smallest = min(areas, key=areas.get)
    limit = areas[smallest] + 1
    assert found.below(0, limit) == [smallest]
    found.drop_below(0, limit)
    assert ids(work) == before - {smallest}
    found.drop_below(1, 0)
    assert not ids(work)
    assert found.state.count == 0
    work.control.undo()
    work.control.undo()
    assert ids(work) == before


def test_the_last_one_dropped_ends_the_review(work):
    found = work.control.found
    for _ in range(3):
        found.keep() if not found.state.place else None
        found.drop()
    assert not ids(work)
    assert not outlines(work.viewer)


@pytest.mark.gui
def test_the_row_of_buttons(desk):
    desk.add(blobs(SHAPE, DISCS), name="discs")
    row = desk.widget.many.found
    assert row.isHidden()
    desk.press(desk.widget.many.everything_button)
    desk.wait_for(Stage.IN_BULK)
    desk.wait_for(Stage.READY)
    assert row.words.text() == "3 found. All are kept unless dropped."
    assert not row.drop_button.isEnabled()
    desk.press(row.keep_button)
    assert row.words.text().startswith("1 of 3, score 0.")
    desk.press(row.drop_button)
    assert row.words.text().startswith("1 of 2")
    row.least_area.setValue(10**6)
    assert row.below_button.text() == "Drop 2"
    desk.press(row.below_button)
    assert row.isHidden()
    assert not desk.labels.any()
    desk.control.undo()
    desk.settle()
    assert not row.isHidden()
    desk.press(row.done_button)
    assert row.isHidden()
    assert desk.labels.any()


def test_objects_that_a_model_proposes_are_written_small_ones_on_top(loaded_model, monkeypatch):
    """As FastSAM does: asked once, without a click."""
    rows, columns = np.indices(SHAPE)
    small = (rows - 40) ** 2 + (columns - 40) ** 2 <= 8**2
    large = (rows - 40) ** 2 + (columns - 48) ** 2 <= 24**2

    def everything(_model, embedding: Embedding):
        for mask, score in ((large, 0.9), (small, 0.6)):
            logits = torch.from_numpy(mask)[None, None] * 2.0 - 1
            yield Masks(logits, torch.full((1, 1), score))

    monkeypatch.setattr(type(loaded_model), "everything", everything, raising=False)
    monkeypatch.setattr(loaded_model, "options", ProposalOptions(), raising=False)
    work = Work(blobs(SHAPE), name="discs")
    try:
        work.control.find_everything()
        work.wait(lambda: work.stage is not Stage.IN_BULK)
        assert (work.labels[small] == 1).all()
        assert iou(work.labels == 2, large & ~small) > 0.95
        found = work.control.found
        assert found.below(0.7, 0) == [1]
    finally:
        work.control.close()
