"""Windows that open and close; napari's own fixture finds what they leave behind."""

from __future__ import annotations

import pytest
from gui_scenes import blobs

from napari_anysam._napari.active_model import active_model

pytestmark = pytest.mark.gui


def test_closing_the_window_during_a_propagation_stops_the_thread(new_desk):
    new_desk.start_propagation()
    thread = new_desk.thread
    new_desk.viewer.close()
    assert not thread.is_alive()


def test_the_menu_opens_a_dock_that_segments_the_image_at_hand(
    make_napari_viewer_proxy, loaded_model
):
    viewer = make_napari_viewer_proxy(show=True)
    image = viewer.add_image(blobs(), name="discs")
    _, widget = viewer.window.add_plugin_dock_widget("napari-anysam", "Segment")
    assert active_model().model is loaded_model
    assert widget.hint.text().startswith("Click an object")
    assert widget.image_combo.currentText() == image.name
    viewer.window.remove_dock_widget(widget)
    assert not widget.controller._inference.is_alive
