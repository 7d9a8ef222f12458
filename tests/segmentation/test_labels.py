"""Masks are written by window, under a policy, and every write can be undone."""

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_anysam.segmentation.labels import erase_object, write_mask


@pytest.fixture
def labels():
    array = np.zeros((3, 10, 12), dtype=np.uint16)
    array[1, 2:5, 2:5] = 7
    return array


def square():
    return np.ones((4, 4), dtype=bool)


def test_background_policy_never_touches_other_objects(labels):
    edit = write_mask(labels, (1,), (3, 3), square(), 2)
    assert (labels[1, 2:5, 2:5] == 7).all()
    assert (labels[1] == 2).sum() == 16 - 4 == edit.changed_pixels
    assert not labels[0].any()
    assert not labels[2].any()


def test_over_policy_takes_over(labels):
    write_mask(labels, (1,), (3, 3), square(), 2, policy="over")
    assert (labels[1, 3:7, 3:7] == 2).all()


def test_undo_keeps_brush_strokes_made_since(labels):
    edit = write_mask(labels, (1,), (3, 3), square(), 2)
    labels[1, 6, 6] = 9
    edit.undo(labels)
    assert labels[1, 6, 6] == 9
    assert not (labels == 2).any()


def test_empty_mask_changes_nothing(labels):
    before = labels.copy()
    edit = write_mask(labels, (0,), (0, 0), np.zeros((5, 5), bool), 2)
    edit.undo(labels)
    edit.redo(labels)
    assert (labels == before).all()
    assert edit.changed_pixels == 0


def test_zarr_labels_are_written_in_place():
    labels = zarr.zeros((2, 8, 8), chunks=(1, 4, 4), dtype="uint16")
    edit = write_mask(labels, (1,), (2, 2), square(), 3)
    assert (labels[1, 2:6, 2:6] == 3).all()
    edit.undo(labels)
    assert not labels[:].any()


@given(
    labels=hnp.arrays(np.uint8, (8, 9), elements=st.integers(0, 3)),
    mask=hnp.arrays(bool, (4, 5)),
    row=st.integers(0, 4),
    column=st.integers(0, 4),
    policy=st.sampled_from(["background", "over"]),
)
def test_undo_then_redo_restores_both_states(labels, mask, row, column, policy):
    before = labels.copy()
    edit = write_mask(labels, (), (row, column), mask, 3, policy=policy)
    after = labels.copy()
    edit.undo(labels)
    assert (labels == before).all()
    edit.redo(labels)
    assert (labels == after).all()


@given(labels=hnp.arrays(np.uint8, (8, 9), elements=st.integers(0, 3)))
def test_erasing_an_object_leaves_the_others(labels):
    before = labels.copy()
    edits = erase_object(labels, (), 2)
    assert not (labels == 2).any()
    assert (labels[before != 2] == before[before != 2]).all()
    for edit in edits:
        edit.undo(labels)
    assert (labels == before).all()
