"""A mask in its bounding box, one bit a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Window", "seen_from", "tight_window"]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A mask in its bounding box.

    Parameters
    ----------
    origin : (row, column)
        Upper left pixel in the plane.
    shape : (h, w)
    bits : uint8 array
        ``numpy.packbits`` of the mask.
    area : int
        Pixels of the mask.
    """

    origin: tuple[int, int]
    shape: tuple[int, int]
    bits: NDArray[np.uint8]
    area: int

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The mask, bool (h, w)."""
        height, width = self.shape
        return np.unpackbits(self.bits, count=height * width).astype(bool).reshape(self.shape)

    @property
    def slices(self) -> tuple[slice, slice]:
        """The index expression of the window in its plane."""
        (row, column), (height, width) = self.origin, self.shape
        return slice(row, row + height), slice(column, column + width)

    def whole(self, plane_shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the mask in its plane, bool (H, W)."""
        plane = np.zeros(plane_shape, dtype=bool)
        plane[self.slices] = self.mask
        return plane


def tight_window(mask: NDArray[np.bool_], origin: tuple[int, int] = (0, 0)) -> Window | None:
    """Return a mask cut to its bounding box, or None if it is empty."""
    if not mask.any():
        return None
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    mask = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    corner = (origin[0] + int(rows[0]), origin[1] + int(columns[0]))
    shape = (mask.shape[0], mask.shape[1])
    return Window(corner, shape, np.packbits(mask), int(np.count_nonzero(mask)))


def seen_from(one: Window, other: Window) -> NDArray[np.bool_]:
    """Return one window's mask in the pixels of another, bool (h, w)."""
    seen = np.zeros(other.shape, dtype=bool)
    top = max(one.origin[0], other.origin[0])
    left = max(one.origin[1], other.origin[1])
    bottom = min(one.origin[0] + one.shape[0], other.origin[0] + other.shape[0])
    right = min(one.origin[1] + one.shape[1], other.origin[1] + other.shape[1])
    if bottom > top and right > left:
        target = np.s_[
            top - other.origin[0] : bottom - other.origin[0],
            left - other.origin[1] : right - other.origin[1],
        ]
        source = np.s_[
            top - one.origin[0] : bottom - one.origin[0],
            left - one.origin[1] : right - one.origin[1],
        ]
        seen[target] = one.mask[source]
    return seen
