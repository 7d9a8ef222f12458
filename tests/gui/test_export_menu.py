"""Export of any labels, opened from the menus."""

from __future__ import annotations

import time

import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QApplication

from napari_anysam._napari.export_section import ExportWidget


@pytest.mark.gui
def test_the_menu_opens_a_dock_that_exports_any_labels(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer(show=True)
    truth = np.tri(12, 16, dtype=np.int32)
    layer = viewer.add_labels(truth, name="mine")
    viewer.layers.selection = {layer}
    menus = {
        action.text(): action
        for menu in (viewer.window.file_menu, viewer.window.layers_menu)
        for inner in menu.actions()
        if inner.menu() is not None
        for action in inner.menu().actions()
    }
    (command,) = (one for text, one in menus.items() if text.startswith("Export labels"))
    command.trigger()
    dock = next(iter(viewer.window._qt_window.findChildren(ExportWidget)))
    path = tmp_path / "mine.tif"
    dock.export_to(path)
    end = time.monotonic() + 30
    while not dock.words.text().startswith("Written"):
        assert time.monotonic() < end
        QApplication.processEvents()
    np.testing.assert_array_equal(tifffile.imread(path), truth)
    viewer.layers.remove(layer)
    assert not dock.run_button.isEnabled()
