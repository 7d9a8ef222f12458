"""Models from elsewhere: a repository of the hub, and a file whose content cannot tell all."""

import threading

import pytest
from nano_files import write_nano
from qtpy.QtCore import Qt

from fake_hub import REPOSITORY, serve_hub
from napari_anysam._napari.active_model import active_model
from napari_anysam._napari.model_manager import ModelManagerWidget
from napari_anysam.models.store import default_store
from tiny_sam import save_vit_b

pytestmark = pytest.mark.gui


@pytest.fixture
def manager(qtbot, loaded_model, tmp_path, monkeypatch):
    for variable in ("MODELS", "CONFIG", "CACHE"):
        monkeypatch.setenv(f"ANYSAM_{variable}", str(tmp_path / variable.lower()))
    active_model().request("anysam-nano")
    active_model().wait()
    widget = ModelManagerWidget()
    qtbot.addWidget(widget)
    widget.show()
    qtbot.waitExposed(widget)
    qtbot.waitUntil(lambda: len(widget.table.rows) > 0)
    yield widget
    active_model().request("anysam-nano")  # what the other tests of this process work with
    active_model().wait()


def press(qtbot, button):
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def titles(manager):
    return [row.title for row in manager.table.rows]


class TestFromTheHub:
    @pytest.fixture(autouse=True)
    def _own_cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("ANYSAM_OFFLINE", "0")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    @pytest.fixture
    def hub(self, tmp_path, monkeypatch):
        files = {"model.safetensors": write_nano(tmp_path / "x").read_bytes(), "README.md": b"x"}
        with serve_hub(files) as address:
            monkeypatch.setenv("HF_ENDPOINT", address)
            yield

    def fetch(self, qtbot, manager, repository):
        press(qtbot, manager.hub_button)
        qtbot.keyClicks(manager.hub.repository, repository)
        press(qtbot, manager.hub.fetch_button)

    def test_a_repository_is_fetched_loaded_and_listed(self, qtbot, hub, manager):
        self.fetch(qtbot, manager, REPOSITORY)
        qtbot.waitUntil(lambda: "model.safetensors" in titles(manager), timeout=60_000)
        assert active_model().name == "model"
        assert default_store().added()[0].name == "model.safetensors"
        assert not manager.hub.isVisible()

    def test_one_that_is_not_there_is_explained(self, qtbot, hub, manager):
        self.fetch(qtbot, manager, "somebody/else")
        qtbot.waitUntil(manager.hub.error.isVisible, timeout=30_000)
        assert "check its id" in manager.hub.error.text()
        assert manager.hub.fetch_button.isEnabled()

    def test_without_an_id_there_is_nothing_to_fetch(self, qtbot, hub, manager):
        press(qtbot, manager.hub_button)
        assert not manager.hub.fetch_button.isEnabled()
        assert "owner/name" in manager.hub.fetch_button.toolTip()

    def test_a_download_can_be_cancelled(self, qtbot, manager, monkeypatch):
        with serve_hub({"model.pt": bytes(30_000_000)}, seconds_per_piece=0.01) as address:
            monkeypatch.setenv("HF_ENDPOINT", address)
            self.fetch(qtbot, manager, REPOSITORY)
            qtbot.waitUntil(lambda: "left" in manager.hub.progress.text(), timeout=30_000)
            press(qtbot, manager.hub.cancel_button)
            assert not manager.hub.progress.isVisible()
        assert "model.pt" not in titles(manager)

    def test_closing_the_dock_in_the_middle_ends_the_download(
        self, qtbot, manager, tmp_path, monkeypatch
    ):
        with serve_hub({"model.pt": bytes(60_000_000)}, seconds_per_piece=0.01) as address:
            monkeypatch.setenv("HF_ENDPOINT", address)
            self.fetch(qtbot, manager, REPOSITORY)
            qtbot.waitUntil(lambda: "left" in manager.hub.progress.text(), timeout=30_000)
            manager.hub.deleteLater()  # as napari does with a dock that is closed
            qtbot.waitUntil(lambda: "anysam-background" not in thread_names(), timeout=30_000)
        assert not list((tmp_path / "hub").rglob("model.pt"))


def thread_names():
    return [thread.name for thread in threading.enumerate()]


class TestWhatAFileIs:
    @pytest.fixture
    def file(self, tmp_path):
        return save_vit_b(tmp_path / "colleague.pt")

    def test_the_question_is_asked_and_the_answer_is_used(self, qtbot, manager, file):
        manager._add_file(file)
        qtbot.waitUntil(manager.question.isVisible, timeout=30_000)
        assert "colleague.pt" in manager.question.question.text()
        assert not active_model().busy
        choices = [manager.question.variant.itemText(k) for k in range(20)]
        manager.question.variant.setFocus()
        qtbot.keyClicks(manager.question.variant, "MedSAM")
        assert "MedSAM" in choices
        assert manager.question.description.text()
        press(qtbot, manager.question.use_button)
        qtbot.waitUntil(lambda: "colleague" in active_model().name, timeout=60_000)
        assert not active_model().model.capabilities.points
        assert not manager.question.isVisible()

    def test_the_next_time_the_file_needs_no_question(self, qtbot, manager, file):
        default_store().add(file, variant="medsam")
        manager._refresh()
        qtbot.waitUntil(lambda: "colleague.pt" in titles(manager))
        manager.table.activated_row.emit(manager.table.rows[-1])
        qtbot.waitUntil(lambda: "colleague" in active_model().name, timeout=60_000)
        assert not active_model().model.capabilities.points

    def test_without_an_answer_nothing_happens(self, qtbot, manager, file):
        manager._add_file(file)
        qtbot.waitUntil(manager.question.isVisible, timeout=30_000)
        press(qtbot, manager.question.cancel_button)
        assert active_model().name == "anysam-nano-3"
        assert default_store().added() == ()

    def test_a_file_that_tells_all_is_not_asked_about(self, qtbot, manager, tmp_path):
        manager._add_file(write_nano(tmp_path / "own.safetensors"))
        qtbot.waitUntil(lambda: active_model().name == "own", timeout=60_000)
        assert not manager.question.isVisible()
