"""How far a run through a stack is, and how long it will take, told by what it has answered."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_anysam._napari.propagation import StackRange

__all__ = ["RunProgress", "planes_answered_twice", "planes_to_come"]


class RunProgress:
    """Counts answers; what a run does before the first one is no measure of the rest.

    Parameters
    ----------
    total : int
        Planes that will be answered.
    twice : int
        How many of them are answered by both directions.
    clock : callable
        Returns seconds.

    Attributes
    ----------
    answers : int
        What it has answered so far, a plane that came twice as two.
    """

    def __init__(
        self, total: int, twice: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total = total
        self.answers = 0
        self._all = total + twice
        self._before = 0
        self._clock = clock
        self._planes: set[int] = set()
        self._first = self._latest = 0.0
        self._ended = False

    def go_on_behind(self, positions: Sequence[int]) -> None:
        """Take note of the planes that an earlier run has answered, in its order."""
        self._planes.update(positions)
        self._before = len(positions)

    def answered(self, position: int) -> None:
        """Take note of the answer of a plane."""
        self._latest = self._clock()
        self._first = self._first if self.answers else self._latest
        self._planes.add(position)
        self.answers += 1

    def end(self) -> None:
        """Take note that nothing more will come."""
        self._ended = True

    @property
    def done(self) -> int:
        """Planes with an answer; under way, no larger a part of all than of the way."""
        planes = len(self._planes)
        if self._ended or not self._all:
            return planes
        return min(planes, -(-self.total * (self._before + self.answers) // self._all))

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the answers so far; None before there are two."""
        if self.answers < 2:
            return None
        each = (self._latest - self._first) / (self.answers - 1)
        waited = self._clock() - self._latest
        return max(0.0, each * max(0, self._all - self._before - self.answers) - min(each, waited))


def planes_to_come(where: StackRange, anchors: Sequence[int]) -> int:
    """Count the planes that will be answered: from the anchors outward, within the range."""
    first, last = where.first, where.last
    if where.direction == "forward":
        first = max(first, min(anchors))
    elif where.direction == "backward":
        last = min(last, max(anchors))
    return max(0, last - first + 1)


def planes_answered_twice(where: StackRange, anchors: Sequence[int]) -> int:
    """Count the planes between anchors, which both directions come by."""
    if where.direction != "both":
        return 0
    return max(0, min(where.last, max(anchors)) - max(where.first, min(anchors)))
