import hashlib
from dataclasses import replace

import pytest
from nano_files import write_nano
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QEnterEvent
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QRadioButton,
)

from fake_driver import install_nvidia_smi
from loopback import Serving, serve
from napari_anysam._napari import model_rows
from napari_anysam._napari.active_model import active_model
from napari_anysam._napari.downloads import downloads
from napari_anysam._napari.model_manager import ModelManagerWidget
from napari_anysam._napari.model_rows import COLUMNS
from napari_anysam.models import image_size
from napari_anysam.models.catalogue import catalogue, find_model
from napari_anysam.models.download import downloaded_bytes
from napari_anysam.models.measurements import Measurement, default_measurements
from napari_anysam.models.store import default_store

pytestmark = pytest.mark.gui


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [write_nano(folder / f"model_{seed}.safetensors", seed) for seed in range(2)]


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYSAM_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("ANYSAM_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("ANYSAM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def active(qapp):
    holder = active_model()
    holder.release()
    yield holder
    holder.release()


@pytest.fixture
def manager(qtbot, active, files):
    """The dock on the screen, with two added files, and the first of them active."""
    for file in files:
        default_store().add(file)
    active.request(files[0])
    active.wait()
    widget = ModelManagerWidget()
    qtbot.addWidget(widget)
    widget.show()
    qtbot.waitExposed(widget)
    qtbot.waitUntil(lambda: len(manager_titles(widget)) == len(catalogue()) + len(files))
    return widget


def manager_titles(manager):
    return [row.title for row in manager.table.rows]


def row_of(manager, title):
    return manager_titles(manager).index(title)


def radio_at(manager, row):
    radio = manager.table.cellWidget(row, 0)
    assert isinstance(radio, QRadioButton)
    return radio


def click_radio(qtbot, manager, title):
    """Press the round mark at the left of a row, where a user would."""
    row = row_of(manager, title)
    manager.table.scrollToItem(manager.table.item(row, 0))
    radio = radio_at(manager, row)
    qtbot.mouseClick(radio, Qt.MouseButton.LeftButton, pos=_mark(radio))


def _mark(radio):
    position = radio.rect().center()
    position.setX(8)
    return position


def select_row(qtbot, manager, title):
    item = manager.table.item(row_of(manager, title), 1)
    manager.table.scrollToItem(item)
    where = manager.table.visualItemRect(item).center()
    qtbot.mouseClick(manager.table.viewport(), Qt.MouseButton.LeftButton, pos=where)


def checked(manager):
    rows = enumerate(manager.table.rows)
    return [row.title for index, row in rows if radio_at(manager, index).isChecked()]


def cell(manager, title, column):
    columns = [entry.title for entry in COLUMNS]
    return manager.table.item(row_of(manager, title), columns.index(column)).text()


def choose_file(qtbot, manager, path):
    """Press "Add file...", write the path into the dialog and press Return."""
    qtbot.mouseClick(manager.add_button, Qt.MouseButton.LeftButton)
    dialog = manager.findChild(QFileDialog)
    qtbot.waitUntil(dialog.isVisible)
    line = dialog.findChild(QLineEdit)
    line.setText(str(path))
    opener = next(b for b in dialog.findChildren(QPushButton) if "Open" in b.text())
    qtbot.mouseClick(opener, Qt.MouseButton.LeftButton)


class TestTable:
    def test_lists_the_catalogue_and_the_added_files(self, manager, files):
        known = [spec.title for spec in catalogue()]
        assert manager_titles(manager) == known + [file.name for file in files]

    def test_marks_the_active_model_and_only_it(self, manager):
        assert checked(manager) == ["model_0.safetensors"]
        assert "model_0 is active, on cpu in fp32." in manager.state.text()

    def test_a_model_that_is_not_on_disk_cannot_be_chosen_and_says_why(self, manager):
        row = row_of(manager, "SAM 2.1 tiny")
        radio = radio_at(manager, row)
        assert not radio.isEnabled()
        assert "https://dl.fbaipublicfiles.com" in radio.toolTip()
        assert manager.table.item(row, 1).text() == "not on disk"

    def test_shows_size_tracking_and_licence(self, manager):
        columns = ("Status", "Size", "Video", "Good for", "Licence")
        cells = [cell(manager, "SAM 2.1 tiny", column) for column in columns]
        assert cells == ["not on disk", "156 MB", "yes", "natural images", "Apache-2.0"]

    def test_a_selected_row_tells_more(self, qtbot, manager):
        select_row(qtbot, manager, "SAM ViT-B")
        assert "93.7 million parameters" in manager.details.toPlainText()
        assert 'href="https://dl.fbaipublicfiles.com' in manager.details.toHtml()


def shown(manager):
    rows = enumerate(manager.table.rows)
    return [row.title for index, row in rows if not manager.table.isRowHidden(index)]


class TestFilter:
    def test_words_that_are_typed_hide_the_other_rows(self, qtbot, manager):
        qtbot.keyClicks(manager.filter, "micro-sam histo")
        assert shown(manager) == [f"PathoSAM ViT-{size}" for size in "BLH"]
        manager.filter.clear()
        assert len(shown(manager)) == manager.table.rowCount()

    def test_it_looks_at_prompts_tracking_and_status(self, qtbot, manager):
        qtbot.keyClicks(manager.filter, "VIDEO ct")
        assert "MedSAM2" in shown(manager)
        assert "MedSAM" not in shown(manager)
        manager.filter.setText("built in")
        assert shown(manager) == ["anysam-nano"]


def press_header(qtbot, manager, title):
    header = manager.table.horizontalHeader()
    index = [column.title for column in COLUMNS].index(title)
    manager.table.scrollTo(manager.table.model().index(0, index))
    x = header.sectionViewportPosition(index) + header.sectionSize(index) // 2
    where = QPoint(x, header.height() // 2)
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=where)


class TestSorting:
    def test_a_click_on_a_columns_title_sorts_and_the_third_restores(self, qtbot, manager):
        before = manager_titles(manager)
        press_header(qtbot, manager, "Size")
        sizes = [row.size_bytes for row in manager.table.rows if row.size_bytes is not None]
        assert sizes == sorted(sizes)
        press_header(qtbot, manager, "Size")
        sizes = [row.size_bytes for row in manager.table.rows if row.size_bytes is not None]
        assert sizes == sorted(sizes, reverse=True)
        press_header(qtbot, manager, "Size")
        assert manager_titles(manager) == before

    def test_the_active_and_the_selected_model_stay_so(self, qtbot, manager):
        select_row(qtbot, manager, "SAM ViT-B")
        press_header(qtbot, manager, "Status")
        assert manager.table.rows[0].available
        assert checked(manager) == ["model_0.safetensors"]
        assert manager.table.selected_row().title == "SAM ViT-B"

    def test_the_filter_stays(self, qtbot, manager):
        qtbot.keyClicks(manager.filter, "micro-sam histo")
        press_header(qtbot, manager, "Size")
        assert shown(manager) == [f"PathoSAM ViT-{size}" for size in "BLH"]


class TestWhatIsSaid:
    def test_a_graphics_card_that_lies_idle_is_named(
        self, qtbot, manager, active, files, tmp_path, monkeypatch
    ):
        assert not manager.hint.isVisible()
        install_nvidia_smi(monkeypatch, tmp_path, answer="NVIDIA RTX A2000")
        active.request(files[1])
        qtbot.waitUntil(lambda: not active.busy, timeout=60_000)
        qtbot.waitUntil(manager.hint.isVisible)
        assert "NVIDIA RTX A2000" in manager.hint.text()

    def test_what_was_measured_is_shown_when_the_mouse_comes_back(self, qtbot, manager):
        default_measurements().record(
            Measurement(
                "sam-vit-b", "cpu", "bf16", 4.5, 1_230_000_000, 2, "2026-01-01", image_size=1024
            )
        )
        QApplication.sendEvent(manager, QEnterEvent(QPointF(3, 3), QPointF(3, 3), QPointF(3, 3)))
        qtbot.waitUntil(lambda: cell(manager, "SAM ViT-B", "Speed") == "4.5 s")
        assert cell(manager, "SAM ViT-B", "Memory") == "1.2 GB"


class TestActivating:
    def test_a_click_loads_the_model_in_the_background(self, qtbot, manager, active):
        click_radio(qtbot, manager, "model_1.safetensors")
        assert active.busy
        assert manager.progress.isVisible()
        assert "Loading model_1.safetensors" in manager.state.text()
        qtbot.waitUntil(lambda: not active.busy, timeout=60_000)
        assert active.name == "model_1"
        assert not manager.progress.isVisible()
        assert checked(manager) == ["model_1.safetensors"]

    def test_the_last_of_two_quick_clicks_counts(self, qtbot, manager, active):
        click_radio(qtbot, manager, "model_1.safetensors")
        click_radio(qtbot, manager, "model_0.safetensors")
        qtbot.waitUntil(lambda: not active.busy, timeout=60_000)
        assert (active.name, checked(manager)) == ("model_0", ["model_0.safetensors"])

    def test_another_precision_loads_the_active_model_again(self, qtbot, manager, active):
        for _ in range(2):  # from auto past fp32 to bf16
            qtbot.keyClick(manager.precision, Qt.Key.Key_Down)
        assert active.busy
        qtbot.waitUntil(lambda: not active.busy, timeout=60_000)
        assert (active.name, active.model.precision) == ("model_0", "bf16")

    def test_a_model_that_sees_one_size_offers_no_other(self, manager):
        assert manager.image_size.chosen is None
        assert not manager.image_size.isEnabled()
        assert "images of one size" in manager.image_size.toolTip()

    def test_fewer_pixels_are_chosen_and_given_back(self, qtbot, manager, active, monkeypatch):
        # As if the shipped network, which sees 256 pixels, were one of those that see 1024.
        monkeypatch.setattr(image_size, "SMALLER_IMAGE_SIZE", 128)
        manager.image_size.setItemData(1, 128)
        manager._refresh()
        assert manager.image_size.isEnabled()
        qtbot.keyClick(manager.image_size, Qt.Key.Key_Down)
        assert active.busy
        qtbot.waitUntil(lambda: not active.busy, timeout=60_000)
        assert (active.name, active.model.image_size) == ("model_0", 128)
        assert manager.image_size.isEnabled()
        click_radio(qtbot, manager, "model_1.safetensors")  # it sees what it was made for
        qtbot.waitUntil(lambda: not active.busy, timeout=60_000)
        assert (active.name, active.model.image_size) == ("model_1", 256)
        assert manager.image_size.chosen is None

    def test_follows_a_request_made_elsewhere(self, qtbot, manager, active, files):
        active.request(files[1], precision="bf16")
        assert manager.progress.isVisible()
        qtbot.waitUntil(lambda: not active.busy, timeout=60_000)
        assert checked(manager) == ["model_1.safetensors"]
        assert manager.precision.currentText() == "bf16"


class TestAddingAFile:
    def test_a_good_one_becomes_active_and_stays_in_the_list(
        self, qtbot, manager, active, tmp_path
    ):
        file = write_nano(tmp_path / "colleague.safetensors", seed=7)
        choose_file(qtbot, manager, file)
        qtbot.waitUntil(lambda: checked(manager) == ["colleague.safetensors"], timeout=60_000)
        assert active.name == "colleague"
        assert file in default_store().added()

    def test_a_bad_one_is_explained_and_changes_nothing(self, qtbot, manager, active, tmp_path):
        page = tmp_path / "model.pt"
        page.write_text("<!DOCTYPE html><title>Log in</title>")
        before = active.model
        choose_file(qtbot, manager, page)
        qtbot.waitUntil(manager.error.isVisible, timeout=60_000)
        assert "is a web page" not in manager.state.text()
        assert "a web page" in manager.error.text()
        assert active.model is before
        assert checked(manager) == ["model_0.safetensors"]
        assert page not in default_store().added()

    def test_the_explanation_goes_with_the_next_success(self, qtbot, manager, active, tmp_path):
        choose_file(qtbot, manager, _empty(tmp_path / "empty.pt"))
        qtbot.waitUntil(manager.error.isVisible, timeout=60_000)
        click_radio(qtbot, manager, "model_1.safetensors")
        qtbot.waitUntil(lambda: active.name == "model_1", timeout=60_000)
        assert not manager.error.isVisible()

    def test_an_added_file_can_be_forgotten(self, qtbot, manager, files):
        select_row(qtbot, manager, "model_1.safetensors")
        qtbot.mouseClick(manager.forget_button, Qt.MouseButton.LeftButton)
        assert default_store().added() == (files[0],)
        assert files[1].exists()
        qtbot.waitUntil(lambda: len(manager_titles(manager)) == len(catalogue()) + 1)

    def test_a_catalogue_model_cannot_be_forgotten_and_says_why(self, qtbot, manager):
        select_row(qtbot, manager, "SAM ViT-B")
        assert not manager.forget_button.isEnabled()
        assert "Select a file that was added" in manager.forget_button.toolTip()


def _empty(file):
    file.touch()
    return file


class TestInNapari:
    def test_opens_from_the_plugin_and_closes_without_a_trace(
        self, make_napari_viewer_proxy, active, files, qtbot
    ):
        listeners = len(active.loaded)
        active.request(files[0])
        active.wait()
        viewer = make_napari_viewer_proxy(show=True)
        dock, widget = viewer.window.add_plugin_dock_widget("napari-anysam", "Model manager")
        assert isinstance(widget, ModelManagerWidget)
        qtbot.waitUntil(lambda: len(active.loaded) == listeners + 1)
        viewer.window.remove_dock_widget(dock)
        assert len(active.loaded) == listeners

    def test_stays_usable_when_narrow(self, make_napari_viewer, active, files, qtbot):
        active.request(files[0])
        active.wait()
        viewer = make_napari_viewer(show=True)
        _, widget = viewer.window.add_plugin_dock_widget("napari-anysam", "Model manager")
        assert widget.minimumSizeHint().width() <= 250
        for button in (widget.add_button, widget.hub_button, widget.forget_button):
            assert button.sizeHint().width() <= 120

    def test_loads_the_shipped_model_on_first_need(self, make_napari_viewer, active, qtbot):
        viewer = make_napari_viewer(show=True)
        viewer.window.add_plugin_dock_widget("napari-anysam", "Model manager")
        qtbot.waitUntil(lambda: active.busy)
        assert active.requested.name_or_path == "anysam-nano"
        active.wait()


CONTENT = bytes(range(256)) * 2000


@pytest.fixture
def serving():
    return Serving(CONTENT, seconds_per_piece=0.02)


@pytest.fixture
def downloadable(serving, monkeypatch, manager, qtbot):
    """Let one model of the catalogue be served from loopback; it can be changed."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with serve(serving) as address:

        def change(**changes):
            spec = replace(
                find_model("sam-vit-b"),
                urls=(f"{address}/small.pth",),
                size_bytes=len(CONTENT),
                sha256=hashlib.sha256(CONTENT).hexdigest(),
                **changes,
            )
            known = tuple(spec if one.name == spec.name else one for one in catalogue())
            monkeypatch.setattr(model_rows, "catalogue", lambda: known)
            manager._refresh()
            qtbot.waitUntil(lambda: spec in [row.spec for row in manager.table.rows])
            return spec

        yield change
        downloads().pause_all()


def status(manager):
    return cell(manager, "SAM ViT-B", "Status")


def press(qtbot, button):
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


class TestDownloading:
    def test_download_pause_continue_and_delete(self, qtbot, serving, downloadable, manager):
        downloadable()
        select_row(qtbot, manager, "SAM ViT-B")
        press(qtbot, manager.transfers.download_button)
        qtbot.waitUntil(lambda: "left" in status(manager), timeout=30_000)
        assert manager.transfers.download_button.text() == "Pause"
        assert "left" in manager.transfers.progress.text()
        assert manager.transfers.progress.isVisible()
        press(qtbot, manager.transfers.download_button)
        qtbot.waitUntil(lambda: "paused at" in status(manager), timeout=30_000)
        assert not manager.transfers.progress.isVisible()
        assert manager.transfers.download_button.text() == "Continue"
        serving.seconds_per_piece = 0
        press(qtbot, manager.transfers.download_button)
        qtbot.waitUntil(lambda: status(manager) == "on disk", timeout=30_000)
        assert "Range" in serving.asked[-1]
        assert radio_at(manager, row_of(manager, "SAM ViT-B")).isEnabled()
        press(qtbot, manager.transfers.delete_button)
        qtbot.waitUntil(lambda: status(manager) == "not on disk")

    def test_what_has_arrived_can_be_discarded(self, qtbot, downloadable, manager):
        spec = downloadable()
        select_row(qtbot, manager, "SAM ViT-B")
        press(qtbot, manager.transfers.download_button)
        qtbot.waitUntil(lambda: "left" in status(manager), timeout=30_000)
        press(qtbot, manager.transfers.delete_button)
        qtbot.waitUntil(lambda: status(manager) == "not on disk", timeout=30_000)
        assert downloaded_bytes(spec, default_store()) == 0

    def test_a_failure_is_told_in_the_dock(self, qtbot, serving, downloadable, manager):
        serving.status = 404
        downloadable()
        select_row(qtbot, manager, "SAM ViT-B")
        press(qtbot, manager.transfers.download_button)
        qtbot.waitUntil(lambda: "404" in manager.error.text(), timeout=30_000)
        qtbot.waitUntil(lambda: manager.transfers.download_button.text() == "Download")

    @pytest.mark.parametrize("answer", ["Yes", "No"])
    def test_a_licence_that_limits_the_use_is_asked_for(
        self, qtbot, serving, downloadable, manager, answer
    ):
        serving.seconds_per_piece = 0
        downloadable(restricted=True, licence="Strict 1.0")
        select_row(qtbot, manager, "SAM ViT-B")
        press(qtbot, manager.transfers.download_button)
        box = manager.findChild(QMessageBox)
        assert "Strict 1.0" in box.text()
        press(qtbot, box.button(getattr(QMessageBox.StandardButton, answer)))
        if answer == "Yes":
            qtbot.waitUntil(lambda: status(manager) == "on disk", timeout=30_000)
        else:
            assert serving.asked == []
