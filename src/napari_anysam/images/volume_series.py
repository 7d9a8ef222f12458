"""A time series of volumes: the planes of one time point, or one plane at all times, lazily."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import ImageError
from napari_anysam.images.axis_view import AxisView
from napari_anysam.images.planes import Planes, first_level

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["VolumeSeries"]


class VolumeSeries:
    """An array (T, Z, Y, X), of which nothing is read before a plane is asked for.

    Parameters
    ----------
    array : array-like or list of levels
        numpy, dask or zarr of four dimensions, with ``channel_axis`` of five; of levels the largest
        is taken.
    channel_axis : int or None
        Axis of ``array`` that holds channels; the other ones are T, Z, Y and X in their order.

    Raises
    ------
    ImageError
        If it has another number of dimensions, or is empty.
    """

    def __init__(self, array: Any, channel_axis: int | None = None) -> None:
        array = first_level(array)
        self._array = array if hasattr(array, "ndim") else np.asarray(array)
        ndim = int(self._array.ndim)
        wanted = 4 if channel_axis is None else 5
        if ndim != wanted or not all(self._array.shape):
            raise ImageError(
                f"An image of shape {tuple(self._array.shape)} is no time series of volumes; give "
                "(T, Z, Y, X), and channel_axis where there are channels."
            )
        if channel_axis is not None and not -ndim <= channel_axis < ndim:
            raise ImageError(f"channel_axis is {channel_axis}; give one of axes 0 to {ndim - 1}.")
        own = None if channel_axis is None else channel_axis % ndim
        self._axes = tuple(axis for axis in range(ndim) if axis != own)
        self._channels = () if own is None else (own,)

    @property
    def count(self) -> int:
        """Number of time points."""
        return self._size(0)

    @property
    def depth(self) -> int:
        """Number of planes at each time point."""
        return self._size(1)

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns of a plane (H, W)."""
        return self._size(2), self._size(3)

    def through_z(self, time: int) -> Planes:
        """Return the planes of one time point."""
        return self._stack(1, 0, time)

    def through_t(self, plane: int) -> Planes:
        """Return one plane at all times."""
        return self._stack(0, 1, plane)

    def all_planes(self) -> Planes:
        """Return all planes, those of one time point after those of the one before."""
        return Planes(_Flat(self._view(self._axes, {}), self.depth), 0, self._channel_axis)

    @property
    def _channel_axis(self) -> int | None:
        return 3 if self._channels else None

    def _size(self, place: int) -> int:
        return int(self._array.shape[self._axes[place]])

    def _stack(self, along: int, fixed: int, index: int) -> Planes:
        axes = (self._axes[along], *self._axes[2:])
        return Planes(self._view(axes, {self._axes[fixed]: index}), 0, self._channel_axis)

    def _view(self, axes: tuple[int, ...], fixed: dict[int, int]) -> AxisView:
        return AxisView(self._array, (*axes, *self._channels), fixed)


class _Flat:
    """The first two axes of a view as one."""

    def __init__(self, view: AxisView, depth: int) -> None:
        self._view, self._depth = view, depth
        self.shape = (view.shape[0] * depth, *view.shape[2:])
        self.ndim, self.dtype = len(self.shape), view.dtype

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        return self._view[(*divmod(int(key[0]), self._depth), *key[1:])]
