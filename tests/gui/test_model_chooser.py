"""The question what is segmented and on what, asked in the Model manager."""

import pytest
from qtpy.QtCore import Qt

from napari_anysam._napari.active_model import active_model
from napari_anysam._napari.model_manager import ModelManagerWidget
from napari_anysam.models.catalogue import IMAGE_KINDS

pytestmark = pytest.mark.gui


@pytest.fixture
def manager(qtbot, loaded_model, tmp_path, monkeypatch):
    monkeypatch.setenv("ANYSAM_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("ANYSAM_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("ANYSAM_CACHE", str(tmp_path / "cache"))
    assert active_model().model is loaded_model
    widget = ModelManagerWidget()
    qtbot.addWidget(widget)
    widget.show()
    qtbot.waitExposed(widget)
    qtbot.waitUntil(lambda: len(widget.table.rows) > 0)
    qtbot.mouseClick(widget.chooser_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "cores" in widget.chooser.device.itemText(0), timeout=30_000)
    return widget


def choose(qtbot, combo, words):
    """Pick an entry by typing its first letters, as a user may."""
    combo.setFocus()
    qtbot.keyClicks(combo, words)
    qtbot.keyClick(combo, Qt.Key.Key_Return)


def click_link(qtbot, browser, words):
    """Click the words of a link."""
    assert browser.find(words)
    cursor = browser.textCursor()
    cursor.setPosition(cursor.selectionStart() + 1)
    where = browser.cursorRect(cursor).center()
    qtbot.mouseClick(browser.viewport(), Qt.MouseButton.LeftButton, pos=where)


def test_nothing_is_proposed_before_a_kind_is_chosen(manager):
    assert manager.chooser.answer.toPlainText() == ""
    assert manager.chooser.kind.count() == len(IMAGE_KINDS) + 1


def test_the_best_model_is_selected_and_says_why(qtbot, manager):
    choose(qtbot, manager.chooser.kind, "electron")
    assert "micro-sam EM" in manager.chooser.answer.toPlainText()
    selected = manager.table.selected_row()
    assert selected.title.startswith("micro-sam EM")
    index = manager.table.rows.index(selected)
    shown = manager.table.visualItemRect(manager.table.item(index, 1))
    qtbot.waitUntil(lambda: manager.table.viewport().rect().intersects(shown))


def test_a_click_on_another_proposal_selects_it_past_the_filter(qtbot, manager):
    choose(qtbot, manager.chooser.kind, "natural")
    qtbot.keyClicks(manager.filter, "nothing holds this")
    first = manager.table.selected_row().title
    click_link(qtbot, manager.chooser.answer, "MobileSAM")
    assert manager.table.selected_row().title == "MobileSAM" != first
    assert not manager.table.isRowHidden(manager.table.currentRow())


def test_stacks_and_a_graphics_card_change_the_answer(qtbot, manager):
    choose(qtbot, manager.chooser.kind, "natural")
    on_this = manager.chooser.answer.toPlainText()
    qtbot.mouseClick(manager.chooser.stacks, Qt.MouseButton.LeftButton)
    assert manager.table.selected_row().spec.tracking
    assert manager.chooser.answer.toPlainText() != on_this
    choose(qtbot, manager.chooser.device, "an NVIDIA")
    assert manager.table.selected_row().title == "SAM 2.1 large"
