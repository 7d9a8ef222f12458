"""Some axes of an array of any dimensions: the planes that are shown of it, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["AxisView", "JoinedViews", "views_of_layers", "views_of_levels"]


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


class JoinedViews:
    """Views of equal shape as the channels of one array, on its first axis.

    Parameters
    ----------
    views : sequence of AxisView
        Types may differ; what is read has the type that holds them all.
    """

    def __init__(self, views: Sequence[AxisView]) -> None:
        self._views = tuple(views)
        self.shape = (len(self._views), *self._views[0].shape)
        self.ndim = len(self.shape)
        self.dtype = np.result_type(*(view.dtype for view in self._views))

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read a part: a slice of the channels, then one integer or slice per axis of a view."""
        channels, *rest = key
        views = self._views[channels]
        views = views if isinstance(views, tuple) else (views,)
        return np.stack([view[tuple(rest)].astype(self.dtype, copy=False) for view in views])


def views_of_layers(
    pyramids: Sequence[Sequence[Any]],
    axes: tuple[int, ...],
    fixed: dict[int, int],
    *,
    rgb: bool = False,
) -> tuple[list[Any], int | None]:
    """Return the pixels of layers that are seen together, level by level.

    Parameters
    ----------
    pyramids : sequence of sequence of array-like
        The levels of each layer, from the bottom layer up, the largest level first.
    axes, fixed
        As in ``views_of_levels``.
    rgb : bool
        Whether the last axis of a single layer holds colours.

    Returns
    -------
    levels : list of array-like
        Of several layers those levels that all of them have, with the layers on the first axis.
    channel_axis : int or None
    """
    views = [views_of_levels(levels, axes, fixed, channels=rgb) for levels in pyramids]
    if len(views) == 1:
        return list(views[0]), len(axes) if rgb else None
    by_shape = [{view.shape: view for view in reversed(levels)} for levels in views]
    shared = [
        JoinedViews([levels[first.shape] for levels in by_shape])
        for first in views[0]
        if all(first.shape in levels for levels in by_shape)
    ]
    return shared, 0


def _is_slice(part: int | slice) -> bool:
    return isinstance(part, slice)
