"""Sessions in the window: the dock says where they are saved, and opens one."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from gui_scenes import blobs
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_anysam._napari.status import Stage
from napari_anysam.segmentation.session_files import load_session

pytestmark = pytest.mark.gui


@pytest.fixture
def discs(desk, tmp_path):
    """The desk with an image from a file."""
    tifffile.imwrite(tmp_path / "discs.tif", blobs())
    (image,) = desk.viewer.open(str(tmp_path / "discs.tif"), plugin="napari")
    desk.wait_for_image(image)
    return image


def was_told(words):
    return any(words in record.message for record in notification_manager.records)


def test_the_dock_saves_and_opens_a_session(desk, discs, tmp_path, monkeypatch):
    section, folder = desk.widget.session, tmp_path / "discs.anysam"
    desk.click(discs, (40, 40))
    desk.wait_for(Stage.PREVIEW)
    desk.key(Qt.Key.Key_Return)
    labels = desk.labels.copy()
    desk.wait(lambda: section.words.text() == "Saved in discs.anysam")
    desk.wait(lambda: len(load_session(folder).session.journal) == 1)
    section.open(folder)
    desk.wait(lambda: was_told("in this one; close its image"))
    desk.viewer.layers.clear()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    desk.press(section.open_button)
    desk.wait(lambda: desk.control.labels is not None)
    assert np.array_equal(desk.labels, labels)
    assert desk.control.image.name == "discs"
    assert "Opened discs.anysam" in section.words.text()


def test_what_was_saved_last_of_an_image_is_offered(desk, discs, tmp_path):
    section = desk.widget.session
    for name in ("discs.anysam", "discs-2.anysam"):  # the second time without going on
        assert desk.control.image is not None
        image = desk.control.image
        desk.click(image, (40, 40))
        desk.wait_for(Stage.PREVIEW)
        desk.key(Qt.Key.Key_Return)
        desk.wait(lambda name=name: section.words.text() == f"Saved in {name}")
        assert section.keeper.earlier is None
        labels = desk.labels.copy()
        desk.viewer.layers.clear()
        (image,) = desk.viewer.open(str(tmp_path / "discs.tif"), plugin="napari")
        desk.wait_for_image(image)
        assert was_told(f"Go on with {name}")
    assert section.earlier_button.text() == "Go on with discs-2.anysam"
    desk.press(section.earlier_button)
    desk.wait(lambda: desk.control.labels is not None)
    assert np.array_equal(desk.labels, labels)
    assert section.keeper.earlier is None
    assert "Opened discs-2.anysam" in section.words.text()


def test_an_image_that_nobody_worked_on_has_nothing_to_go_on_with(desk, discs, tmp_path):
    (tmp_path / "discs.anysam").mkdir()  # no session yet, only a folder of that name
    section = desk.widget.session
    section.keeper.save_in(tmp_path)
    assert section.keeper.earlier is None
    assert not section.earlier_button.isVisibleTo(section)


def test_a_folder_that_is_no_session_is_refused_in_words(desk, discs, tmp_path, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    desk.press(desk.widget.session.open_button)
    desk.wait(lambda: was_told("holds no session"))


def test_switched_off_nothing_is_written(desk, discs, tmp_path):
    desk.press(desk.widget.session.save)
    assert not desk.widget.session.save.isChecked()
    desk.click(discs, (40, 40))
    desk.wait_for(Stage.PREVIEW)
    desk.key(Qt.Key.Key_Return)
    desk.widget.close_quietly()
    assert not (tmp_path / "discs.anysam").exists()
