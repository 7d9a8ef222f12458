"""The table of objects follows every step, and looks again only at what a step has touched."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_anysam.segmentation.label_census import FoundObject
from napari_anysam.segmentation.object_summaries import ObjectSummaries
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.session import KeptMask, Session
from napari_anysam.segmentation.windows import tight_window

KEYS = st.tuples(st.integers(1, 3), st.integers(0, 4))
MASKS = [KeptMask(tight_window(np.ones((size, 2), bool)), size / 9, "model") for size in (1, 2, 3)]
STEPS = st.one_of(
    st.tuples(st.just("prompt"), KEYS, st.booleans()),
    st.tuples(st.just("keep"), st.lists(KEYS, max_size=4), st.sampled_from([*MASKS, None])),
    st.tuples(st.just("class"), st.integers(1, 3), st.sampled_from(["", "cell", "nucleus"])),
    st.tuples(st.just("review"), KEYS, st.booleans()),
    st.tuples(st.just("found"), st.integers(1, 4), st.integers(0, 3)),
    st.tuples(st.sampled_from(["undo", "redo", "look"]), st.none(), st.none()),
)


@given(st.lists(STEPS, max_size=90))
def test_objects_after_any_steps_are_those_of_a_fresh_look(steps):
    session, found, summaries = Session(), {}, ObjectSummaries()
    for name, what, value in steps:
        if name == "prompt":
            prompt = Prompt(what[0], what[1], points=[(0, 0)])
            session.set_prompt(what, prompt if value else None)
        elif name == "keep":
            session.record_labels([], "masks", dict.fromkeys(what, value))
        elif name == "class":
            session.name_class(what, value)
        elif name == "review":
            session.review([what], reviewed=value)
        elif name == "found":
            found = {**found, what: FoundObject(what, tuple(range(value)), value)}
        elif name == "look":
            assert summaries.of(session, found) == ObjectSummaries().of(session, found)
        else:
            getattr(session, name)()
    assert summaries.of(session, found) == ObjectSummaries().of(session, found)


def test_a_step_has_only_its_own_object_looked_at_again():
    session, summaries = Session(), ObjectSummaries()
    masks = {(object_id, plane): MASKS[0] for object_id in range(1, 41) for plane in range(50)}
    session.record_labels([], "a run", masks)
    found = {one: FoundObject(one, tuple(range(50)), 100) for one in range(1, 41)}
    before = summaries.of(session, found)
    session.record_labels([], "a correction", {(7, 3): MASKS[2]})
    counted = {**found, 7: FoundObject(7, tuple(range(50)), 104)}
    after = summaries.of(session, counted)
    assert [one.object_id for one, old in zip(after, before, strict=True) if one is not old] == [7]
    assert (after[6].area, before[6].area) == (104, 100)
    session.review([(one, 0) for one in range(1, 41)])
    again = summaries.of(session, counted)
    assert all(one is old for one, old in zip(again, after, strict=True))


def test_another_session_is_summarised_from_its_beginning():
    one, other, summaries = Session(), Session(), ObjectSummaries()
    one.record_labels([], "a mask", {(1, 0): MASKS[0]})
    other.record_labels([], "a mask", {(2, 0): MASKS[1]})
    assert [object_.object_id for object_ in summaries.of(one)] == [1]
    assert [object_.object_id for object_ in summaries.of(other)] == [2]
