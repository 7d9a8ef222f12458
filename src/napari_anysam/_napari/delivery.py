"""The door between the inference thread and Qt's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["QtDelivery"]


class _Door:
    def __init__(self) -> None:
        self.open = True

    def close(self) -> None:
        self.open = False


class QtDelivery(QObject):  # type: ignore[misc]  # Qt has no types here
    """Calls functions in the thread it was made in, whoever hands them over."""

    _handed_over = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        # Qt lets go of an object's own methods before it says that the object is destroyed; and a
        # function that holds this object would be called while the garbage collector takes both
        # apart, which ends the process.
        self._door = _Door()
        self._handed_over.connect(self._call, Qt.ConnectionType.QueuedConnection)
        self.destroyed.connect(self._door.close)

    def __call__(self, call: Callable[[], None]) -> None:
        """Have ``call()`` run by the event loop of this object's thread."""
        if not self._door.open:
            return
        try:
            self._handed_over.emit(call)
        except RuntimeError:  # Qt has deleted this object in the meantime
            if self._door.open:
                raise

    def close(self) -> None:
        """Drop what is still on its way."""
        self._door.close()

    def _call(self, call: Callable[[], None]) -> None:
        if self._door.open:
            call()
