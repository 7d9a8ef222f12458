"""What somebody changed in labels by hand: all that a journal does not explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.segmentation.tiled_labels import TILE

if TYPE_CHECKING:
    from collections.abc import Iterable

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

    @classmethod
    def between_windows(
        cls, explained: Any, labels: Any, windows: Iterable[tuple[tuple[int, ...], slice, slice]]
    ) -> HandEdits:
        """Return what makes ``labels`` of ``explained`` where they may differ.

        Parameters
        ----------
        explained, labels : array-like (..., H, W)
            Of one shape; any that read windows.
        windows : iterable of (index, rows, columns)
            Parts of planes that do not overlap; outside of them both are alike.
        """
        found: list[tuple[NDArray[np.int64], ...]] = []
        *hidden, height, width = labels.shape
        for index, rows, columns in windows:
            now = np.asarray(labels[(*index, rows, columns)]).astype(np.int64)
            differs = now != explained[(*index, rows, columns)]
            plane = int(np.ravel_multi_index(index, hidden)) if hidden else 0
            for row in np.flatnonzero(differs.any(axis=1)):
                values = np.where(differs[row], now[row], -1)
                offset = (plane * height + rows.start + int(row)) * width + columns.start
                found.append(_runs(values, offset))
        if not found:
            return cls(*(np.zeros(0, np.int64) for _ in range(3)))
        return cls(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def apply_to_windows(self, labels: Any) -> None:
        """Write them into an array of the same shape that reads and writes windows.

        Only edits that ``between_windows`` found: none of them goes on in the next row.
        """
        *hidden, height, width = labels.shape
        block = TILE * 4
        lines, columns = np.divmod(self.starts, width)
        planes, rows = np.divmod(lines, height)
        blocks: dict[tuple[int, int], list[int]] = {}
        for number, place in enumerate(zip(planes.tolist(), (rows // block).tolist(), strict=True)):
            blocks.setdefault(place, []).append(number)
        for (plane, down), numbers in blocks.items():
            index = np.unravel_index(plane, hidden) if hidden else ()
            lengths = (self.stops - self.starts)[numbers]
            left, right = int(columns[numbers].min()), int((columns[numbers] + lengths).max())
            part = slice(down * block, min((down + 1) * block, height))
            window = (*(int(one) for one in index), part, slice(left, right))
            values = np.array(labels[window])
            for number, length in zip(numbers, lengths, strict=True):
                start = columns[number] - left
                values[rows[number] - part.start, start : start + length] = self.values[number]
            labels[window] = values

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
