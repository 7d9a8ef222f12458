"""Slow questions of a widget: asked on a thread, answered on the thread of the window."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject

from napari_anysam._napari.delivery import QtDelivery

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Background"]


class Background(QObject):  # type: ignore[misc]  # Qt has no types here
    """Asks one question at a time; of several only the latest is answered.

    Its threads are daemons, so that a disk or a server that does not answer never keeps napari from
    closing.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._deliver = QtDelivery(self)
        self._generation = 0

    def ask(
        self,
        work: Callable[[], Any],
        on_result: Callable[[Any], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        """Call ``work()`` on a thread, and one of the others with what comes of it."""
        self._generation += 1
        generation = self._generation

        def run() -> None:
            try:
                result = work()
            except Exception as error:
                answer, value = on_error, error
            else:
                answer, value = on_result, result
            self._deliver(lambda: self._answer(generation, answer, value))

        threading.Thread(target=run, name="anysam-background", daemon=True).start()

    def forget(self) -> None:
        """Drop the answer that is on its way."""
        self._generation += 1

    def _answer(self, generation: int, answer: Callable[[Any], None], value: Any) -> None:
        if generation == self._generation:
            answer(value)
