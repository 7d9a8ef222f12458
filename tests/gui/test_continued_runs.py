"""Runs that were cancelled, closed or killed go on where they ended, and give the whole result."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tifffile
from gui_scenes import blobs

from napari_anysam._napari import runs
from napari_anysam._napari.propagation import StackRange
from napari_anysam._napari.session_snapshot import snapshot
from napari_anysam._napari.status import Stage
from napari_anysam.images.label_pyramid import LabelPyramid
from napari_anysam.segmentation import recent_states
from napari_anysam.segmentation.journal import rewrite
from napari_anysam.segmentation.replay import replay
from napari_anysam.segmentation.session_files import load_session

PLANES = 9
SHAPE = (64, 80)
pytestmark = pytest.mark.usefixtures("one_thread")


def crossing_discs():
    """Two discs that drift towards each other and meet, uint8 (planes, H, W)."""
    centres = [((24, 20 + 4 * plane, 10), (40, 60 - 4 * plane, 9)) for plane in range(PLANES)]
    return np.stack([blobs(SHAPE, pair, seed=plane) for plane, pair in enumerate(centres)])


@pytest.fixture
def path(tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", crossing_discs())
    return tmp_path / "stack.tif"


def mark(work):
    """Accept a mask of one object, and only click the other: both kinds of prompts of a run."""
    work.viewer.dims.set_point(0, 3)
    work.keep((3, 24, 32))
    work.control.let_next_accept(False)
    work.viewer.dims.set_point(0, 5)
    work.click((5, 40, 40))


def where(direction="both"):
    return StackRange(0, 0, PLANES - 1, direction)


def run_until(work, planes, direction="both"):
    """Begin or go on, and return when so many results of this sitting were written."""
    work.control.stacks.propagate(where(direction))
    assert work.stage is Stage.PROPAGATING
    run = work.control.stacks.runs.propagation
    work.wait(lambda: run._progress.answers >= planes)
    return run


def end(work):
    work.wait(lambda: not work.control.stacks.runs.busy)


def cancel_after(work, planes, direction="both"):
    run_until(work, planes, direction)
    work.control.cancel()
    end(work)


def go_on(work, direction="both"):
    work.control.stacks.propagate(where(direction))
    end(work)


def begun(work):
    """Return how many results the run that is under way goes on with."""
    return work.control.workspace.run_so_far()[0].run.begun


def journal_of(work):
    return work.control.workspace.session.journal


def offered(work, direction="both"):
    return work.control.stacks.continuation(where(direction))


def assert_explained(work):
    """What is recorded is what is in the labels."""
    again = np.zeros_like(work.labels)
    rewrite(journal_of(work), again)
    np.testing.assert_array_equal(again, work.labels)


@pytest.fixture(scope="module")
def whole():
    """Return by direction the labels of a run that was never ended, and its masks' scores."""
    return {}


@pytest.fixture
def expected(whole, open_kept, path):
    def labels_of(direction="both"):
        if direction not in whole:
            work = open_kept(path)
            work.keeper.enabled = False
            mark(work)
            go_on(work, direction)
            scores = {key: one.score for key, one in work.control.workspace.session.kept.items()}
            whole[direction] = work.labels.copy(), scores
        return whole[direction]

    return labels_of


def assert_whole(work, expected):
    labels, scores = expected
    np.testing.assert_array_equal(work.labels, labels)
    kept = work.control.workspace.session.kept
    assert {key: one.score for key, one in kept.items()} == scores
    assert_explained(work)


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_a_cancelled_run_goes_on_with_the_result_of_one_that_never_ended(
    open_kept, path, expected, direction
):
    labels = expected(direction)
    work = open_kept(path)
    mark(work)
    cancel_after(work, 2, direction)
    reached = offered(work, direction)
    assert 2 <= reached.results < len(reached.visits)
    assert reached.reached.results == reached.results
    count = len(journal_of(work))
    go_on(work, direction)
    assert_whole(work, labels)
    first, second = journal_of(work)[count - 1 :]
    assert second.run.begun == first.run.results == reached.results
    assert second.run.begun + second.run.results == len(reached.visits)
    assert offered(work, direction) is None


def test_a_run_can_be_ended_and_gone_on_with_many_times(open_kept, path, expected):
    labels = expected()
    work = open_kept(path)
    mark(work)
    planes = []
    cancel_after(work, 2)  # the first result is the mask that was accepted, which is there already
    while (reached := offered(work)) is not None:
        planes.append(reached.results)
        cancel_after(work, 1)
    assert planes == sorted(planes)
    assert len(planes) > 2
    assert_whole(work, labels)


def test_undo_takes_back_each_sitting_and_a_sitting_can_be_done_again(open_kept, path, expected):
    labels = expected()
    work = open_kept(path)
    mark(work)
    before = work.labels.copy()
    cancel_after(work, 3)
    ended = work.labels.copy()
    go_on(work)
    work.control.undo()
    np.testing.assert_array_equal(work.labels, ended)
    work.control.redo()
    assert_whole(work, labels)
    work.control.undo()
    work.control.undo()
    np.testing.assert_array_equal(work.labels, before)
    assert offered(work) is None
    work.control.redo()
    np.testing.assert_array_equal(work.labels, ended)
    go_on(work)
    assert_whole(work, labels)


@pytest.mark.parametrize("direction", ["both", "backward"])
def test_a_closed_run_goes_on_in_another_window_and_is_replayed(
    open_kept, path, expected, direction
):
    labels = expected(direction)
    folder = path.with_suffix(".anysam")
    work = open_kept(path)
    mark(work)
    run_until(work, 3, direction)
    work.close()
    assert len(list(folder.glob("state-*"))) == 1

    again = open_kept(path)
    again.keeper.resume(folder, load_session(folder))
    wanted = again.control.stacks.take_run_to_resume()
    assert (wanted.start, wanted.stop, wanted.direction) == (0, PLANES, direction)
    reached = offered(again, direction)
    assert 3 <= reached.results < len(reached.visits)
    go_on(again, direction)
    assert_whole(again, labels)
    made = again.labels.copy()
    again.close()
    assert list(folder.glob("state-*")) == []

    loaded = load_session(folder)
    assert loaded.session.journal[-1].run.begun == reached.results
    np.testing.assert_array_equal(replay(loaded, again.image.data), made)


def test_what_a_kill_leaves_goes_on(open_kept, path, expected, tmp_path):
    """A copy of the folder, taken while the run goes on, is what a kill leaves."""
    labels = expected()
    folder, copy = path.with_suffix(".anysam"), tmp_path / "copy" / "stack.anysam"
    work = open_kept(path)
    mark(work)
    run_until(work, 2)
    work.wait(lambda: list(folder.glob("state-*.safetensors")))
    work.keeper._autosave.close(20)
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(".lock"))
    loaded = load_session(copy)
    assert loaded.session.reached.results <= loaded.session.journal[-1].run.results

    again = open_kept(path)
    again.keeper.resume(copy, loaded)
    assert offered(again).reached is loaded.session.reached
    go_on(again)
    assert_whole(again, labels)


@pytest.mark.parametrize("how", ["missing", "damaged", "too large"])
def test_without_its_state_a_run_begins_anew_and_says_so(open_kept, path, monkeypatch, how):
    folder = path.with_suffix(".anysam")
    if how == "too large":
        monkeypatch.setattr(recent_states, "MOST_BYTES", 1000)
    work = open_kept(path)
    mark(work)
    cancel_after(work, 3)
    work.close()
    for state in folder.glob("state-*"):
        assert how != "too large"
        state.unlink() if how == "missing" else state.write_bytes(state.read_bytes()[:-9])

    said = []
    monkeypatch.setattr(runs, "show_info", said.append)
    again = open_kept(path)
    again.keeper.resume(folder, load_session(folder))
    reached = offered(again)
    assert reached.reached is None
    run_until(again, 1)
    assert begun(again) == 0
    assert len(said) == 1
    assert f"plane {reached.plane} " in said[0]
    assert "begins anew" in said[0]


def click_another(work):
    work.control.let_next_accept(True)
    work.control.new_object()
    work.viewer.dims.set_point(0, 1)
    work.click((1, 24, 24))


def correct(work):
    work.control.let_next_accept(True)
    work.viewer.dims.set_point(0, 4)
    work.control.go_to_object(1)
    work.click((4, 24, 36))


def lock(work):
    work.viewer.dims.set_point(0, 6)
    work.control.stacks.review_along(0)
    work.control.stacks.toggle_reviewed()


def look_otherwise(work):
    work.image.contrast_limits = (10, 220)


def change_pixels(work):
    work.image.data = work.image.data.copy()


def use_fast_memory(work):
    work.control.stacks.use_fast_memory(True)


def stop_at_ends(work):
    work.control.stacks.stop_at_ends(True)


def delete_one(work):
    work.control.delete_objects([2])


@pytest.mark.parametrize(
    "change",
    [
        click_another,
        correct,
        lock,
        look_otherwise,
        change_pixels,
        use_fast_memory,
        stop_at_ends,
        delete_one,
    ],
)
def test_a_run_begins_anew_where_something_else_is_asked_for(open_kept, path, change):
    work = open_kept(path)
    work.keeper.enabled = False
    mark(work)
    cancel_after(work, 4)
    assert offered(work) is not None
    change(work)
    assert offered(work) is None
    if change in (click_another, correct):  # the mask in question is accepted only now
        run_until(work, 1)
        assert begun(work) == 0


def test_another_range_or_direction_begins_anew(open_kept, path):
    work = open_kept(path)
    mark(work)
    cancel_after(work, 4)
    stacks = work.control.stacks
    assert stacks.continuation(StackRange(0, 0, PLANES - 2)) is None
    assert stacks.continuation(StackRange(0, 1, PLANES - 1)) is None
    assert offered(work, "forward") is None
    assert offered(work) is not None


def test_what_is_named_selected_or_painted_meanwhile_changes_nothing(open_kept, path, expected):
    labels = expected()[0].copy()
    work = open_kept(path)
    mark(work)
    cancel_after(work, 4)
    work.control.name_class(1, "cell")
    work.control.go_to_object(1)
    work.viewer.dims.set_point(0, 0)
    work.labels[:, :4, :4] = labels[:, :4, :4] = 9
    assert offered(work) is not None
    go_on(work)
    np.testing.assert_array_equal(work.labels, labels)


def test_it_can_begin_anew_all_the_same(open_kept, path):
    work = open_kept(path)
    mark(work)
    cancel_after(work, 4)
    work.control.stacks.propagate_anew(where())
    work.wait(lambda: work.control.status.done >= 1)
    assert begun(work) == 0


def test_a_run_that_an_error_ended_goes_on_when_the_error_is_gone(
    open_kept, path, expected, monkeypatch
):
    labels = expected()
    work = open_kept(path)
    mark(work)
    model = work.control._clicking.running.model
    asked = []

    def refuse(*_arguments, **_options):
        asked.append(1)
        raise OSError("the share is gone")

    run_until(work, 2)
    with monkeypatch.context() as patch:
        patch.setattr(model, "follow", refuse)
        end(work)
    assert asked
    assert offered(work).reached is not None
    go_on(work)
    assert_whole(work, labels)


def test_labels_in_a_store_go_on_too(open_kept, path, expected, tmp_path):
    labels = expected()[0]
    folder, store = path.with_suffix(".anysam"), tmp_path / "labels.zarr"
    work = open_kept(path)
    work.control.keep_labels_in(store)
    mark(work)
    run_until(work, 3)
    work.close()
    loaded = load_session(folder)
    assert isinstance(loaded.labels, LabelPyramid)

    again = open_kept(path)
    again.keeper.resume(folder, loaded)
    assert offered(again).results >= 3
    go_on(again)
    held = LabelPyramid(store)
    np.testing.assert_array_equal(held[(slice(None),) * 3], labels)


def test_a_snapshot_of_a_run_is_never_behind_its_state(open_kept, path):
    work = open_kept(path)
    work.keeper.enabled = False
    mark(work)
    work.control.stacks.propagate(where())
    seen = 0
    while work.control.stacks.runs.busy:
        taken = snapshot(work.control.workspace)
        if taken.reached is not None:
            seen += 1
            assert taken.reached.results <= taken.journal[-1].run.results
        work.calls.get(timeout=60)()
    assert seen > 2


@pytest.mark.gui
def test_a_closed_window_is_gone_on_with_by_the_button(new_desk, path, expected, open_kept):
    labels = expected()
    desk, folder = new_desk, path.with_suffix(".anysam")
    first = open_kept(path)
    mark(first)
    run_until(first, 3)
    first.close()

    desk.widget.session.open(folder)
    stack = desk.widget.stack
    desk.wait(lambda: not stack.anew_button.isHidden())
    plane = desk.control.stacks.continuation(stack.chosen_range()).plane
    assert stack.run_button.text().startswith(f"Continue at {plane} (")
    assert stack.minimumSizeHint().width() <= 250
    desk.press(stack.run_button)
    run = desk.control.stacks.runs.propagation
    assert desk.status.done >= 3
    desk.wait(lambda: run._progress.answers >= 2)
    desk.press(stack.cancel_button)
    desk.wait(lambda: not stack.anew_button.isHidden())
    later = desk.control.stacks.continuation(stack.chosen_range())
    assert later.run.begun >= 3
    outlook = desk.control.stacks.outlook(stack.chosen_range())
    assert 0 < int(outlook.words.split()[0]) < PLANES
    desk.press(stack.run_button)
    desk.wait(lambda: not desk.control.stacks.runs.busy)
    np.testing.assert_array_equal(desk.labels, labels[0])
    assert stack.run_button.text().startswith("Propagate")
    assert stack.anew_button.isHidden()
