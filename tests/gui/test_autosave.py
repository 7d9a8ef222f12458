"""Sessions that are saved by themselves, and opened where they were left."""

from __future__ import annotations

import os
import shutil
import time

import numpy as np
import pytest
import tifffile
from gui_scenes import blobs, drifting_disc
from kept_work import KeptWork
from napari.layers import Labels
from napari.plugins import _initialize_plugins

from napari_anysam._napari import autosave
from napari_anysam._napari.status import Stage
from napari_anysam.errors import SessionError
from napari_anysam.segmentation.replay import replay
from napari_anysam.segmentation.session_files import load_session, lock_session

FIRST, SECOND = (40, 40), (60, 95)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def path(tmp_path):
    tifffile.imwrite(tmp_path / "discs.tif", blobs())
    return tmp_path / "discs.tif"


@pytest.fixture
def open_work(loaded_model, monkeypatch):
    _initialize_plugins()  # napari's readers
    monkeypatch.setattr(autosave, "QUIET_SECONDS", 0.05)
    opened = []

    def open_image(path):
        opened.append(KeptWork(path))
        return opened[-1]

    yield open_image
    for work in opened:
        if work.keeper is not None:
            work.close()


def close(work):
    """Close a window before the test ends."""
    work.close()
    work.keeper = None


def test_every_step_is_saved_beside_the_image(open_work, path):
    work, folder = open_work(path), path.with_suffix(".anysam")
    assert not folder.exists()
    work.click(FIRST)
    work.wait(lambda: work.keeper.words == "Saved in discs.anysam")
    assert len(load_session(folder).session.prompts) == 1
    work.control.accept()
    work.wait(lambda: len(load_session(folder).session.journal) == 1)
    assert np.array_equal(load_session(folder).labels, work.labels)
    work.control.undo()
    work.wait(lambda: not load_session(folder).session.journal)
    assert not load_session(folder).labels.any()


def test_a_brush_stroke_is_saved(open_work, path):
    work, folder = open_work(path), path.with_suffix(".anysam")
    work.keep(FIRST)
    work.wait(lambda: work.keeper.words == "Saved in discs.anysam")
    layer = work.control.labels
    layer.mode, layer.selected_label = "paint", 9
    with layer.block_history():
        layer.paint((80, 20), 9)
    layer.events.paint(value=[])
    work.wait(lambda: 9 in load_session(folder).labels)
    loaded = load_session(folder)
    assert np.array_equal(replay(loaded, work.image.data), work.labels)


def test_what_was_done_last_is_saved_on_close(open_work, path, monkeypatch):
    work = open_work(path)
    monkeypatch.setattr(autosave, "QUIET_SECONDS", 600)
    work.keep(FIRST)
    work.control.labels.data[0, 0] = 5
    labels = work.labels.copy()
    close(work)
    assert np.array_equal(load_session(path.with_suffix(".anysam")).labels, labels)


def test_an_earlier_session_is_never_written_over(open_work, path):
    first = open_work(path)
    first.keep(FIRST)
    close(first)
    before = (path.with_suffix(".anysam") / "session.json").read_bytes()
    second = open_work(path)
    second.keep(SECOND)
    second.wait(lambda: second.keeper.words == "Saved in discs-2.anysam")
    assert (path.with_suffix(".anysam") / "session.json").read_bytes() == before


def test_a_session_is_opened_where_it_was_left_and_gone_on_with(open_work, path):
    folder = path.with_suffix(".anysam")
    first = open_work(path)
    first.image.contrast_limits = (20, 210)
    first.click(FIRST)
    first.control.accept()
    first.control.workspace.session.name_class(1, "coin")
    first.click(SECOND)
    labels, points = first.labels.copy(), first.points.data.copy()
    close(first)

    second = open_work(path)
    second.keeper.resume(folder, load_session(folder))
    second.wait(lambda: second.stage is Stage.PREVIEW)
    assert np.array_equal(second.labels, labels)
    assert np.array_equal(second.points.data, points)
    assert second.control.status.object_id == 2
    assert tuple(second.image.contrast_limits) == (20, 210)
    session = second.control.workspace.session
    assert session.classes == {1: "coin"}
    assert session.kept[1, None].window.area == (labels == 1).sum()
    assert not session.can_undo
    second.control.accept()
    second.keep((10, 20))
    labels = second.labels.copy()
    close(second)
    loaded = load_session(folder)
    assert len(loaded.session.journal) == 3
    assert np.array_equal(replay(loaded, tifffile.imread(path)), labels)
    assert not path.with_name("discs-2.anysam").exists()


def test_a_session_opens_its_image_and_the_plane_of_a_stack(open_work, path, tmp_path):
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, drifting_disc())
    first = open_work(stack)
    first.viewer.dims.set_point(0, 2)
    first.keep((2, 40, 38))
    first.propagate(first=1, last=3)
    first.viewer.dims.set_point(0, 4)
    first.click((4, 40, 46))
    labels = first.labels.copy()
    close(first)
    folder = tmp_path / "stack.anysam"
    assert load_session(folder).session.plane == 4

    second = open_work(path)
    second.keeper.resume(folder, load_session(folder))
    second.wait(lambda: second.stage is Stage.PREVIEW)
    assert second.control.image.name == "stack"
    assert second.viewer.dims.point[0] == 4
    assert np.array_equal(second.labels, labels)


def test_a_session_of_another_image_is_refused(open_work, path):
    folder = path.with_suffix(".anysam")
    first = open_work(path)
    first.keep(FIRST)
    close(first)
    tifffile.imwrite(path, 255 - blobs())
    second = open_work(path)
    with pytest.raises(SessionError, match="pixels are others"):
        second.keeper.resume(folder, load_session(folder))
    path.unlink()
    with pytest.raises(SessionError, match="open the image, then the session"):
        second.keeper.resume(folder, load_session(folder))
    lock_session(folder).release()


def test_an_image_that_was_worked_on_keeps_its_work(open_work, path):
    folder = path.with_suffix(".anysam")
    first = open_work(path)
    first.keep(FIRST)
    close(first)
    second = open_work(path)
    second.keep(SECOND)
    labels = second.labels.copy()
    with pytest.raises(SessionError, match="worked on already"):
        second.keeper.resume(folder, load_session(folder))
    assert np.array_equal(second.labels, labels)


def test_a_session_that_is_open_elsewhere_is_refused(open_work, path):
    folder = path.with_suffix(".anysam")
    first = open_work(path)
    first.keep(FIRST)
    first.wait(lambda: first.keeper.words == "Saved in discs.anysam")
    second = open_work(path)
    with pytest.raises(SessionError, match="open in another window"):
        second.keeper.resume(folder, load_session(folder))
    second.keep(SECOND)
    second.wait(lambda: second.keeper.words == "Saved in discs-2.anysam")


def test_an_image_without_a_file_is_saved_in_a_chosen_folder(open_work, path, tmp_path):
    work = open_work(path)
    work.image._source = work.image.source.model_copy(update={"path": None})
    work.keep(FIRST)
    assert "choose a folder" in work.keeper.words
    (tmp_path / "sessions").mkdir()
    work.keeper.save_in(tmp_path / "sessions")
    work.wait(lambda: work.keeper.words == "Saved in discs.anysam")
    assert len(load_session(tmp_path / "sessions" / "discs.anysam").session.journal) == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder that refuses")
def test_a_folder_that_cannot_be_written_is_told(open_work, path):
    path.parent.chmod(0o500)
    try:
        work = open_work(path)
        work.keep(FIRST)
        work.wait(lambda: work.keeper.words.startswith("Not saved"))
    finally:
        path.parent.chmod(0o700)


def test_a_save_that_failed_is_told_and_the_next_one_succeeds(open_work, path):
    work, folder = open_work(path), path.with_suffix(".anysam")
    work.click(FIRST)
    work.wait(lambda: work.keeper.words == "Saved in discs.anysam")
    shutil.rmtree(folder)
    folder.write_text("in the way")
    work.control.accept()
    work.wait(lambda: work.keeper.words.startswith("Not saved"))
    folder.unlink()
    folder.mkdir()
    work.keep(SECOND)
    close(work)
    assert len(load_session(folder).session.journal) == 2


def test_rolled_axes_begin_another_session(open_work, tmp_path):
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, drifting_disc())
    work = open_work(stack)
    work.viewer.dims.set_point(0, 0)
    work.keep((0, 40, 30))
    work.wait(lambda: work.keeper.words == "Saved in stack.anysam")
    work.viewer.dims.order = (1, 0, 2)
    work.viewer.dims.set_point(1, 40)
    work.click((3, 40, 42), Stage.PREVIEW)
    work.wait(lambda: work.keeper.words == "Saved in stack-2.anysam")
    assert len(load_session(tmp_path / "stack.anysam").session.journal) == 1


def test_saving_waits_for_a_pause_but_not_for_ever(open_work, path, monkeypatch):
    monkeypatch.setattr(autosave, "QUIET_SECONDS", 600)
    monkeypatch.setattr(autosave, "PATIENCE_SECONDS", 0.5)
    work = open_work(path)
    begun = time.monotonic()
    work.click(FIRST)
    work.wait(lambda: work.keeper.words == "Saved in discs.anysam")
    assert time.monotonic() - begun > 0.5


def test_nothing_is_saved_when_it_is_switched_off(open_work, path):
    work = open_work(path)
    work.keeper.enabled = False
    work.keep(FIRST)
    close(work)
    assert not path.with_suffix(".anysam").exists()


def test_labels_chosen_later_begin_another_session(open_work, path):
    work = open_work(path)
    work.keep(FIRST)
    work.wait(lambda: work.keeper.words == "Saved in discs.anysam")
    other = work.viewer.add_layer(Labels(np.full((96, 128), 3, np.int32), name="nuclei"))
    other.data[30:60, 20:60] = 0
    work.control.choose_labels(other)
    work.keep(FIRST)
    labels, pixels = other.data.copy(), work.image.data
    close(work)
    loaded = load_session(path.with_name("discs-2.anysam"))
    assert np.array_equal(replay(loaded, pixels), labels)


def test_a_session_is_opened_again_in_the_viewer_whose_image_was_removed(open_work, path):
    work, folder = open_work(path), path.with_suffix(".anysam")
    work.keep(FIRST)
    work.wait((folder / "session.json").exists)
    work.wait(lambda: len(load_session(folder).session.journal) == 1)
    labels = work.labels.copy()
    with pytest.raises(SessionError, match="or in this one"):
        work.keeper.resume(folder, load_session(folder))
    work.viewer.layers.clear()
    work.wait(lambda: not any(map(work.keeper._autosave.is_behind, work.keeper._homes)))
    work.keeper.resume(folder, load_session(folder))
    assert np.array_equal(work.labels, labels)
    assert np.array_equal(work.points.data, [FIRST])
