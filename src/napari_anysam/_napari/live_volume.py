"""Live volume: an accepted mask is followed outward at once, until the object ends."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from napari_anysam._napari.reporting import reporting

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam._napari.runs import Runs
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.session import PromptKey

__all__ = ["LiveVolume"]


class LiveVolume:
    """Follows what was accepted, one object after another.

    Parameters
    ----------
    runs : Runs
    axis : callable
        Returns the data axis to follow objects along, or None.

    Attributes
    ----------
    on : bool
    """

    def __init__(self, runs: Runs, axis: Callable[[], int | None]) -> None:
        self._runs = runs
        self._axis = axis
        self._waiting: deque[tuple[Workspace, PromptKey]] = deque()
        self.on = False

    def accepted(self, work: Workspace, key: PromptKey) -> None:
        """Follow an object whose mask was accepted, now or when the run under way has ended."""
        if not self.on or key[1] is None or self._axis() is None:
            return
        self._waiting.append((work, key))
        current = self._runs.propagation
        if current is not None and current.follows_only(key[0]):
            current.cancel()  # it started from less than is known now
        self.go_on()

    def go_on(self) -> None:
        """Begin with what waits, if nothing runs."""
        axis = self._axis()
        while self._waiting and axis is not None and not self._runs.busy:
            work, (object_id, number) = self._waiting.popleft()
            with reporting():
                self._runs.repair(work, object_id, work.frame().numbered(number), axis)

    def forget(self) -> None:
        """Follow nothing that still waits."""
        self._waiting.clear()
