"""Runs that are ended by closing the window, or by a kill: what was written is a valid session."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from gui_scenes import drifting_disc

from napari_anysam._napari.propagation import StackRange
from napari_anysam._napari.status import Stage
from napari_anysam.errors import SessionError
from napari_anysam.segmentation.replay import replay
from napari_anysam.segmentation.session_files import load_session

PLANES = 24
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def path(tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", np.concatenate([drifting_disc(8)] * 3))
    return tmp_path / "stack.tif"


def begin_run(work):
    work.viewer.dims.set_point(0, 3)
    work.keep((3, 40, 42))
    work.control.stacks.propagate(StackRange(0, 0, PLANES - 1, "both"))


def saved_run(folder):
    """Return the run of a folder's session and its labels; None before there is one."""
    try:
        loaded = load_session(folder)
    except SessionError:
        return None
    entry = loaded.session.journal[-1] if loaded.session.journal else None
    return None if entry is None or entry.run is None else (loaded, entry.run)


def test_what_a_run_has_written_is_saved_before_its_end(open_kept, path):
    """A kill finds what was saved last."""
    work, folder = open_kept(path), path.with_suffix(".anysam")
    begin_run(work)
    work.wait(lambda: saved_run(folder) is not None)
    assert work.stage is Stage.PROPAGATING
    loaded, run = saved_run(folder)
    assert 0 < run.results < PLANES
    written = {key[1] for key in loaded.session.kept}
    assert written == set(range(3, 3 + run.results))
    assert np.array_equal(loaded.labels[3], work.labels[3])
    work.wait(lambda: work.stage is not Stage.PROPAGATING)
    assert work.control.workspace.run_so_far is None
    work.wait(lambda: saved_run(folder)[1].results >= PLANES)
    assert len(load_session(folder).session.journal) == 2


def test_a_dock_closed_in_a_run_leaves_a_prefix_that_is_gone_on_with(open_kept, path):
    folder = path.with_suffix(".anysam")
    work = open_kept(path)
    begin_run(work)
    work.wait(lambda: work.control.status.done >= 5)
    work.close()
    loaded, run = saved_run(folder)
    assert 5 <= run.results < PLANES
    written = work.viewer.layers["stack labels"].data
    assert np.array_equal(loaded.labels, written)
    assert len(loaded.hand_edits) == 0
    assert np.array_equal(replay(loaded, work.image.data), written)

    again = open_kept(path)
    again.keeper.resume(folder, loaded)
    again.wait(lambda: again.stage in (Stage.READY, Stage.PREVIEW))
    assert np.array_equal(again.labels, written)
    again.propagate()
    assert again.labels.any(axis=(1, 2)).all()
    assert again.control.workspace.session.journal[-1].run.begun == run.results
    done = sorted({index for index in range(PLANES) if written[index].any()})
    assert np.array_equal(again.labels[done], written[done])


@pytest.mark.gui
def test_a_window_closed_in_a_run_leaves_its_planes_as_a_run(new_desk, open_kept, path):
    desk, folder = new_desk, path.with_suffix(".anysam")
    image = desk.add(tifffile.imread(path), name="stack")
    image._source = image.source.model_copy(update={"path": str(path)})
    desk.viewer.dims.set_point(0, 3)
    desk.click(image, (3, 40, 42))
    desk.wait_for(Stage.PREVIEW)
    desk.press(desk.widget.stack.run_button)
    desk.wait(lambda: desk.status.done >= 2)
    assert desk.status.stage is Stage.PROPAGATING
    desk.viewer.close()
    loaded, run = saved_run(folder)
    assert 2 <= run.results < PLANES
    assert len(loaded.hand_edits) == 0
    assert loaded.labels.any(axis=(1, 2)).sum() == run.results

    again = open_kept(path)
    again.keeper.resume(folder, loaded)
    again.wait(lambda: again.stage in (Stage.READY, Stage.PREVIEW))
    assert np.array_equal(again.labels, loaded.labels)
    where = StackRange(0, 0, PLANES - 1)
    assert again.control.stacks.continuation(where) is None  # the dock stops where objects end
    again.control.stacks.stop_at_ends(True)
    assert again.control.stacks.continuation(where).reached is not None
    again.control.stacks.stop_at_ends(False)
    again.propagate()
    assert again.labels.any(axis=(1, 2)).all()
