"""The simulated user: where clicks go, how boxes are drawn, and what counts as right.

A click goes to the most interior pixel of the object, the next one to the most interior pixel of
the largest error: on the object where it was missed, against it where there is too much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Box = tuple[float, float, float, float]

__all__ = ["Click", "clicks_needed", "interior_pixel", "next_click", "overlap", "padded_box"]

PADDING = 0.05
"""A box is wider than its object by this part of its side, at each of its ends."""


class Click(NamedTuple):
    """A pixel (row, column), and whether it is said to lie on the object."""

    point: tuple[int, int]
    positive: bool


def overlap(mask: Mask, truth: Mask) -> float:
    """Return intersection over union; two empty masks agree."""
    union = int(np.count_nonzero(mask | truth))
    return int(np.count_nonzero(mask & truth)) / union if union else 1.0


def interior_pixel(mask: Mask) -> tuple[int, int]:
    """Return the pixel that is farthest from the outside; the plane's border is outside."""
    window = extent(mask)
    depth = ndimage.distance_transform_edt(np.pad(mask[window], 1))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return int(row) + window[0].start, int(column) + window[1].start


def next_click(answer: Mask, truth: Mask) -> Click | None:
    """Return the click that corrects the largest error; None if there is no error."""
    missed, extra = _largest_part(truth & ~answer), _largest_part(answer & ~truth)
    missing, exceeding = int(np.count_nonzero(missed)), int(np.count_nonzero(extra))
    if not missing and not exceeding:
        return None
    positive = missing >= exceeding
    return Click(interior_pixel(missed if positive else extra), positive)


def padded_box(mask: Mask) -> Box:
    """Return the half-open box (y0, x0, y1, x1) around a mask, padded and kept in the plane."""
    rows, columns = extent(mask)
    taller, wider = PADDING * (rows.stop - rows.start), PADDING * (columns.stop - columns.start)
    height, width = mask.shape
    return (
        max(rows.start - taller, 0.0),
        max(columns.start - wider, 0.0),
        min(rows.stop + taller, float(height)),
        min(columns.stop + wider, float(width)),
    )


def clicks_needed(ious: Sequence[float], wanted: float, most: int) -> int:
    """Return after how many clicks an IoU was reached first; the most there may be if never."""
    return next((count for count, iou in enumerate(ious, 1) if iou >= wanted), most)


def extent(mask: Mask) -> tuple[slice, slice]:
    """Return the window of a mask that has at least one pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _largest_part(error: Mask) -> Mask:
    """Return the largest connected part of an error (4-connected)."""
    parts, count = ndimage.label(error)
    if count <= 1:
        return error
    largest: Mask = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    return largest
