"""Some axes of an array of any dimensions: the planes that are shown of it, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["AxisView", "views_of_levels"]


class AxisView:
    """An array seen with some axes fixed and the others reordered; nothing is read before use.

    Parameters
    ----------
    array : array-like
        numpy, dask, zarr, or anything else that takes integers and slices.
    axes : sequence of int
        Axes of ``array`` that the view has, in the view's order.
    fixed : mapping of int to int
        Index of every other axis.
    channels : bool
        Whether the array's last axis holds RGB or RGBA; the view ends with its first three.
    """

    def __init__(
        self, array: Any, axes: tuple[int, ...], fixed: dict[int, int], *, channels: bool = False
    ) -> None:
        self._array = array
        self._axes = (*axes, array.ndim - 1) if channels else axes
        self._fixed = fixed
        self._channels = channels
        shape = tuple(int(array.shape[axis]) for axis in self._axes)
        self.shape = (*shape[:-1], min(shape[-1], 3)) if channels else shape
        self.ndim = len(self.shape)
        self.dtype = np.dtype(array.dtype)

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read a part: one integer or slice per axis of the view."""
        keys = [*key, *(slice(None),) * (self.ndim - len(key))]
        if self._channels and isinstance(keys[-1], slice):
            keys[-1] = slice(*keys[-1].indices(self.shape[-1]))
        whole: list[int | slice] = [slice(None)] * self._array.ndim
        for axis, index in self._fixed.items():
            whole[axis] = index
        for axis, part in zip(self._axes, keys, strict=True):
            whole[axis] = part
        kept = [axis for axis, part in zip(self._axes, keys, strict=True) if _is_slice(part)]
        values = np.asarray(self._array[tuple(whole)])
        return values.transpose(np.argsort(np.argsort(kept)))


def views_of_levels(
    levels: Sequence[Any], axes: tuple[int, ...], fixed: dict[int, int], *, channels: bool = False
) -> list[AxisView]:
    """Return views of a pyramid's levels, without those that are smaller along a hidden axis.

    Parameters
    ----------
    levels : sequence of array-like
        Largest first.
    axes : tuple of int
        Of the views; the last two are rows and columns, the others hidden, as ``fixed`` ones are.
    fixed, channels
        As in ``AxisView``.
    """
    hidden = (*axes[:-2], *fixed)
    return [
        AxisView(level, axes, fixed, channels=channels)
        for level in levels
        if all(level.shape[axis] == levels[0].shape[axis] for axis in hidden)
    ]


def _is_slice(part: int | slice) -> bool:
    return isinstance(part, slice)
