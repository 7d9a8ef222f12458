"""The door between the inference thread and Qt's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["QtDelivery"]


class QtDelivery(QObject):  # type: ignore[misc]  # Qt has no types here
    """Calls functions in the thread it was made in, whoever hands them over."""

    _handed_over = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._open = True
        self._handed_over.connect(self._call, Qt.ConnectionType.QueuedConnection)
        # Qt lets go of an object's own methods before it says that the object is destroyed.
        self.destroyed.connect(lambda: self.close())  # noqa: PLW0108

    def __call__(self, call: Callable[[], None]) -> None:
        """Have ``call()`` run by the event loop of this object's thread."""
        if not self._open:
            return
        try:
            self._handed_over.emit(call)
        except RuntimeError:  # Qt has deleted this object in the meantime
            if self._open:
                raise

    def close(self) -> None:
        """Drop what is still on its way."""
        self._open = False

    def _call(self, call: Callable[[], None]) -> None:
        if self._open:
            call()
