"""What somebody changed in labels by hand: all that a journal does not explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HandEdits"]


@dataclass(frozen=True, slots=True, eq=False)
class HandEdits:
    """Runs of pixels with the value that they were given, in row-major order of the whole array.

    Parameters
    ----------
    starts, stops : int64 array (n,)
        Half-open positions of each run.
    values : int64 array (n,)
        What its pixels hold.
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    values: NDArray[np.int64]

    @classmethod
    def between(cls, explained: NDArray[Any], labels: NDArray[Any]) -> HandEdits:
        """Return what makes ``labels`` of ``explained``, two arrays (..., H, W) of one shape."""
        found: list[tuple[NDArray[np.int64], ...]] = []
        size = labels.shape[-2] * labels.shape[-1]
        for number, index in enumerate(np.ndindex(*labels.shape[:-2])):
            differs = labels[index] != explained[index]
            if differs.any():
                values = np.where(differs, labels[index].astype(np.int64), -1)
                found.append(_runs(values.ravel(), number * size))
        if not found:
            return cls(*(np.zeros(0, np.int64) for _ in range(3)))
        return cls(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def apply(self, labels: NDArray[Any]) -> None:
        """Write them into a C-contiguous array of the same shape."""
        flat = labels.reshape(-1)
        for start, stop, value in zip(self.starts, self.stops, self.values, strict=True):
            flat[start:stop] = value

    def __len__(self) -> int:
        """Count the runs."""
        return len(self.starts)


def _runs(values: NDArray[np.int64], offset: int) -> tuple[NDArray[np.int64], ...]:
    """Return the runs of equal values from 0 up; negative ones stand for no change."""
    bounds = np.flatnonzero(np.diff(values)) + 1
    starts = np.concatenate([[0], bounds])
    stops = np.concatenate([bounds, [values.size]])
    changed = values[starts] >= 0
    return starts[changed] + offset, stops[changed] + offset, values[starts[changed]]
