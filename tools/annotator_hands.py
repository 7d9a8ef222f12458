"""A user's hands in napari: mouse and keys, sent to the window as Qt's events."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QScrollArea
from superqt import QCollapsible

from napari_anysam._napari.active_model import active_model

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from numpy.typing import NDArray

    from napari_anysam._napari.segment_widget import SegmentWidget

PATIENCE = 120.0
_LEFT, _NO_BUTTON = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
_NO_KEY = Qt.KeyboardModifier.NoModifier


class Hands:
    """Mouse and keyboard.

    Parameters
    ----------
    viewer : napari Viewer
        With a window that is shown.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer
        self._window = viewer.window._qt_window
        self._canvas = viewer.window._qt_viewer.canvas

    def open_dock(self) -> SegmentWidget:
        """Open the Segment dock through the Plugins menu, and wait for its model."""
        menus = [action.menu() for action in self._window.menuBar().actions()]
        plugins = next(menu for menu in menus if menu is not None and "Plugins" in menu.title())
        plugins.aboutToShow.emit()
        entry = next(action for action in _entries(plugins) if "Segment" in action.text())
        entry.trigger()
        self.wait(lambda: bool(_segment_widgets(self._window)))
        self.wait(lambda: active_model().model is not None)
        (widget,) = _segment_widgets(self._window)
        return widget

    def settle(self) -> None:
        """Let the window do what it has been asked."""
        for _ in range(4):
            QApplication.processEvents()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Run the window until something is true.

        Raises
        ------
        TimeoutError
            If it does not become true.
        """
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError("the window did not do what was waited for")
            QApplication.processEvents()
            time.sleep(0.002)
        self.settle()

    def click(self, layer: Any, place: Any, modifier: Any = None) -> None:
        """Click a pixel of a layer."""
        where = self._position(layer, place)
        QTest.mouseMove(self._canvas.native, where)
        self.settle()
        QTest.mouseClick(self._canvas.native, _LEFT, modifier or _NO_KEY, where)
        self.settle()

    def drag(self, layer: Any, start: Any, end: Any) -> None:
        """Drag from one place of a layer to another."""
        first, last = self._position(layer, start), self._position(layer, end)
        self._mouse(QEvent.Type.MouseMove, first, _NO_BUTTON, _NO_BUTTON)
        self._mouse(QEvent.Type.MouseButtonPress, first, _LEFT, _LEFT)
        for part in (0.3, 0.6, 1.0):
            self._mouse(QEvent.Type.MouseMove, first + (last - first) * part, _NO_BUTTON, _LEFT)
        self._mouse(QEvent.Type.MouseButtonRelease, last, _LEFT, _NO_BUTTON)

    def key(self, key: Any, modifier: Any = None) -> None:
        """Press a key over the image."""
        QTest.keyClick(self._canvas.native, key, modifier or _NO_KEY)
        self.settle()

    def press(self, button: Any) -> None:
        """Press a button of the dock, in a section that is unfolded for it."""
        self.unfold(button)
        assert button.isEnabled(), button.toolTip()
        QTest.mouseClick(button, _LEFT)
        self.settle()

    def click_row(self, widget: SegmentWidget, object_id: int, modifier: Any = None) -> None:
        """Click the row of an object."""
        table = widget.objects.table
        model = table.model()
        row = next(
            row
            for row in range(model.rowCount())
            if model.data(model.index(row, 0)) == str(object_id)
        )
        self.unfold(table)
        table.scrollTo(model.index(row, 0))
        place = table.visualRect(model.index(row, 0)).center()
        QTest.mouseClick(table.viewport(), _LEFT, modifier or _NO_KEY, place)
        self.settle()

    def unfold(self, widget: Any) -> None:
        """Open the section of the dock that something lies in, and scroll to it."""
        parent = widget.parent()
        while parent is not None:
            if isinstance(parent, QCollapsible):
                parent.expand(animate=False)
            if isinstance(parent, QScrollArea):
                self.settle()
                parent.ensureWidgetVisible(widget)
            parent = parent.parent()
        self.settle()

    def screenshot(self) -> NDArray[np.uint8]:
        """Return what the window shows, uint8 (H, W, 3)."""
        self.wait(lambda: True)
        time.sleep(0.1)
        self.settle()
        picture: NDArray[np.uint8] = self.viewer.screenshot(canvas_only=False, flash=False)
        return picture[..., :3]

    def _position(self, layer: Any, place: Any) -> QPoint:
        """Return where in the canvas a pixel of a layer is drawn."""
        world = np.asarray(layer.data_to_world(place))[list(self.viewer.dims.displayed)]
        x, y, *_ = self._canvas.view.scene.transform.map([world[1], world[0], 0, 1])
        return QPoint(round(float(x)), round(float(y)))

    def _mouse(self, kind: Any, where: QPoint, button: Any, buttons: Any) -> None:
        native = self._canvas.native
        place = QPointF(where), QPointF(native.mapToGlobal(where))
        QApplication.sendEvent(native, QMouseEvent(kind, *place, button, buttons, _NO_KEY))
        self.settle()


def _entries(menu: Any) -> list[Any]:
    found = []
    for action in menu.actions():
        found += _entries(action.menu()) if action.menu() is not None else [action]
    return found


def _segment_widgets(window: Any) -> list[Any]:
    from napari_anysam._napari.segment_widget import SegmentWidget

    return window.findChildren(SegmentWidget)
