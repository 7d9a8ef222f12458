"""The region in which an object is followed: how large, where, and when it moves.

Like a camera that follows the object: of fixed size, moved by whole grid steps when the object
comes near its border, widened when the object outgrows it. An object that fills most of its plane
is followed in the plane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.errors import CapabilityError
from napari_anysam.segmentation.regions import Region, box_region, prompt_extent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_anysam.segmentation.prompts import Box, Prompt

__all__ = [
    "MOST_PIXELS",
    "check_plane",
    "check_prompts_fit",
    "check_region",
    "following_region",
    "mask_extent",
    "moved_region",
]

MOST_PIXELS = 2**28
"""Pixels of the largest region that is followed: 1 GB of logits for one object."""

MARGIN = 1.65
"""A region for following is wider by this factor than one for a single plane."""

SMALLEST_EXTENT = 6
"""Objects are taken for at least this part of the network's input: 43 pixels of 256, in a region of
about 64. A closer view blows pixels up and loses the surroundings, by which an object is found."""

MOST_OF_PLANE = 0.7
"""A region of more than this part of its plane is widened to the plane, which all objects share."""

CLEARANCE = 0.25
"""Free space wanted around an object, as a part of its longer side."""

LARGEST_PART = 0.6
"""Part of its region above which an object has outgrown it."""

SMALLEST_PART = 0.25
"""Part of a region below which an object does not share it with larger ones."""

STRAY = 0.01
"""Part of a mask's pixels, at either end, that does not count for its extent."""


def following_region(
    extent: Box, plane_shape: tuple[int, int], image_size: int, others: Iterable[Region] = ()
) -> Region:
    """Choose the region in which to follow an object from here on.

    Parameters
    ----------
    extent : (y0, x0, y1, x1)
        Half-open box around the object.
    plane_shape : (H, W)
        Pixels of the plane.
    image_size : int
        Side of the network's square input.
    others : iterable of Region
        Regions of other objects; the first one that suits is shared.
    """
    y0, x0, y1, x1 = extent
    side = max(y1 - y0, x1 - x0)
    grow = (max(MARGIN * side, image_size / SMALLEST_EXTENT) - side) / 2
    wide = (y0 - grow, x0 - grow, y1 + grow, x1 + grow)
    own = box_region(wide, plane_shape, image_size)
    if own.height * own.width > MOST_OF_PLANE * plane_shape[0] * plane_shape[1]:
        return Region.whole(plane_shape)
    suitable = (other for other in others if _suits(other, extent, plane_shape))
    return next(suitable, own)


def moved_region(
    region: Region,
    extent: Box,
    plane_shape: tuple[int, int],
    image_size: int,
    others: Iterable[Region] = (),
) -> Region:
    """Return the region for the next plane: the same one, unless the object nears its border.

    Parameters
    ----------
    region : Region
        The object's region on this plane.
    extent : (y0, x0, y1, x1)
        Half-open box around the object on this plane.
    plane_shape, image_size, others
        See ``following_region``.
    """
    if region.shape == plane_shape or _has_clearance(region, extent, plane_shape):
        return region
    y0, x0, y1, x1 = extent
    if max(y1 - y0, x1 - x0) > LARGEST_PART * max(region.shape):
        return following_region(extent, plane_shape, image_size, others)
    row = _start((y0 + y1) / 2, region.height, plane_shape[0])
    column = _start((x0 + x1) / 2, region.width, plane_shape[1])
    own = Region(row, column, region.height, region.width)
    suitable = (
        other
        for other in others
        if other.shape == region.shape and _has_clearance(other, extent, plane_shape)
    )
    return next(suitable, own)


def check_plane(plane_shape: tuple[int, int]) -> None:
    """Raise CapabilityError if planes (H, W) have too many pixels to be followed as a whole."""
    height, width = plane_shape
    if height * width > MOST_PIXELS:
        raise CapabilityError(
            f"Planes of {height} x {width} pixels are too large to be followed as a whole; let "
            "each object have a region of its own (region='auto'), or take a coarser level of the "
            "image (--level on the command line)."
        )


def check_prompts_fit(
    prompts: Iterable[Prompt], plane_shape: tuple[int, int], image_size: int
) -> None:
    """Raise CapabilityError if the region around a prompt has too many pixels to be followed."""
    if plane_shape[0] * plane_shape[1] <= MOST_PIXELS:
        return
    for prompt in prompts:
        region = following_region(prompt_extent(prompt), plane_shape, image_size)
        check_region(region, prompt.object_id)


def check_region(region: Region, object_id: int) -> None:
    """Raise CapabilityError if a region for following an object has too many pixels."""
    if region.height * region.width > MOST_PIXELS:
        raise CapabilityError(
            f"Object {object_id} would be followed in {region.height} x {region.width} pixels, "
            "which no memory holds; take a coarser level of the image (--level on the command "
            "line), where the object is smaller."
        )


def mask_extent(mask: NDArray[np.bool_], region: Region) -> Box | None:
    """Return the box around a mask, in the plane, without a few stray pixels; None if empty.

    Parameters
    ----------
    mask : bool array (region.height, region.width)
        In the region's window.
    region : Region
        The window.
    """
    y0, y1 = _inner(mask.sum(axis=1))
    x0, x1 = _inner(mask.sum(axis=0))
    if y0 == y1:
        return None
    return region.row + y0, region.column + x0, region.row + y1, region.column + x1


def _inner(counts: NDArray[np.intp]) -> tuple[int, int]:
    """Return the half-open range that holds all but the stray pixels at either end."""
    total = int(counts.sum())
    if not total:
        return 0, 0
    share = np.cumsum(counts) / total
    first = int(np.searchsorted(share, STRAY, side="right"))
    last = int(np.searchsorted(share, 1 - STRAY, side="left"))
    return first, last + 1


def _suits(region: Region, extent: Box, plane_shape: tuple[int, int]) -> bool:
    """Tell whether an object has about the right size and place for a region of another one."""
    if region.shape == plane_shape:
        return False
    y0, x0, y1, x1 = extent
    part = max(y1 - y0, x1 - x0) / max(region.shape)
    return SMALLEST_PART <= part <= LARGEST_PART and _has_clearance(region, extent, plane_shape)


def _has_clearance(region: Region, extent: Box, plane_shape: tuple[int, int]) -> bool:
    """Tell whether an object keeps off those borders of a region that lie inside the plane."""
    y0, x0, y1, x1 = extent
    free = CLEARANCE * max(y1 - y0, x1 - x0)
    bottom, right = region.row + region.height, region.column + region.width
    return (
        (region.row == 0 or y0 - free >= region.row)
        and (region.column == 0 or x0 - free >= region.column)
        and (bottom == plane_shape[0] or y1 + free <= bottom)
        and (right == plane_shape[1] or x1 + free <= right)
    )


def _start(centre: float, length: int, limit: int) -> int:
    """Return where a region around a centre starts: on its grid, inside the plane."""
    step = max(1, length // 8)
    return min(max(round((centre - length / 2) / step) * step, 0), limit - length)
