"""A mask in its bounding box, one bit a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

__all__ = ["Window", "joined_window", "seen_from", "tight_window", "window_iou"]

STRIP_PIXELS = 2**22
"""Pixels of a strip of a window; larger masks are unpacked strip by strip."""


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

    def rows(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Unpack some rows of the mask, bool (stop - start, w)."""
        width = self.shape[1]
        first = start * width
        bits = self.bits[first // 8 : -(-stop * width // 8)]
        flat = np.unpackbits(bits)[first % 8 :][: (stop - start) * width]
        return flat.astype(bool).reshape(stop - start, width)

    def strips(self) -> Iterator[Window]:
        """Cut it into windows of at most `STRIP_PIXELS`, or of one row each."""
        height, width = self.shape
        count = max(1, STRIP_PIXELS // max(1, width))
        if height <= count:
            yield self
            return
        row, column = self.origin
        for start in range(0, height, count):
            mask = self.rows(start, min(start + count, height))
            area = int(np.count_nonzero(mask))
            yield Window((row + start, column), mask.shape, np.packbits(mask), area)

    def thinned(self, step: int) -> NDArray[np.bool_]:
        """Return every step-th row and column of the mask."""
        if step == 1:
            return self.mask
        rows = [self.rows(row, row + 1)[0, ::step] for row in range(0, self.shape[0], step)]
        return np.stack(rows)

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


def joined_window(
    strips: Iterable[NDArray[np.bool_]], origin: tuple[int, int] = (0, 0)
) -> Window | None:
    """Return a mask cut to its bounding box; it comes as strips of full width, from the top.

    Only one strip is held unpacked.
    """
    found, row = [], origin[0]
    for strip in strips:
        window = tight_window(strip, (row, origin[1]))
        row += len(strip)
        if window is not None:
            found.append(window)
    if len(found) < 2:
        return found[0] if found else None
    top, left = found[0].origin[0], min(window.origin[1] for window in found)
    right = max(window.origin[1] + window.shape[1] for window in found)
    bottom = found[-1].origin[0] + found[-1].shape[0]
    shape = (bottom - top, right - left)
    bits = np.zeros(-(-shape[0] * shape[1] // 8), np.uint8)
    for window in found:
        _put(window, bits, top, left, shape[1])
    return Window((top, left), shape, bits, sum(window.area for window in found))


def _put(window: Window, bits: NDArray[np.uint8], top: int, left: int, width: int) -> None:
    """Add a part to the bits of a larger window with this corner and width."""
    before = window.origin[1] - left
    after = width - before - window.shape[1]
    flat = np.pad(window.mask, ((0, 0), (before, after))).ravel()
    first = (window.origin[0] - top) * width
    packed = np.packbits(np.pad(flat, (first % 8, 0)))
    bits[first // 8 : first // 8 + len(packed)] |= packed


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
        part = one.rows(source[0].start, source[0].stop)
        seen[target] = part[:, source[1]]
    return seen


def window_iou(one: Window | None, other: Window | None) -> float:
    """Return the IoU of two masks of one plane; None is empty, and two empty ones are equal."""
    if one is None or other is None:
        return float(one is other)
    shared = int(np.count_nonzero(seen_from(one, other) & other.mask))
    return shared / (one.area + other.area - shared)
