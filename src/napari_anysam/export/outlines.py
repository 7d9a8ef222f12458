"""Outlines of masks as polygons along the edges of pixels, which lose nothing.

A polygon of COCO or YOLO has no holes. Here a hole, or another part, is joined to its outline by
a seam that goes there and back along edges of pixels. A seam has no area, and no centre of a pixel
lies on it, so whoever fills the polygon by the even-odd rule (as pycocotools, Pillow and OpenCV
do), or by its winding, gets the mask with its holes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["part_outlines", "whole_outline"]


def part_outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return one polygon per part; pixels that touch at corners only are different parts.

    Parameters
    ----------
    mask : bool array (H, W)
        At least one pixel.

    Returns
    -------
    list of integer array (N, 2)
        Corners (x, y) in pixel edges: pixel (row, column) covers column to column + 1, row to
        row + 1. The last corner is not the first one again.
    """
    from scipy import ndimage

    parts, _ = ndimage.label(mask)
    return [
        _join(_rings(parts[box] == number)) + np.array([box[1].start, box[0].start])
        for number, box in enumerate(ndimage.find_objects(parts), start=1)
    ]


def whole_outline(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return one polygon for all parts, in the coordinates of ``part_outlines``."""
    return _join(_rings(mask))


def _rings(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Trace outlines and holes as closed rings of pixel corners, the largest first."""
    from skimage.measure import find_contours

    contours = find_contours(np.pad(mask, 1).astype(np.float32), 0.5)
    rings = [_corners(contour[:, ::-1] - 0.5) for contour in contours]
    return sorted(rings, key=lambda ring: -np.ptp(ring, axis=0).prod())


def _corners(middles: NDArray[np.float64]) -> NDArray[np.int64]:
    """Find the corners between the middles of pixel edges that a contour at 0.5 runs through.

    The middle of an upright edge has a whole x, that of a level edge a whole y. A corner between
    two neighbours has whole coordinates: each is taken from the one that has it, and where none
    has, on a straight line, it lies half-way.
    """
    here, after = middles[:-1], middles[1:]
    corners = np.where(here % 1 == 0, here, np.where(after % 1 == 0, after, (here + after) / 2))
    steps = corners - np.roll(corners, 1, axis=0)
    next_steps = np.roll(steps, -1, axis=0)
    turns = steps[:, 0] * next_steps[:, 1] != steps[:, 1] * next_steps[:, 0]
    turning: NDArray[np.int64] = corners[turns].astype(np.int64)
    return turning


def _join(rings: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Make one ring of several, each joined by a seam from about its nearest corner.

    As many rings as are joined already come at once: thousands of holes take seconds, not minutes.
    """
    joined, done = rings[0], 1
    while done < len(rings):
        joined = _attach(joined, rings[done : 2 * done])
        done *= 2
    moves: NDArray[np.bool_] = (joined != np.roll(joined, 1, axis=0)).any(axis=1)
    return joined[moves]


def _attach(joined: NDArray[np.int64], rings: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Put a detour around each ring into the joined one, where they are nearest."""
    from scipy.spatial import cKDTree

    distances, nearest = cKDTree(joined).query(np.concatenate(rings))
    ends = np.cumsum([len(ring) for ring in rings])[:-1]
    detours: list[tuple[int, NDArray[np.int64]]] = []
    for ring, away, places in zip(
        rings, np.split(distances, ends), np.split(nearest, ends), strict=True
    ):
        start = int(away.argmin())
        at = int(places[start])
        elbow = np.array([[ring[start, 0], joined[at, 1]]])
        way = [elbow, ring[start:], ring[: start + 1], elbow, joined[at : at + 1]]
        detours.append((at, np.concatenate(way)))
    pieces: list[NDArray[np.int64]] = []
    done = 0
    for at, detour in sorted(detours, key=lambda item: item[0]):
        pieces += [joined[done : at + 1], detour]
        done = at + 1
    return np.concatenate([*pieces, joined[done:]])
