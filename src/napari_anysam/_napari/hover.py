"""What a click would give where the mouse rests, shown lightly until it moves on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_anysam._napari.connections import Connections
from napari_anysam._napari.coordinates import world_to_data
from napari_anysam._napari.preview import Preview
from napari_anysam._napari.reporting import report
from napari_anysam._napari.standing_masks import beside, standing_window
from napari_anysam.errors import ImageError
from napari_anysam.segmentation.prompts import Prompt, merge_prompts

if TYPE_CHECKING:
    from napari_anysam._napari.controller import SegmentController
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.inference import Ticket
    from napari_anysam._napari.running_mask import Answer

__all__ = ["HOVER_NAME", "HoverPreview"]

HOVER_NAME = "AnySAM hover"

REST_MILLISECONDS = 150
"""How long the mouse must rest before anything is asked."""

_OPACITY = 0.5


class HoverPreview(QObject):  # type: ignore[misc]  # Qt has no types here
    """Off until it is turned on; it writes nothing, and no session knows of it.

    Parameters
    ----------
    viewer : napari viewer
    control : SegmentController

    Attributes
    ----------
    turned_off : signal
        It failed, and was turned off.
    """

    turned_off = Signal()

    def __init__(self, viewer: Any, control: SegmentController, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._control = control
        self._preview = Preview(viewer, HOVER_NAME, _OPACITY)
        self._connections = Connections()
        self._place: Any = None
        self._asked_in: tuple[Any, ...] = ()
        self._ticket: Ticket | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REST_MILLISECONDS)
        self._timer.timeout.connect(self._ask)
        self._is_on = self._showing = False

    def turn(self, on: bool) -> None:
        """Turn it on or off."""
        if on == self._is_on:
            return
        self._is_on = on
        if on:
            self._viewer.mouse_move_callbacks.append(self._on_move)
            self._connections.connect(self._viewer.events.mouse_over_canvas, self._on_leave)
            self._control.changed.connect(self._on_changed)
        else:
            self._viewer.mouse_move_callbacks.remove(self._on_move)
            self._connections.disconnect()
            self._control.changed.disconnect(self._on_changed)
            self.drop()
            self._preview.remove()

    def drop(self) -> None:
        """Show nothing, and wait for the mouse to move and rest again."""
        self._timer.stop()
        self._forget()

    def _forget(self) -> None:
        """Show nothing; what was asked for is of the past."""
        if self._ticket is not None:
            self._ticket.cancel()
            self._ticket = None
        self._preview.hide()

    def _on_move(self, _viewer: Any, event: Any) -> None:
        self._forget()
        self._place = event.position
        self._timer.start()

    def _on_leave(self, _event: Any) -> None:
        if not self._viewer.mouse_over_canvas:
            self.drop()

    def _on_changed(self) -> None:
        """Drop what is shown or asked for, if something was asked or chosen meanwhile."""
        if not self._showing and self._situation() != self._asked_in:
            self.drop()

    def _situation(self) -> tuple[Any, ...]:
        """Return what must stay the same for an answer to be of interest."""
        control, status = self._control, self._control.status
        asked = status.positive, status.negative, status.boxes, status.shapes, status.kept
        step = self._viewer.dims.current_step, self._viewer.dims.order
        return (control.image, step, status.stage, status.object_id, status.drawing, *asked)

    def _ask(self) -> None:
        """Ask for the mask at the place where the mouse rests."""
        self._asked_in = self._situation()
        found = self._prompt()
        if found is not None:
            self._ticket = self._control.foresee(*found, self._show, self._fail)

    def _prompt(self) -> tuple[PlaneFrame, Prompt] | None:
        """Return the prompt that a click would make; None where it would make none."""
        work = self._control.workspace
        if work is None or self._control.status.drawing != "points":
            return None
        try:
            frame = work.frame()
        except ImageError:  # no single plane is shown, and the status line says so
            return None
        data = world_to_data(self._viewer.dims, work.image, [self._place])[0]
        row, column = (float(data[axis]) for axis in frame.order[-2:])
        height, width = frame.plane_shape
        if not (-0.5 <= row < height - 0.5 and -0.5 <= column < width - 0.5):
            return None
        key = (work.object_id, frame.number)
        click = Prompt(*key, points=[(row, column)])
        known = work.session.prompts.get(key)
        if known is None:
            window = standing_window(work, work.object_id, frame)
            known = None if window is None else beside(work, click, window, frame)
        return frame, click if known is None else merge_prompts([known, click])[key]

    def _show(self, answer: Answer) -> None:
        self._ticket = None
        self._showing = True  # a layer that is added is active for a moment
        try:
            self._preview.show(answer.request.work.image, answer.request.frame, answer.window)
        finally:
            self._showing = False

    def _fail(self, error: Exception) -> None:
        self.turn(False)
        self.turned_off.emit()
        report(error)
