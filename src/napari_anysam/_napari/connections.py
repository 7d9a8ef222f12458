"""Event connections that are undone together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Connections"]


class Connections:
    """Remembers what was connected, so that nothing is left behind on close."""

    def __init__(self) -> None:
        self._made: list[tuple[Any, Callable[..., Any]]] = []

    def connect(self, emitter: Any, callback: Callable[..., Any]) -> None:
        """Connect a napari emitter or a psygnal signal to a bound method."""
        emitter.connect(callback)
        self._made.append((emitter, callback))

    def disconnect(self) -> None:
        """Undo every connection."""
        for emitter, callback in self._made:
            emitter.disconnect(callback)
        self._made.clear()
