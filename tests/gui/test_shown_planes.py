"""Which planes are drawn while a run writes: those that the viewer shows, and no others."""

from __future__ import annotations

import pytest
from gui_scenes import drifting_disc
from windowless import Work

from napari_anysam._napari import propagation
from napari_anysam._napari.propagation import StackRange
from napari_anysam._napari.status import Stage


@pytest.fixture
def work(loaded_model):
    work = Work(drifting_disc(), name="stack", axis_labels=("z", "y", "x"))
    work.viewer.dims.set_point(0, 0)
    work.keep((0, 40, 30))
    yield work
    work.control.close()


def drawn_in_a_run(work, monkeypatch):
    """Return how many planes were written whenever the labels were drawn, but for the end."""
    monkeypatch.setattr(propagation, "_REFRESH_SECONDS", 0.0)
    stacks, drawn = work.control.stacks, []

    def note():
        if stacks.runs.busy:
            drawn.append(int(work.labels.any(axis=(1, 2)).sum()))

    work.control.labels.events.set_data.connect(note)
    stacks.propagate(StackRange(0, 0, 6))
    work.wait(lambda: work.stage is not Stage.PROPAGATING)
    assert work.labels.any(axis=(1, 2)).all()
    return [count for count in drawn if count < 7]


@pytest.mark.parametrize("plane", [2, 4])
def test_the_plane_that_is_shown_is_drawn_when_it_is_written(work, monkeypatch, plane):
    work.viewer.dims.set_point(0, plane)
    assert drawn_in_a_run(work, monkeypatch) == [plane + 1]


def test_other_planes_wait_until_they_are_shown(work, monkeypatch):
    assert drawn_in_a_run(work, monkeypatch) in ([], [1])  # the marked plane is written again
    work.viewer.dims.set_point(0, 5)
    assert work.control.labels._slice.image.raw.any()


@pytest.mark.parametrize("turn", ["3D", "rolled"])
def test_in_3d_and_across_the_planes_any_of_them_may_be_seen(work, turn):
    frame = work.control.workspace.frame()
    if turn == "3D":
        work.viewer.dims.ndisplay = 3
    else:
        work.viewer.dims.order = (1, 0, 2)
    assert work.control.workspace.shows({frame})
    assert not work.control.workspace.shows(set())
