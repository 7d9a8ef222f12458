"""What the dock says of a run: how far it is, how long it takes, and nothing of one taken back."""

from __future__ import annotations

import pytest
from gui_scenes import drifting_disc
from hypothesis import given
from hypothesis import strategies as st
from windowless import Work

from napari_anysam._napari.propagation import StackRange
from napari_anysam._napari.run_progress import (
    RunProgress,
    planes_answered_twice,
    planes_to_come,
)
from napari_anysam._napari.status import Stage, progress_in_words, sentence


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@given(st.integers(1, 30), st.integers(0, 29), st.integers(0, 29), st.floats(0.01, 100))
def test_a_run_both_ways_is_done_when_its_last_answer_came(total, one, other, pause):
    first, last = sorted((one % total, other % total))
    answers = [*range(first, total), *range(last - 1, -1, -1)]
    where, clock = StackRange(0, 0, total - 1), Clock()
    anchors = [first, last]
    progress = RunProgress(
        planes_to_come(where, anchors), planes_answered_twice(where, anchors), clock
    )
    said = [0]
    for number, position in enumerate(answers, start=1):
        clock.now += 1000 if number == 1 else pause  # loading is no measure of the rest
        progress.answered(position)
        said.append(progress.done)
        left = progress.seconds_left
        rest = pause * (len(answers) - number)
        assert left is None if number < 2 else left == pytest.approx(rest, abs=1e-6)
    assert said == sorted(said)
    assert said[-1] == total
    assert total == 1 or said[-2] <= total


def test_a_cancelled_run_counts_the_planes_that_have_an_answer():
    progress = RunProgress(10, 8)
    for position in range(4):
        progress.answered(position)
    assert progress.done < 4
    progress.end()
    assert progress.done == 4


def test_waiting_for_a_plane_never_says_that_more_is_left():
    clock = Clock()
    progress = RunProgress(5, clock=clock)
    for position in range(3):
        clock.now += 2
        progress.answered(position)
    assert progress.seconds_left == 4
    clock.now += 1
    assert progress.seconds_left == 3
    clock.now += 60
    assert progress.seconds_left == 2


@pytest.fixture
def work(loaded_model):
    work = Work(drifting_disc(), name="stack", axis_labels=("z", "y", "x"))
    work.viewer.dims.set_point(0, 0)
    work.control.stacks.review_along(0)
    work.keep((0, 40, 30))
    yield work
    work.control.close()


def test_a_run_that_may_end_before_says_at_most(work):
    where = StackRange(0, 0, 6)
    assert "at most" not in work.control.stacks.outlook(where).words
    work.control.stacks.stop_at_ends(True)
    said = []
    work.control.changed.connect(lambda: said.append(progress_in_words(work.control.status)))
    work.propagate()
    assert any("at most" in words for words in said)
    assert not any("about" in words for words in said)
    if work.control.stacks.outlook(where).timed:
        assert "at most" in work.control.stacks.outlook(where).words


def test_a_repair_counts_the_planes_up_to_the_locked_ones(work):
    work.propagate()
    for plane in (1, 5):
        work.viewer.dims.set_point(0, plane)
        work.control.stacks.toggle_reviewed()
    work.viewer.dims.set_point(0, 3)
    work.control.go_to_object(1)
    work.control.stacks.repair()
    assert work.control.status.total == 3
    work.wait(lambda: work.stage is not Stage.PROPAGATING)


def test_a_run_that_was_undone_is_not_told_of(work):
    work.propagate()
    assert "7 planes done" in sentence(work.control.status)
    work.control.undo()
    assert "planes done" not in sentence(work.control.status)


def test_a_run_whose_labels_were_removed_is_not_told_of(work):
    work.control.stacks.propagate(StackRange(0, 0, 6))
    work.wait(lambda: work.control.status.done >= 1)
    work.viewer.layers.remove(work.control.labels)
    work.wait(lambda: work.stage is not Stage.PROPAGATING)
    assert "planes done" not in sentence(work.control.status)
