"""Objects deleted, merged and split, in labels and session as one step."""

import numpy as np
import pytest

from napari_anysam.segmentation.labels import write_mask
from napari_anysam.segmentation.object_edits import delete_objects, merge_objects, split_object
from napari_anysam.segmentation.object_summaries import ObjectSummaries
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.session import KeptMask, Session
from napari_anysam.segmentation.windows import tight_window

SHAPE = (3, 10, 12)


def block(top, left, height, width):
    mask = np.zeros(SHAPE[1:], bool)
    mask[top : top + height, left : left + width] = True
    return mask


@pytest.fixture
def labels():
    return np.zeros(SHAPE, np.int32)


@pytest.fixture
def session(labels):
    """Objects 1 and 2 on plane 0, 2 on plane 1 too, 3 painted by hand on plane 2."""
    session = Session()
    for object_id, plane, mask in (
        (1, 0, block(0, 0, 4, 4)),
        (2, 0, block(5, 5, 3, 3)),
        (2, 1, block(5, 5, 4, 4)),
    ):
        session.set_prompt((object_id, plane), Prompt(object_id, plane, points=[(1, object_id)]))
        edit = write_mask(labels, (plane,), (0, 0), mask, object_id)
        kept = KeptMask(tight_window(mask), 0.9 - object_id / 10, "a-model")
        session.record_labels([edit], "mask", {(object_id, plane): kept})
    labels[2, :2, :2] = 3
    session.name_class(2, "nucleus")
    return session


def state(session, labels):
    return dict(session.prompts), dict(session.kept), dict(session.classes), labels.copy()


def same(one, other):
    return one[:3] == other[:3] and np.array_equal(one[3], other[3])


def check_undo_and_redo(session, labels, before):
    after = state(session, labels)
    session.undo(labels)
    assert same(state(session, labels), before)
    session.redo(labels)
    assert same(state(session, labels), after)


def test_a_deleted_object_is_gone_everywhere_and_comes_back(session, labels):
    before = state(session, labels)
    delete_objects(session, labels, {2, 3})
    assert set(np.unique(labels)) == {0, 1}
    assert session.object_ids == (1,)
    check_undo_and_redo(session, labels, before)


def test_a_deletion_before_anything_was_written_forgets_the_prompts():
    session = Session()
    session.set_prompt((1, None), Prompt(1, points=[(1, 1)]))
    delete_objects(session, None, {1})
    assert session.object_ids == ()
    session.undo()
    assert session.object_ids == (1,)


def test_merged_objects_share_pixels_prompts_and_figures(session, labels):
    before = state(session, labels)
    merge_objects(session, labels, {1, 2, 3}, into=1)
    assert set(np.unique(labels)) == {0, 1}
    assert (labels == 1).sum() == (before[3] > 0).sum()
    assert set(session.prompts) == {(1, 0), (1, 1)}
    assert set(session.prompts[1, 0].points) == {(1, 1), (1, 2)}
    summary = ObjectSummaries().of(session)[0]
    assert (summary.object_id, summary.planes, summary.model) == (1, (0, 1, 2), "a-model")
    assert summary.area == (labels == 1).sum()
    assert summary.score == pytest.approx(0.7)
    check_undo_and_redo(session, labels, before)


def test_a_split_gives_what_is_left_out_an_id_of_its_own(session, labels):
    before = state(session, labels)
    smaller = KeptMask(tight_window(block(5, 5, 4, 2)), 0.8, "a-model")
    assert split_object(session, labels, (2, 1), (1,), smaller, 4)
    assert np.array_equal(labels[1] == 2, block(5, 5, 4, 2))
    assert np.array_equal(labels[1] == 4, block(5, 7, 4, 2))
    assert session.kept[4, 1].window.area == 8
    check_undo_and_redo(session, labels, before)


def test_nothing_to_split_changes_nothing(session, labels):
    before = state(session, labels)
    whole = session.kept[2, 1]
    assert not split_object(session, labels, (2, 1), (1,), whole, 4)
    assert not split_object(session, labels, (9, 1), (1,), whole, 4)
    assert same(state(session, labels), before)


def test_brush_strokes_made_since_survive_an_undo(session, labels):
    delete_objects(session, labels, {2})
    labels[1, 5, 5] = 7
    session.undo(labels)
    assert labels[1, 5, 5] == 7
    assert labels[1, 6, 6] == 2


def test_kin_goes_with_its_objects_and_comes_back(session, labels):
    session.set_lineage({2: 1, 3: 2})
    merge_objects(session, labels, [1, 2], 1)
    assert session.parents == {3: 1}
    session.undo(labels)
    delete_objects(session, labels, [3])
    assert session.parents == {2: 1}
    session.undo(labels)
    assert session.parents == {2: 1, 3: 2}
    session.redo(labels)
    assert session.parents == {2: 1}
