"""One order of undo across prompts and labels."""

import numpy as np

from napari_anysam.segmentation.labels import write_mask
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.session import LabelStep, PromptStep, Session

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
