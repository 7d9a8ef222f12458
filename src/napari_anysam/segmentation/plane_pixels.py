"""The pixels of a plane, read region by region at the scale that a network sees.

A region that is larger than the network's input is read from the level of a pyramid that is just
fine enough, and one that is too large to be read at once is averaged strip by strip: what a click
reads depends on its regions, never on the plane. Such regions begin and end on pixels of what is
read, so that a mask lies where it was seen.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_anysam.segmentation.regions import Region

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_anysam.images.conditioning import Conditioning
    from napari_anysam.images.planes import Planes

__all__ = ["PlanePixels", "WholePlane", "WindowedPlane"]

MOST_PIXELS = 2**24
"""Pixels that are held at once (4096 x 4096); larger regions are averaged to fewer."""

_STRIP_PIXELS = 2**22


class PlanePixels(Protocol):
    """Where a predictor takes the pixels of a plane from."""

    def fitted(self, region: Region, image_size: int) -> Region:
        """Return the region, grown to where it can be read exactly; the same if asked again.

        Parameters
        ----------
        region : Region
            In level-0 pixels.
        image_size : int
            Side of the network's square input.
        """
        ...

    def read(self, region: Region, image_size: int) -> NDArray[np.uint8]:
        """Return the pixels of a fitted region, (h, w, 3), at its own scale or a coarser one."""
        ...


class WholePlane:
    """A conditioned plane that is read as a whole, once, when the first region asks for it.

    Parameters
    ----------
    read_plane : callable
        Returns uint8 (H, W, 3).
    """

    def __init__(self, read_plane: Callable[[], NDArray[np.uint8]]) -> None:
        self._read_plane = read_plane
        self._pixels: NDArray[np.uint8] | None = None

    def fitted(self, region: Region, image_size: int) -> Region:  # noqa: ARG002 - the protocol's
        """Return the region as it is."""
        return region

    def read(self, region: Region, image_size: int) -> NDArray[np.uint8]:  # noqa: ARG002
        """Return the region's pixels, one for one."""
        if self._pixels is None:
            self._pixels = self._read_plane()
        return np.ascontiguousarray(self._pixels[region.slices])


class WindowedPlane:
    """A plane of any size, of which only regions are read.

    Parameters
    ----------
    planes : Planes
        An array or a pyramid.
    conditioning : Conditioning
        Applied to what is read.
    index : int
        Which plane.
    """

    def __init__(self, planes: Planes, conditioning: Conditioning, index: int = 0) -> None:
        self._planes = planes
        self._conditioning = conditioning
        self._index = index
        self._held: tuple[int, slice, slice, NDArray[Any]] | None = None

    def fitted(self, region: Region, image_size: int) -> Region:
        """Return the region, grown to whole pixels of what will be read of it."""
        while True:
            scale, block = self._sampling(region, image_size)
            grown = _aligned(region, scale * block, self._planes.plane_shape)
            if grown == region:
                return region
            region = grown

    def read(self, region: Region, image_size: int) -> NDArray[np.uint8]:
        """Return the pixels of a fitted region, (h, w, 3); at most `MOST_PIXELS` of them."""
        scale, block = self._sampling(region, image_size)
        rows, columns = (
            slice(part.start // scale, -(-part.stop // scale)) for part in region.slices
        )
        if block == 1:
            return np.ascontiguousarray(
                self._conditioning.apply(self._window(rows, columns, scale))
            )
        width = columns.stop - columns.start
        step = block * max(1, _STRIP_PIXELS // (block * width))
        strips = (
            self._window(slice(start, min(start + step, rows.stop)), columns, scale)
            for start in range(rows.start, rows.stop, step)
        )
        # A level may end a pixel before the plane does.
        return np.concatenate(
            [_averaged(self._conditioning.apply(strip), block) for strip in strips if len(strip)]
        )

    def _sampling(self, region: Region, image_size: int) -> tuple[int, int]:
        """Return the level to read, by its scale, and how many of its pixels become one."""
        finest = max(region.shape) / image_size
        scale = max(scale for scale in self._planes.scales if scale == 1 or scale <= finest)
        pixels = region.height * region.width / scale**2
        return scale, max(1, math.ceil(math.sqrt(pixels / MOST_PIXELS)))

    def _window(self, rows: slice, columns: slice, scale: int) -> NDArray[Any]:
        """Read a window of a level, or cut it from the last one: chunks are costly to decode."""
        held = self._held
        if held is None or scale != held[0] or not (_in(rows, held[1]) and _in(columns, held[2])):
            height, width = self._planes.plane_shape
            if scale == 1 and height * width <= MOST_PIXELS:
                held = (1, slice(0, height), slice(0, width), self._planes.read(self._index))
            else:
                pixels = self._planes.read_window(self._index, rows, columns, scale)
                held = (scale, rows, columns, pixels)
            self._held = held
        top, left = held[1].start, held[2].start
        return held[3][
            rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]


def _in(inner: slice, outer: slice) -> bool:
    return bool(outer.start <= inner.start and inner.stop <= outer.stop)


def _aligned(region: Region, step: int, plane_shape: tuple[int, int]) -> Region:
    """Grow a region to multiples of a step, or to the plane's end."""
    top, left = region.row // step * step, region.column // step * step
    bottom = min(-(-(region.row + region.height) // step) * step, plane_shape[0])
    right = min(-(-(region.column + region.width) // step) * step, plane_shape[1])
    return Region(top, left, bottom - top, right - left)


def _averaged(pixels: NDArray[np.uint8], block: int) -> NDArray[np.uint8]:
    """Average squares of pixels (h, w, 3); those at the end may be smaller."""
    rows, columns = (np.arange(0, size, block) for size in pixels.shape[:2])
    sums = np.add.reduceat(pixels, rows, axis=0, dtype=np.uint32)
    sums = np.add.reduceat(sums, columns, axis=1)
    heights, widths = (
        np.diff([*starts, size])
        for starts, size in zip((rows, columns), pixels.shape[:2], strict=True)
    )
    counts = (heights[:, None] * widths)[..., None]
    averaged: NDArray[np.uint8] = ((sums + counts // 2) // counts).astype(np.uint8)
    return averaged
