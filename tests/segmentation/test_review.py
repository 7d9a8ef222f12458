"""Lanes: what is known of objects along an axis, kept up to date step by step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_anysam.images.conditioning import Conditioning
from napari_anysam.segmentation.journal import ModelRecord, Run, Write, Writing
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.review import lanes_of, next_plane
from napari_anysam.segmentation.session import KeptMask, Session
from napari_anysam.segmentation.windows import tight_window

COUNT = 6
NUMBERS = {10 + 2 * position: position for position in range(COUNT)}  # every second plane

WINDOW = tight_window(np.ones((2, 2), bool))
SURE = KeptMask(WINDOW, 0.9)
GOOD = KeptMask(WINDOW, 0.9, confidence=0.8)
POOR = KeptMask(WINDOW, 0.9, confidence=0.2)
ODD = KeptMask(WINDOW, 0.9, confidence=0.9, doubts=("its area jumps",))

keys = st.tuples(st.integers(1, 4), st.sampled_from([*NUMBERS, 11, None]))
steps = st.one_of(
    st.tuples(
        st.just("run"),
        st.tuples(st.integers(1, 4), st.sampled_from([None, 2.0])),
        st.lists(st.sampled_from([GOOD, ODD, None]), min_size=COUNT, max_size=COUNT),
    ),
    st.tuples(st.just("keep"), keys, st.sampled_from([SURE, GOOD, POOR, ODD, None])),
    st.tuples(st.just("prompt"), keys, st.booleans()),
    st.tuples(st.just("review"), keys, st.booleans()),
    st.tuples(st.just("undo"), keys, st.none()),
    st.tuples(st.just("redo"), keys, st.none()),
)


def do(session, kind, key, value):
    if kind == "keep":
        session.record_labels([], "mask", {key: value})
    elif kind == "run":
        run(session, key[0], dict(zip(NUMBERS, value, strict=True)), ending=key[1])
    elif kind == "prompt":
        session.set_prompt(key, Prompt(*key, points=[(1, 1)]) if value else None)
    elif kind == "review":
        session.review([key], reviewed=value)
    elif kind == "undo":
        session.undo()
    else:
        session.redo()


def run(session, object_id, masks, ending=None):
    """Record a run that found these masks; planes that it did not come to are left out."""
    model = ModelRecord("m", "k", "cpu", "fp32", 1)
    how = Run(
        0, 10, 0, COUNT, "both", (), Conditioning(((0, 1),)), model, len(masks), ending=ending
    )
    kept = {(object_id, plane): mask for plane, mask in masks.items()}
    writes = tuple(Write(key, mask) for key, mask in kept.items())
    session.record_labels([], "run", kept, Writing(writes, "protect", how))


def anywhere(_object_id, _position):
    return True


def state(lanes):
    arrays = (lanes.present, lanes.prompt, lanes.doubtful, lanes.reviewed, lanes.missed)
    filled = np.nan_to_num(lanes.confidence, nan=-1)
    return lanes.object_ids, [one.tolist() for one in (*arrays, filled)], lanes.doubts


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=25), st.sampled_from([anywhere, None]))
def test_following_steps_gives_the_lanes_made_anew(done, is_loss):
    session = Session()
    lanes, revision = lanes_of(session, NUMBERS, COUNT, is_loss), session.revision
    for step in done:
        do(session, *step)
        touched = session.touched_since(revision)
        lanes.follow(session, touched, NUMBERS)
        revision = session.revision
        assert state(lanes) == state(lanes_of(session, NUMBERS, COUNT, is_loss))


def test_changes_of_long_ago_are_not_remembered():
    session = Session()
    for _ in range(40):
        session.review([(1, 10)])
        session.review([(1, 10)], reviewed=False)
    assert session.touched_since(session.revision - 3) == {(1, 10)}
    assert session.touched_since(session.revision) == set()
    assert session.touched_since(0) is None


def test_review_marks_are_undone_in_one_order_with_the_rest():
    session = Session()
    session.record_labels([], "mask", {(1, 10): POOR})
    session.review([(1, 10), (1, 12)])
    session.set_prompt((1, 10), Prompt(1, 10, points=[(1, 1)]))
    session.undo()
    assert session.reviewed == {(1, 10), (1, 12)}
    session.undo()
    assert session.reviewed == set()
    session.redo()
    assert session.reviewed == {(1, 10), (1, 12)}


@pytest.mark.parametrize(
    ("mask", "reviewed", "doubtful", "confidence"),
    [
        (SURE, False, False, 1),
        (GOOD, False, False, 0.8),
        (POOR, False, True, 0.2),
        (POOR, True, False, 1),
        (ODD, False, True, 0.9),
        (ODD, True, False, 1),
    ],
)
def test_what_is_doubtful(mask, reviewed, doubtful, confidence):
    session = Session()
    session.record_labels([], "mask", {(3, 12): mask})
    session.review([(3, 12)], reviewed=reviewed)
    lanes = lanes_of(session, NUMBERS, COUNT)
    assert lanes.doubtful[0, 1] == doubtful
    assert lanes.confidence[0, 1] == pytest.approx(confidence)
    assert ("its area jumps" in lanes.in_words(0, 1)) == (doubtful and mask is ODD)


def test_a_written_plane_shows_before_the_step_is_recorded():
    session = Session()
    session.set_prompt((2, 10), Prompt(2, 10, points=[(1, 1)]))
    lanes = lanes_of(session, NUMBERS, COUNT)
    lanes.write(2, 3, POOR)
    assert lanes.present[0].tolist() == [False, False, False, True, False, False]
    assert lanes.doubtful[0, 3]
    lanes.write(2, 3, None)
    assert not lanes.present.any()
    assert "not there" in lanes.in_words(0, 3)


def test_the_next_mark_is_the_nearest_in_its_direction():
    session = Session()
    for object_id, number in ((1, 12), (2, 16), (1, 20)):
        session.record_labels([], "mask", {(object_id, number): POOR})
    lanes = lanes_of(session, NUMBERS, COUNT)
    assert next_plane(lanes, 0, 1, "doubtful") == (1, 1)
    assert next_plane(lanes, 1, 1, "doubtful") == (2, 3)
    assert next_plane(lanes, 3, -1, "doubtful") == (1, 1)
    assert next_plane(lanes, 1, 1, "doubtful", [1]) == (1, 5)
    assert next_plane(lanes, 5, 1, "doubtful") is None
    assert next_plane(lanes, 0, 1, "prompt") is None


def test_planes_on_which_an_object_is_not_there_stop_no_key():
    session = Session()
    kept = {(1, plane): None for plane in NUMBERS}
    session.record_labels([], "run", kept | {(1, 10): GOOD, (1, 12): ODD, (1, 20): POOR})
    lanes = lanes_of(session, NUMBERS, COUNT)
    assert next_plane(lanes, 0, 1, "doubtful") == (1, 1)
    assert next_plane(lanes, 1, 1, "doubtful") == (1, 5)
    assert next_plane(lanes, 5, -1, "doubtful") == (1, 1)


def followed(marks, is_loss=anywhere, ending=None):
    """Lanes of one object: a run found it where it says x, missed it at -, came not to a dot."""
    session = Session()
    found = {"x": GOOD, "-": None}
    masks = {plane: found[mark] for plane, mark in zip(NUMBERS, marks, strict=True) if mark != "."}
    run(session, 1, masks, ending)
    return session, lanes_of(session, NUMBERS, COUNT, is_loss)


@pytest.mark.parametrize(
    ("marks", "vanishes", "words"),
    [
        ("xx----", 2, "lost from here on"),
        ("xxxxx-", 5, "lost from here on"),
        ("x---xx", 1, "found again on plane 4"),
        ("--xxxx", 1, "lost from here back"),
        ("x.--.x", None, ""),
        ("x...-x", 4, "found again on plane 0"),
        ("xx--xx", None, ""),
        ("xxx...", None, ""),
        ("xxxxxx", None, ""),
        ("------", None, ""),
    ],
)
def test_along_time_the_plane_where_an_object_vanishes_is_doubtful(marks, vanishes, words):
    _, lanes = followed(marks)
    found = np.flatnonzero(lanes.doubtful[0]).tolist() if lanes.object_ids else []
    assert found == ([] if vanishes is None else [vanishes])
    if vanishes is not None:
        assert words in lanes.in_words(0, vanishes)
        assert next_plane(lanes, vanishes + 1, -1, "doubtful") == (1, vanishes)


def test_losses_count_along_time_only_and_not_in_runs_that_end_objects():
    assert not followed("xx----", is_loss=None)[1].doubtful.any()
    assert not followed("xx----", is_loss=lambda *_: False)[1].doubtful.any()
    assert not followed("xx----", ending=2.0)[1].doubtful.any()


def test_a_loss_that_was_reviewed_or_mended_is_none_and_undo_brings_it_back():
    session, lanes = followed("xx----")
    for change in (
        lambda: session.review([(1, 14)]),
        lambda: session.record_labels([], "deletion", {(1, plane): None for plane in NUMBERS}),
        lambda: run(session, 1, dict.fromkeys((14, 16, 18, 20), GOOD)),
    ):
        change()
        lanes.follow(session, {(1, plane) for plane in NUMBERS}, NUMBERS)
        assert not lanes.doubtful.any()
        session.undo()
        lanes.follow(session, {(1, plane) for plane in NUMBERS}, NUMBERS)
        assert np.flatnonzero(lanes.doubtful[0]).tolist() == [2]
