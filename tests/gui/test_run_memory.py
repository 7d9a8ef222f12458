"""What runs of one image share: encoded planes; and how much of its memory a network reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gui_scenes import drifting_disc
from windowless import Work

from napari_anysam._napari.session_snapshot import snapshot
from napari_anysam._napari.status import Stage
from napari_anysam.segmentation.replay import replay
from napari_anysam.segmentation.session_files import load_session, save_session

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def open_stack(loaded_model):
    """Stacks with one object that was accepted on plane 3."""
    opened = []

    def open_image(stack):
        work = Work(stack, name="stack")
        opened.append(work)
        work.control.ahead.choose(False)  # it encodes for clicks
        work.control.stacks.review_along(0)
        work.viewer.dims.set_point(0, 3)
        work.keep((3, 40, 42))
        return work

    yield open_image
    for work in opened:
        work.control.close()


@pytest.fixture
def encodes(loaded_model, monkeypatch):
    """Shapes of the images that the network has encoded."""
    seen, encode = [], type(loaded_model).encode

    def counted(model, image, *args, **options):
        seen.append(np.shape(image))
        return encode(model, image, *args, **options)

    monkeypatch.setattr(type(loaded_model), "encode", counted)
    return seen


def repair_here(work, plane):
    """Paint the object on a plane as it should be, and follow it from there."""
    work.viewer.dims.set_point(0, plane)
    work.labels[plane, 28:52, 30 + 4 * plane - 12 : 30 + 4 * plane + 12] = 1
    work.control.stacks.show_reviewed(1, plane)
    work.control.stacks.repair()
    assert work.stage is Stage.PROPAGATING
    work.wait(lambda: work.stage is not Stage.PROPAGATING)


def test_a_repair_after_a_run_encodes_nothing(open_stack, encodes):
    work = open_stack(drifting_disc())
    work.propagate()
    assert len(encodes) >= 6
    before = len(encodes)
    repair_here(work, 4)
    assert work.control.workspace.session.journal[-1].run.results >= 3
    assert encodes[before:] == [], encodes


@pytest.mark.parametrize("change", ["look", "pixels"])
def test_what_looks_different_is_encoded_anew(open_stack, encodes, change):
    work = open_stack(drifting_disc())
    work.propagate()
    if change == "look":
        work.image.contrast_limits = (10, 180)
    else:
        work.image.data = 255 - work.image.data
    before = len(encodes)
    repair_here(work, 4)
    assert len(encodes) - before >= 5


def test_no_budget_keeps_nothing(open_stack, encodes, monkeypatch):
    monkeypatch.setenv("ANYSAM_EMBEDDING_MEMORY_GB", "0")
    work = open_stack(drifting_disc())
    work.propagate()
    before = len(encodes)
    repair_here(work, 4)
    assert len(encodes) > before


def test_a_run_with_fast_memory_is_recorded_and_made_again(open_stack, tmp_path):
    work = open_stack(drifting_disc(12))
    work.control.stacks.use_fast_memory(True)
    work.propagate()
    taken = snapshot(work.control.workspace)
    save_session(tmp_path, taken.session(), taken.labels())
    loaded = load_session(tmp_path)
    run = loaded.session.journal[-1].run
    assert run.memory == "fast"
    assert np.array_equal(replay(loaded, work.image.data), work.labels)
    other = replace(loaded.session.journal[-1], run=replace(run, memory="full"))
    journal = (*loaded.session.journal[:-1], other)
    full = replace(loaded, session=replace(loaded.session, journal=journal))
    work.control.undo()
    work.control.stacks.use_fast_memory(False)
    work.propagate()
    assert work.control.workspace.session.journal[-1].run.memory == "full"
    assert np.array_equal(replay(full, work.image.data), work.labels)


def test_an_object_that_ends_is_not_painted_on_and_the_run_is_made_again(open_stack, tmp_path):
    blank = np.full((8, 80, 96), 20, np.uint8)
    blank += np.random.default_rng(0).integers(0, 6, blank.shape, np.uint8)
    work = open_stack(np.concatenate([drifting_disc(5), blank]))
    work.control.stacks.stop_at_ends(True)
    work.propagate()
    assert work.labels[4].any()
    assert not work.labels[6:].any()
    taken = snapshot(work.control.workspace)
    save_session(tmp_path, taken.session(), taken.labels())
    loaded = load_session(tmp_path)
    assert loaded.session.journal[-1].run.ending == 2
    assert np.array_equal(replay(loaded, work.image.data), work.labels)


@pytest.mark.gui
def test_runs_stop_at_ends_but_not_through_time(desk):
    stack = np.stack([drifting_disc(3)] * 2)
    desk.add(stack, name="series", axis_labels=("time", "z", "y", "x"))
    box = desk.widget.stack
    assert box.axis.currentText().startswith("z")
    assert box.ends.isChecked()
    assert desk.control.stacks.runs.ends
    box.axis.setCurrentIndex(0)
    desk.settle()
    assert not desk.control.stacks.runs.ends


@pytest.mark.gui
def test_the_box_decides_for_the_next_run(desk):
    image = desk.add(drifting_disc(), name="stack")
    desk.viewer.dims.set_point(0, 2)
    desk.click(image, (2, 40, 38))
    desk.wait_for(Stage.PREVIEW)
    desk.widget.stack.fast.setChecked(True)
    desk.press(desk.widget.stack.run_button)
    desk.wait(lambda: not desk.control.stacks.runs.busy)
    assert desk.control.workspace.session.journal[-1].run.memory == "fast"
