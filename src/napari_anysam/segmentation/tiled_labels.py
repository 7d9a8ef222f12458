"""Label arrays of any size that hold memory only where something was written."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["TiledLabels"]

TILE = 128
"""Rows and columns of a tile."""

_Place = tuple[tuple[int, ...], int, int]


class TiledLabels:
    """An array (..., H, W) of zeros that takes ``[window]`` and ``[window] = values``.

    A window is an integer for every leading axis, then a slice of rows and one of columns.

    Parameters
    ----------
    shape : sequence of int
    dtype : dtype
    """

    def __init__(self, shape: Sequence[int], dtype: Any = np.int32) -> None:
        self.shape = tuple(int(size) for size in shape)
        self.ndim = len(self.shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._tiles: dict[_Place, NDArray[Any]] = {}

    def __getitem__(self, window: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read a window."""
        index, rows, columns = self._parts(window)
        values = np.zeros((len(rows), len(columns)), self.dtype)
        for place, inside, outside in _covering(index, rows, columns):
            tile = self._tiles.get(place)
            if tile is not None:
                values[outside] = tile[inside]
        return values

    def __setitem__(self, window: tuple[int | slice, ...], values: Any) -> None:
        """Write a window: an array of its shape, or one value for all of it."""
        index, rows, columns = self._parts(window)
        given = np.broadcast_to(np.asarray(values, self.dtype), (len(rows), len(columns)))
        for place, inside, outside in _covering(index, rows, columns):
            part = given[outside]
            if place not in self._tiles:
                if not part.any():
                    continue
                self._tiles[place] = np.zeros((TILE, TILE), self.dtype)
            self._tiles[place][inside] = part

    def windows(self) -> Iterator[tuple[tuple[int, ...], slice, slice]]:
        """Walk through the tiles that were written: plane, rows and columns, row by row."""
        for index, row, column in sorted(self._tiles):
            top, left = row * TILE, column * TILE
            yield (
                index,
                slice(top, min(top + TILE, self.shape[-2])),
                slice(left, min(left + TILE, self.shape[-1])),
            )

    def _parts(self, window: tuple[int | slice, ...]) -> tuple[tuple[int, ...], range, range]:
        *index, rows, columns = window
        leading = tuple(int(one) for one in index if not isinstance(one, slice))
        return leading, _extent(rows, self.shape[-2]), _extent(columns, self.shape[-1])


def _extent(part: int | slice, size: int) -> range:
    if not isinstance(part, slice):
        raise TypeError("rows and columns of labels are read and written as slices")
    return range(*part.indices(size))


def _covering(
    index: tuple[int, ...], rows: range, columns: range
) -> Iterator[tuple[_Place, tuple[slice, slice], tuple[slice, slice]]]:
    """Yield the tiles that a window touches: which, its part of the tile, the tile's part of it."""
    for row, column in itertools.product(_tiles(rows), _tiles(columns)):
        pairs = [_overlap(extent, tile) for extent, tile in ((rows, row), (columns, column))]
        (in_rows, of_rows), (in_columns, of_columns) = pairs
        yield (index, row, column), (in_rows, in_columns), (of_rows, of_columns)


def _tiles(extent: range) -> range:
    return range(extent.start // TILE, -(-extent.stop // TILE)) if extent else range(0)


def _overlap(extent: range, tile: int) -> tuple[slice, slice]:
    start, stop = max(extent.start, tile * TILE), min(extent.stop, (tile + 1) * TILE)
    inside = slice(start - tile * TILE, stop - tile * TILE)
    return inside, slice(start - extent.start, stop - extent.start)
