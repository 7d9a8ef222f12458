"""One order of undo across prompts and labels."""

import numpy as np
import pytest

from napari_anysam.segmentation.labels import write_mask
from napari_anysam.segmentation.object_summaries import ObjectSummaries
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.session import (
    CompoundStep,
    KeptMask,
    LabelStep,
    PromptStep,
    Session,
)
from napari_anysam.segmentation.windows import tight_window

FIRST = Prompt(1, 0, points=[(1, 1)])
SECOND = Prompt(1, 0, points=[(1, 1), (2, 2)])


def test_prompts_are_undone_and_redone_in_order():
    session = Session()
    session.set_prompt((1, 0), FIRST)
    session.set_prompt((1, 0), SECOND)
    assert session.undo().after is SECOND
    assert session.prompts == {(1, 0): FIRST}
    assert isinstance(session.undo(), PromptStep)
    assert session.prompts == {}
    assert session.undo() is None
    session.redo()
    session.redo()
    assert session.prompts == {(1, 0): SECOND}
    assert session.redo() is None


def test_labels_and_prompts_share_one_history():
    labels = np.zeros((8, 8), dtype=np.int32)
    session = Session()
    session.set_prompt((1, None), FIRST)
    edit = write_mask(labels, (), (0, 0), np.ones((3, 3), bool), 1)
    session.record_labels([edit], "accept object 1")
    assert isinstance(session.undo(labels), LabelStep)
    assert not labels.any()
    assert session.prompts
    session.redo(labels)
    assert (labels == 1).sum() == 9


def test_a_new_step_forgets_what_was_undone():
    session = Session()
    session.set_prompt((1, 0), FIRST)
    session.undo()
    session.set_prompt((2, 0), FIRST)
    assert not session.can_redo


def test_history_is_bounded_and_ids_continue():
    session = Session(max_steps=3)
    for object_id in range(1, 6):
        session.set_prompt((object_id, 0), FIRST)
    assert session.next_object_id == 6
    assert [bool(session.undo()) for _ in range(4)] == [True, True, True, False]
    assert session.object_ids == (1, 2)


def test_what_is_kept_follows_undo_and_redo():
    labels = np.zeros((8, 8), dtype=np.int32)
    session = Session()
    mask = np.ones((3, 3), bool)
    kept = KeptMask(tight_window(mask), 0.7, "a-model")
    session.record_labels([write_mask(labels, (), (0, 0), mask, 1)], "mask", {(1, None): kept})
    (summary,) = ObjectSummaries().of(session)
    assert (summary.area, summary.score, summary.model, summary.kept) == (9, 0.7, "a-model", True)
    session.undo(labels)
    assert ObjectSummaries().of(session) == ()
    session.redo(labels)
    assert session.kept == {(1, None): kept}


def test_steps_made_together_are_undone_together():
    session = Session()
    with session.together("both"):
        session.set_prompt((1, 0), FIRST)
        session.name_class(1, "nucleus")
    with session.together("nothing"):
        pass
    step = session.undo()
    assert isinstance(step, CompoundStep)
    assert (session.prompts, session.classes, session.can_undo) == ({}, {}, False)
    session.redo()
    assert (session.prompts, session.classes) == ({(1, 0): FIRST}, {1: "nucleus"})


def test_steps_are_recorded_even_if_their_maker_fails():
    session = Session()

    def fail():
        with session.together("half"):
            session.set_prompt((1, 0), FIRST)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert session.can_undo
    session.undo()
    assert session.prompts == {}


def test_a_class_that_does_not_change_is_no_step():
    session = Session()
    session.name_class(1, "")
    assert not session.can_undo
