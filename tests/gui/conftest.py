"""A real napari window, driven with the mouse and the keys."""

from __future__ import annotations

import gc
import os
import threading
import time
from itertools import pairwise
from unittest.mock import patch

import napari
import numpy as np
import pytest
from app_model import Application
from gui_scenes import drifting_disc
from kept_work import KeptWork
from napari._app_model._app import NapariApplication, _napari_names
from napari._qt._qapp_model.qactions import init_qactions
from napari.plugins import _initialize_plugins
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QCheckBox
from superqt import QCollapsible

from napari_anysam._napari import autosave, session_keeper
from napari_anysam._napari.active_model import active_model
from napari_anysam._napari.segment_widget import SegmentWidget
from napari_anysam._napari.status import Stage

MODEL = os.environ.get("ANYSAM_TEST_MODEL", "anysam-nano")


@pytest.fixture
def loaded_model(qapp):
    """The shipped model, active; loaded once per process."""
    active = active_model()
    if active.model is None:
        active.request(MODEL)
        active.wait(120)
        # napari collects garbage for every layer that is removed: spare it torch's objects.
        gc.collect()
        gc.freeze()
    assert active.model is not None
    return active.model


@pytest.fixture(autouse=True)
def _main_thread_only(monkeypatch):
    monkeypatch.setenv("NAPARI_ENSURE_PLUGIN_MAIN_THREAD", "1")


class Desk:
    """A viewer with the Segment dock, and a user's hands."""

    def __init__(self, viewer) -> None:
        self.proxy = viewer
        self.viewer = viewer.__wrapped__
        self.viewer.window._qt_window.resize(1100, 800)
        self.widget = SegmentWidget(viewer)
        viewer.window.add_dock_widget(self.widget, name="AnySAM: Segment")
        self.control = self.widget.controller
        self.thread = next(
            thread for thread in threading.enumerate() if thread.name == "anysam-inference"
        )
        self.settle()

    @property
    def canvas(self):
        return self.viewer.window._qt_viewer.canvas

    @property
    def status(self):
        return self.control.status

    @property
    def labels(self):
        return self.control.labels.data

    @property
    def preview(self):
        """The preview layer, if it is shown."""
        for layer in self.viewer.layers:
            if layer.name == "AnySAM preview" and layer.visible and layer.opacity:
                return layer
        return None

    def settle(self) -> None:
        """Let the window do what it has been asked."""
        for _ in range(3):
            QApplication.processEvents()

    def wait(self, condition, seconds: float = 60.0) -> None:
        """Run the event loop until something is true."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"still waiting; {self.status}"
            QApplication.processEvents()
            QTest.qWait(2)
        self.settle()

    def wait_for(self, *stages: Stage) -> None:
        self.wait(lambda: self.status.stage in stages)

    def wait_for_image(self, layer) -> None:
        self.wait(lambda: self.control.image is layer and self.status.drawing == "points")

    def add(self, data, **options):
        """Add an image and wait until it can be clicked."""
        image = self.viewer.add_image(data, **options)
        self.wait_for_image(image)
        return image

    def start_propagation(self):
        """Add a long stack, mark an object on it and begin to follow it."""
        image = self.add(np.concatenate([drifting_disc()] * 6), name="stack")
        self.viewer.dims.set_point(0, 2)
        self.click(image, (2, 40, 38))
        self.wait_for(Stage.PREVIEW)
        self.press(self.widget.stack.run_button)
        self.wait(lambda: self.status.done >= 1)
        return image

    def position(self, layer, data) -> QPoint:
        """Where in the canvas a data coordinate of a layer is drawn."""
        world = np.asarray(layer.data_to_world(data))[list(self.viewer.dims.displayed)]
        x, y, *_ = self.canvas.view.scene.transform.map([world[1], world[0], 0, 1])
        return QPoint(round(float(x)), round(float(y)))

    def click(self, layer, data, modifier=Qt.KeyboardModifier.NoModifier) -> None:
        native, where = self.canvas.native, self.position(layer, data)
        QTest.mouseMove(native, where)
        self.settle()
        QTest.mouseClick(native, Qt.MouseButton.LeftButton, modifier, where)
        self.settle()

    def drag(self, layer, start, end) -> None:
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        first, last = self.position(layer, start), self.position(layer, end)
        self._mouse(QEvent.Type.MouseMove, first, none, none)
        self._mouse(QEvent.Type.MouseButtonPress, first, left, left)
        for part in (0.3, 0.6, 1.0):
            between = first + (last - first) * part
            self._mouse(QEvent.Type.MouseMove, between, none, left)
        self._mouse(QEvent.Type.MouseButtonRelease, last, left, none)

    def stroke(self, layer, path, modifier=Qt.KeyboardModifier.NoModifier) -> None:
        """Drag along a path of data coordinates."""
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        places = [self.position(layer, place) for place in path]
        self._mouse(QEvent.Type.MouseMove, places[0], none, none, modifier)
        self._mouse(QEvent.Type.MouseButtonPress, places[0], left, left, modifier)
        for start, end in pairwise(places):
            for part in (0.25, 0.5, 0.75, 1.0):
                between = start + (end - start) * part
                self._mouse(QEvent.Type.MouseMove, between, none, left, modifier)
        self._mouse(QEvent.Type.MouseButtonRelease, places[-1], left, none, modifier)

    def _mouse(self, kind, where, button, buttons, modifier=Qt.KeyboardModifier.NoModifier) -> None:
        native = self.canvas.native
        event = QMouseEvent(
            kind,
            QPointF(where),
            QPointF(native.mapToGlobal(where)),
            button,
            buttons,
            modifier,
        )
        QApplication.sendEvent(native, event)
        self.settle()

    def key(self, key, modifier=Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(self.canvas.native, key, modifier)
        self.settle()

    def press(self, button) -> None:
        """Press a button of the dock with the mouse, in a section that is unfolded for it."""
        assert button.isEnabled(), button.toolTip()
        parent = button.parent()
        while parent is not None:
            if isinstance(parent, QCollapsible):
                parent.expand(animate=False)
            parent = parent.parent()
        self.settle()
        where = button.rect().center()
        if isinstance(button, QCheckBox):  # beside its words it takes no clicks
            where.setX(10)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton, pos=where)
        self.settle()


@pytest.fixture(scope="module")
def _own_application():
    """Give a module's window menus and commands of its own, as napari's fixture does per test."""
    application = NapariApplication("anysam_tests")
    application.injection_store.namespace = _napari_names
    _initialize_plugins.cache_clear()
    init_qactions.cache_clear()
    with patch.object(NapariApplication, "get_app_model", return_value=application):
        yield
    _initialize_plugins.cache_clear()
    init_qactions.cache_clear()
    Application.destroy("anysam_tests")


@pytest.fixture(scope="module")
def shared_viewer(_own_application):
    """One window for the tests of a module; opening one takes seconds."""
    viewer = napari.Viewer(show=True)
    yield viewer
    with patch.object(viewer.window._qt_window, "_save_current_window_settings"):
        viewer.close()
    QApplication.processEvents()
    del viewer
    gc.collect()


@pytest.fixture
def desk(qapp, shared_viewer, loaded_model):
    """A window with the dock open and no layer."""
    desk = Desk(PublicOnlyProxy(shared_viewer))
    yield desk
    shared_viewer.window.remove_dock_widget(desk.widget)
    shared_viewer.layers.clear()
    shared_viewer.dims.ndisplay = 2
    shared_viewer.dims.ndim = 2
    shared_viewer.reset_view()
    desk.settle()
    assert not desk.thread.is_alive()


@pytest.fixture
def new_desk(make_napari_viewer_proxy, loaded_model):
    """The same in a window of its own, which napari's fixture checks for leaks."""
    desk = Desk(make_napari_viewer_proxy(show=True))
    yield desk
    desk.widget.close_quietly()


@pytest.fixture(autouse=True)
def _own_preferences(monkeypatch, tmp_path):
    """Keep what tests set out of this user's preferences, and of the next test's."""
    monkeypatch.setenv("ANYSAM_CONFIG", str(tmp_path / "config"))


@pytest.fixture
def open_kept(loaded_model, monkeypatch):
    """Return what opens a TIFF file as a ``KeptWork`` that saves after every step and plane."""
    monkeypatch.setattr(autosave, "QUIET_SECONDS", 0.01)
    monkeypatch.setattr(session_keeper, "RUN_SECONDS", 0.0)
    opened = []

    def open_image(path):
        opened.append(KeptWork(path))
        return opened[-1]

    yield open_image
    for work in opened:
        work.close()
