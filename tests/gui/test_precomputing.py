"""Stacks encoded in the background: clicks go first, and then need no encoder."""

import pytest
from gui_scenes import drifting_disc
from nano_files import write_small_sam
from napari.utils.notifications import notification_manager
from windowless import Work

from napari_anysam._napari.active_model import active_model
from napari_anysam._napari.propagation import StackRange
from napari_anysam._napari.status import Stage
from napari_anysam.segmentation.precompute import Progress

pytestmark = pytest.mark.gui

WHOLE = StackRange(0, 0, 6)


@pytest.fixture(scope="module")
def wide_file(tmp_path_factory):
    """SAM's layout with its input of 1024 pixels, and little else: random weights, 10 MB."""
    file = tmp_path_factory.mktemp("wide") / "wide.pth"
    return write_small_sam(file, 1024, width=64, depth=2, heads=1, window=14)


@pytest.fixture
def _fresh_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ANYSAM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def active(loaded_model, wide_file, _fresh_cache, tmp_path, monkeypatch):
    """A network with a large input is active; the shipped one is so again afterwards."""
    monkeypatch.setenv("ANYSAM_MODELS", str(tmp_path / "models"))
    active = active_model()
    active.request(wide_file)
    active.wait(120)
    yield active
    active.request("anysam-nano")
    active.wait(120)


@pytest.fixture
def work(active):
    work = Work(drifting_disc(), name="stack")
    yield work
    work.control.close()


def finish(work):
    work.wait(lambda: not work.control.stacks.precomputing.is_running)
    return work.control.stacks.precomputing.progress


def answered(work, place):
    work.click(place, Stage.PREVIEW, Stage.NOTHING_FOUND)
    return work.control.status


def test_a_click_on_a_precomputed_plane_encodes_nothing(work):
    work.control.stacks.precompute(WHOLE)
    assert finish(work) == Progress(7, 7, 7)
    for plane in (0, 5):
        work.viewer.dims.set_point(0, plane)
        status = answered(work, (plane, 40, 38))
        assert (status.from_disk, status.from_memory, status.encoded) == (1, 0, 0)
        work.control.clear()
    assert answered(work, (5, 42, 40)).from_memory == 1


def test_a_click_goes_first_and_the_run_goes_on(work):
    work.control.stacks.precompute(WHOLE)
    work.viewer.dims.set_point(0, 6)
    assert answered(work, (6, 40, 38)).encoded == 1
    assert work.control.stacks.precomputing.progress.done < 4
    progress = finish(work)
    assert (progress.done, progress.total) == (7, 7)
    assert progress.encoded == 6


def test_cancel_keeps_what_is_done_and_the_next_run_goes_on_there(work):
    run = work.control.stacks.precomputing
    work.control.stacks.precompute(WHOLE)
    work.wait(lambda: run.progress.done >= 2)
    run.cancel()
    done = finish(work).done
    assert done < 7
    work.control.stacks.precompute(WHOLE)
    progress = finish(work)
    assert progress.done == 7
    assert progress.encoded <= 7 - done


def test_another_contrast_is_encoded_anew(work):
    work.control.stacks.precompute(StackRange(0, 0, 1))
    finish(work)
    work.image.contrast_limits = (0, 150)
    work.viewer.dims.set_point(0, 0)
    assert answered(work, (0, 40, 38)).encoded == 1


def test_removing_the_image_ends_the_run(work):
    work.control.stacks.precompute(WHOLE)
    work.viewer.layers.remove(work.image)
    assert finish(work).done < 7


def test_another_model_ends_the_run(work, active):
    work.control.stacks.precompute(WHOLE)
    active.request("anysam-nano")
    active.wait(120)
    assert finish(work).done < 7


def test_closing_ends_the_run(work):
    work.control.stacks.precompute(WHOLE)
    work.control.close()
    assert not work.control._inference.is_alive


def test_without_room_on_disk_it_says_so(active, monkeypatch):
    monkeypatch.setenv("ANYSAM_EMBEDDING_DISK_GB", "0")
    work = Work(drifting_disc(), name="stack")
    work.control.stacks.precompute(WHOLE)
    assert not work.control.stacks.precomputing.is_running
    assert "embedding_disk_gb" in notification_manager.records[-1].message
    work.control.close()


@pytest.mark.usefixtures("_fresh_cache")
def test_the_button_shows_progress_and_what_came_of_it(desk):
    section = desk.widget.precompute
    assert not section.run_button.isEnabled()
    image = desk.add(drifting_disc(), name="stack")
    assert "Clicks go first" in section.run_button.toolTip()
    desk.widget.stack.first.setValue(2)
    desk.press(section.run_button)
    assert "Planes are being encoded already." in section.run_button.toolTip()
    desk.wait(lambda: not desk.control.stacks.precomputing.is_running)
    assert section.words.text() == "5 of 5 planes encoded: stack"
    assert section.run_button.isEnabled()
    assert not section.cancel_button.isEnabled()
    desk.viewer.dims.set_point(0, 3)
    desk.click(image, (3, 40, 42))
    desk.wait_for(Stage.PREVIEW)
    assert "1 from disk" in desk.widget.score.toolTip()
    assert "encoded now" in desk.widget.score.toolTip()


@pytest.mark.usefixtures("_fresh_cache")
def test_the_dock_says_when_nothing_had_to_be_encoded(desk):
    image = desk.add(drifting_disc()[0], name="disc")
    desk.click(image, (40, 32))
    desk.wait_for(Stage.PREVIEW)
    assert not desk.widget.score.text().endswith("cached")
    desk.press(desk.widget.clear_button)
    desk.click(image, (40, 32))
    desk.wait_for(Stage.PREVIEW)
    assert desk.widget.score.text().endswith(", cached")
    assert "from memory" in desk.widget.score.toolTip()
