"""The review strip: one lane per object along an axis, drawn from arrays, clicked to jump."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPoint, QPointF, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QScrollArea, QSizePolicy, QToolTip, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from qtpy.QtCore import QEvent
    from qtpy.QtGui import QMouseEvent, QPaintEvent

    from napari_anysam._napari.object_looks import Colour
    from napari_anysam.segmentation.review import Lanes

__all__ = ["LaneArea", "ReviewStrip"]

LANE = 14
"""Pixels from one lane to the next."""

_BAR = 9
_NAMES = 34
_EDGE = 5
_LANES_SHOWN = 8

# Okabe and Ito's colours, which colour-blind people tell apart.
_STOPS = np.array([0.0, 0.35, 0.65, 1.0])
_COLOURS = np.array([(213, 94, 0), (213, 94, 0), (240, 200, 66), (0, 158, 115)], float)
_DOUBTFUL = QColor(213, 94, 0)


class ReviewStrip(QWidget):  # type: ignore[misc]  # Qt has no types here
    """Presence, confidence and marks of all objects; only what is exposed is drawn.

    Attributes
    ----------
    jumped : Qt signal (int, int)
        The user wants to see this object on this plane.
    """

    jumped = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lanes: Lanes | None = None
        self._position = 0
        self._current = 0
        self._colour_of: Callable[[int], Colour] | None = None
        self.setMouseTracking(True)
        self.setMinimumHeight(LANE)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the size at which all lanes are seen."""
        count = 0 if self._lanes is None else len(self._lanes.object_ids)
        return QSize(200, max(1, count) * LANE)

    def show_lanes(
        self, lanes: Lanes | None, position: int, current: int, colour_of: Callable[[int], Colour]
    ) -> None:
        """Show these.

        Parameters
        ----------
        lanes : Lanes or None
            They may have changed since they were shown last.
        position : int
            Of the slider, along the axis.
        current : int
            The running object.
        colour_of : callable
            Returns the colour of an object.
        """
        height = self.sizeHint().height()
        self._lanes, self._position, self._current = lanes, position, current
        self._colour_of = colour_of
        if self.sizeHint().height() != height:
            self.updateGeometry()
        self.update()

    def place_of(self, object_id: int, position: int) -> QPoint | None:
        """Return where an object on a plane is drawn; None if it has no lane."""
        lane = None if self._lanes is None else self._lanes.lane_of(object_id)
        if lane is None:
            return None
        return QPoint(round(self._centre(position)), lane * LANE + LANE // 2)

    def at(self, place: QPoint) -> tuple[int, int] | None:
        """Return the lane and the position along the axis at a place; None beside the lanes."""
        lanes = self._lanes
        if lanes is None or not lanes.planes:
            return None
        lane = place.y() // LANE
        if not 0 <= lane < len(lanes.object_ids) or place.x() < _NAMES:
            return None
        position = int((place.x() - _NAMES) * lanes.planes / self._width())
        return lane, min(max(position, 0), lanes.planes - 1)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Draw the lanes that are exposed."""
        lanes = self._lanes
        if lanes is None or not lanes.object_ids:
            return
        exposed: QRect = event.rect()
        first = max(0, exposed.top() // LANE)
        last = min(len(lanes.object_ids), exposed.bottom() // LANE + 1)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for lane in range(first, last):
            self._paint_name(painter, lane)
        if last > first:
            self._paint_bars(painter, lanes, first, last)
            self._paint_marks(painter, lanes, first, last)
        painter.setPen(QPen(self.palette().text().color(), 1))
        x = self._centre(self._position)
        painter.drawLine(QPointF(x, exposed.top()), QPointF(x, exposed.bottom()))
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Jump to what was clicked."""
        self._jump(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Scrub while the button is down; else say what is under the mouse."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._jump(event)

    def event(self, event: QEvent) -> bool:
        """Name the object and the plane under the mouse."""
        if event.type() == event.Type.ToolTip:
            found = self.at(event.pos())
            words = "" if found is None or self._lanes is None else self._lanes.in_words(*found)
            QToolTip.showText(event.globalPos(), words, self)
            return True
        return bool(super().event(event))

    def _jump(self, event: QMouseEvent) -> None:
        found = self.at(event.position().toPoint())
        if found is not None and self._lanes is not None:
            self.jumped.emit(self._lanes.object_ids[found[0]], found[1])

    def _width(self) -> int:
        return max(1, int(self.width()) - _NAMES - _EDGE)

    def _centre(self, position: int) -> float:
        planes = 1 if self._lanes is None else max(1, self._lanes.planes)
        return _NAMES + (position + 0.5) * self._width() / planes

    def _paint_name(self, painter: QPainter, lane: int) -> None:
        if self._lanes is None or self._colour_of is None:
            return
        object_id = self._lanes.object_ids[lane]
        top = lane * LANE
        painter.fillRect(0, top + 3, 6, _BAR - 1, QColor.fromRgbF(*self._colour_of(object_id)))
        font = painter.font()
        font.setBold(object_id == self._current)
        font.setPixelSize(LANE - 4)
        painter.setFont(font)
        painter.setPen(self.palette().text().color())
        aligned = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRect(6, top, _NAMES - 10, LANE), int(aligned), str(object_id))

    def _paint_bars(self, painter: QPainter, lanes: Lanes, first: int, last: int) -> None:
        """Draw every lane as one line of an image as wide as there are planes, or pixels."""
        width = self._width()
        confidence = np.where(lanes.present[first:last], lanes.confidence[first:last], np.inf)
        worst = _by_columns(np.minimum, confidence, width)
        pixels = np.zeros((*worst.shape, 4), np.uint8)
        for channel in range(3):
            pixels[..., 2 - channel] = np.interp(worst, _STOPS, _COLOURS[:, channel])
        pixels[..., 3] = np.where(np.isfinite(worst), 255, 0)
        pixels[~np.isfinite(worst)] = 0
        line = pixels.shape[1] * 4
        for row in range(last - first):
            top = (first + row) * LANE + (LANE - _BAR) // 2
            middle = top + _BAR // 2
            painter.setPen(QPen(self.palette().mid().color(), 1))
            painter.drawLine(_NAMES, middle, _NAMES + width, middle)
            data = np.ascontiguousarray(pixels[row]).tobytes()
            image = QImage(data, pixels.shape[1], 1, line, QImage.Format.Format_ARGB32)
            painter.drawImage(QRect(_NAMES, top, width, _BAR), image)

    def _paint_marks(self, painter: QPainter, lanes: Lanes, first: int, last: int) -> None:
        width, text = self._width(), self.palette().text().color()
        for lane in range(first, last):
            top = lane * LANE
            painter.setPen(QPen(text, 2))
            for x in _marked(lanes.reviewed[lane], width):
                painter.drawLine(QPointF(_NAMES + x, top + LANE - 1), _right(x, top, lanes, width))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(_DOUBTFUL)
            for x in _marked(lanes.doubtful[lane], width):
                painter.drawRect(int(_NAMES + x), top, max(2, width // lanes.planes), 2)
            painter.setPen(QPen(self.palette().window().color(), 1))
            painter.setBrush(text)
            half = width / lanes.planes / 2
            for x in _marked(lanes.prompt[lane], width):
                painter.drawEllipse(QPointF(_NAMES + x + half, top + LANE / 2), 3, 3)


class LaneArea(QScrollArea):  # type: ignore[misc]  # Qt has no types here
    """A strip that can be scrolled; as high as its lanes, up to a few."""

    def __init__(self, strip: ReviewStrip, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._strip = strip
        self.setWidget(strip)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def fit(self) -> None:
        """Be as high as the lanes, or as several of them."""
        wanted = self._strip.sizeHint().height()
        height = min(wanted, _LANES_SHOWN * LANE) + 2
        if height != self.height():
            self.setFixedHeight(height)

    def show_object(self, object_id: int) -> None:
        """Scroll until an object's lane is seen."""
        place = self._strip.place_of(object_id, 0)
        if place is not None:
            self.ensureVisible(0, place.y(), 0, LANE)


def _by_columns(reduce: Any, values: NDArray[Any], width: int) -> NDArray[Any]:
    """Return one column per pixel where there are more planes than pixels."""
    planes = values.shape[1]
    if planes <= width:
        return values
    starts = np.arange(width) * planes // width
    reduced: NDArray[Any] = reduce.reduceat(values, starts, axis=1)
    return reduced


def _marked(marks: NDArray[np.bool_], width: int) -> list[float]:
    """Return the left edges of marked planes in pixels, no pixel twice."""
    edges = np.flatnonzero(marks) * (width / len(marks))
    seen: list[float] = (edges if len(marks) <= width else np.unique(np.floor(edges))).tolist()
    return seen


def _right(x: float, top: int, lanes: Lanes, width: int) -> QPointF:
    return QPointF(_NAMES + x + max(1.0, width / lanes.planes), top + LANE - 1)
