"""Planes whose pixels are longer than wide, resampled until they are square.

A plane across a stack has rows as far apart as the stack's planes, often several times as far as
its columns. A network was trained on square pixels, so it is shown such a plane in its true aspect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_anysam.images.planes import Planes

__all__ = ["SquarePixels"]


class SquarePixels:
    """Planes in their true aspect, as an array that ``Planes`` takes; read one at a time.

    The finer of the two spacings is kept, and the coarser one is interpolated linearly to it.
    Corners stay where they are: a pixel covers an area.

    Parameters
    ----------
    planes : Planes
        The planes as they are stored.
    spacing : (row, column)
        Distances of the centres of pixels, in any unit, above 0.
    """

    def __init__(self, planes: Planes, spacing: tuple[float, float]) -> None:
        self._planes = planes
        finest = min(spacing)
        height, width = (
            max(1, round(size * step / finest))
            for size, step in zip(planes.plane_shape, spacing, strict=True)
        )
        self.plane_shape = height, width
        channels = () if planes.channels is None else (planes.channels,)
        self.shape = (planes.count, height, width, *channels)
        self.ndim = len(self.shape)
        self.dtype = planes.dtype

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read a plane, or a part of one: an index, then slices of rows, columns and channels."""
        index, *window = key
        if not isinstance(index, int):
            raise TypeError("Planes are read one at a time; give an index first.")
        plane = self._planes.read(index)
        if plane.shape[:2] != self.plane_shape:
            plane = _resized(plane, (*self.plane_shape, *plane.shape[2:])).astype(self.dtype)
        return plane[tuple(window)]

    def squared(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Bring a mask of a stored plane (H, W) to the plane in its true aspect."""
        return _resized_mask(mask, self.plane_shape)

    def stored(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Bring a mask of the plane in its true aspect to the stored plane (H, W)."""
        return _resized_mask(mask, self._planes.plane_shape)


def _resized(plane: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    from skimage.transform import resize

    values: NDArray[Any] = resize(
        plane, shape, order=1, mode="edge", anti_aliasing=False, preserve_range=True
    )
    if plane.dtype.kind == "f":
        return values
    return values > 0.5 if plane.dtype.kind == "b" else np.rint(values)


def _resized_mask(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Give a pixel to the mask if more than half of what it covers, or of its centre, is inside."""
    if mask.shape == shape:
        return mask
    from skimage.transform import resize

    shrinks = shape[0] < mask.shape[0] or shape[1] < mask.shape[1]
    values = resize(mask.astype(np.float32), shape, order=1, mode="edge", anti_aliasing=shrinks)
    inside: NDArray[np.bool_] = values > 0.5
    return inside
