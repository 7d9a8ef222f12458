"""Planes read in a thread while the one before is worked on, where reading takes its time.

A plane of an array in memory is there at once. From a compressed store, or over a network, it takes
as long as a part of the network's work or longer, and torch lets go of the interpreter meanwhile.
At most one plane is read ahead, and never are two read at once: not every array stands that.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from numpy.typing import NDArray

__all__ = ["ReadAhead"]

SLOW = 0.01
"""Seconds from which on it is worth a thread: for less, on two busy cores, it was no gain."""


class ReadAhead:
    """Reads planes for one caller.

    Parameters
    ----------
    read : callable
        Index of a plane to its pixels.
    """

    def __init__(self, read: Callable[[int], NDArray[Any]]) -> None:
        self._read = read
        self._took = 0.0
        self._thread: ThreadPoolExecutor | None = None
        self._ahead: tuple[int, Future[NDArray[Any]]] | None = None

    def get(self, plane: int) -> NDArray[Any]:
        """Return a plane: the one that was read ahead, or read now.

        What went wrong while it was read ahead is raised here; for a plane that nobody asks for, it
        is nobody's concern.
        """
        if self._ahead is not None:
            index, pixels = self._ahead
            if index == plane:
                self._ahead = None
                return pixels.result()
            wait([pixels])
        return self._timed(plane)

    def prepare(self, plane: int) -> None:
        """Read a plane ahead, if the last one took long."""
        if self._took < SLOW or (self._ahead is not None and self._ahead[0] == plane):
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._ahead = plane, self._thread.submit(self._timed, plane)

    def close(self) -> None:
        """Let go of the thread, after the plane that it is reading."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
        self._thread = self._ahead = None

    def _timed(self, plane: int) -> NDArray[Any]:
        start = time.perf_counter()
        pixels = self._read(plane)
        self._took = time.perf_counter() - start
        return pixels
