"""From an array of any kind to single planes, each read only when it is asked for.

A stack is any three-dimensional array and an axis to walk along; channels are an extra axis that
the caller names. Nothing is read when a ``Planes`` is made: shape and dtype are all it looks at.
"""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_anysam.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Planes", "first_level"]

_RGB_CHANNELS = (3, 4)


class Planes:
    """The planes of a stack along one axis, read one at a time.

    Parameters
    ----------
    array : array-like or list of levels
        Anything with ``shape``, ``ndim``, ``dtype`` and ``__getitem__`` (numpy, dask, zarr, h5py,
        xarray), or the levels of a multiscale image, largest first. ``read`` takes the first one,
        ``read_window`` any of those that ``scales`` names.
        Without ``channel_axis`` it has three dimensions, with it four. Bool, integers and floats
        of every width and byte order are taken.
    axis : int
        Axis of ``array`` to walk along; the two others are rows and columns, in that order.
    channel_axis : int or None
        Axis of ``array`` that holds channels. Both axes count in the whole array and may be
        negative.

    Raises
    ------
    ImageError
        If the array is empty, or its layout or dtype is not one of these.

    Notes
    -----
    Four uint8 channels on the last axis are RGBA; the alpha channel is left out.
    """

    __slots__ = ("_array", "_axis", "_channel_axis", "_drop_alpha", "_dtype", "_levels")

    def __init__(self, array: Any, axis: int = 0, channel_axis: int | None = None) -> None:
        levels = array
        array, dtype = _checked(array)
        wanted = 3 if channel_axis is None else 4
        if array.ndim != wanted:
            raise ImageError(_stack_remedy(array.shape, channel_axis))
        self._array, self._dtype = array, dtype
        self._axis: int | None = _axis(axis, array.ndim, "axis")
        self._set_channels(channel_axis)
        if self._axis == self._channel_axis:
            raise ImageError(
                f"axis and channel_axis are both axis {self._axis} of shape {_text(array.shape)}; "
                "name two different axes."
            )
        self._levels = self._usable(levels)

    @classmethod
    def single(cls, image: Any, channel_axis: int | None = None) -> Self:
        """Take one plane, whose ``count`` is 1.

        Parameters
        ----------
        image : array-like or list of levels
            (H, W); or uint8 (H, W, 3) or (H, W, 4) as RGB; or three dimensions with
            ``channel_axis``.
        channel_axis : int or None
            Axis that holds channels, where the image is not one of the first two.

        Raises
        ------
        ImageError
            If the image is empty, or its layout or dtype is not one of these.
        """
        array, dtype = _checked(image)
        if channel_axis is None and _looks_rgb(array.shape, dtype):
            channel_axis = -1
        wanted = 2 if channel_axis is None else 3
        if array.ndim != wanted:
            raise ImageError(_image_remedy(array.shape, channel_axis))
        planes = cls.__new__(cls)
        planes._array, planes._dtype, planes._axis = array, dtype, None
        planes._set_channels(channel_axis)
        planes._levels = planes._usable(image)
        return planes

    def _set_channels(self, channel_axis: int | None) -> None:
        ndim = self._array.ndim
        self._channel_axis = (
            None if channel_axis is None else _axis(channel_axis, ndim, "channel_axis")
        )
        self._drop_alpha = (
            self._dtype == np.uint8
            and self._channel_axis == ndim - 1
            and int(self._array.shape[-1]) == 4
        )

    def _usable(self, levels: Any) -> dict[int, Any]:
        """Return the levels by how many times smaller they are; the first one is 1.

        Left out are levels that are smaller along other axes than rows and columns, and those that
        are not smaller by the same whole number along both.
        """
        found = {1: self._array}
        if self._array is levels or not _is_levels(levels):
            return found
        others = (self._axis, self._channel_axis)
        for level in list(levels)[1:]:
            pairs = list(zip(self._array.shape, level.shape, strict=True))
            whole = [pair for axis, pair in enumerate(pairs) if axis not in others]
            scale = max(round(full / small) if small else 0 for full, small in whole)
            fits = all(
                small and small in (full // scale, -(-full // scale)) for full, small in whole
            )
            same = all(full == small for axis, (full, small) in enumerate(pairs) if axis in others)
            if scale > 1 and fits and same:
                found.setdefault(scale, level)
        return found

    @property
    def scales(self) -> tuple[int, ...]:
        """By how much the levels are smaller than the first one, ascending from 1."""
        return tuple(sorted(self._levels))

    def without_levels(self) -> Planes:
        """Return the same planes, of the first level alone."""
        planes = copy.copy(self)
        planes._levels = {1: self._array}
        return planes

    @property
    def count(self) -> int:
        """Number of planes."""
        return 1 if self._axis is None else int(self._array.shape[self._axis])

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns of a plane (H, W)."""
        height, width = (
            int(size)
            for position, size in enumerate(self._array.shape)
            if position not in (self._axis, self._channel_axis)
        )
        return height, width

    @property
    def channels(self) -> int | None:
        """Channels of a plane as it is read; None for (H, W) planes."""
        if self._channel_axis is None:
            return None
        return 3 if self._drop_alpha else int(self._array.shape[self._channel_axis])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type as it is stored."""
        return self._dtype

    @property
    def is_rgb(self) -> bool:
        """Whether the pixels are 8-bit colour, to be shown as they are."""
        return self._dtype == np.uint8 and self.channels == 3

    def read(self, index: int = 0, step: int = 1) -> NDArray[Any]:
        """Read one plane; of a lazy array, only that plane.

        Parameters
        ----------
        index : int
            From 0 to ``count - 1``.
        step : int
            Take every step-th row and column.

        Returns
        -------
        array (H, W) or (H, W, C)
            In the stored dtype; it may be a view of the caller's array, so do not write to it.

        Raises
        ------
        ImageError
            If the index lies outside the stack, or the plane cannot be read.
        """
        every = slice(None, None, step)
        return self._channels_last(self._load(index, every, every))

    def read_window(self, index: int, rows: slice, columns: slice, scale: int = 1) -> NDArray[Any]:
        """Read a window of one plane; of a lazy array, only what the window touches.

        Parameters
        ----------
        index : int
            From 0 to ``count - 1``.
        rows, columns : slice
            In pixels of the level; a step takes every step-th one.
        scale : int
            Which level, one of ``scales``.

        Returns
        -------
        array (h, w) or (h, w, C)
            As ``read`` returns a plane.

        Raises
        ------
        ImageError
            If the index lies outside the stack, or the window cannot be read.
        """
        return self._channels_last(self._load(index, rows, columns, self._levels[scale]))

    def _channels_last(self, plane: NDArray[Any]) -> NDArray[Any]:
        if self._channel_axis is None:
            return plane
        before = self._axis is not None and self._axis < self._channel_axis
        plane = np.moveaxis(plane, self._channel_axis - before, -1)
        return plane[..., :3] if self._drop_alpha else plane

    def _load(self, index: int, rows: slice, columns: slice, level: Any = None) -> NDArray[Any]:
        index = operator.index(index)
        if not 0 <= index < self.count:
            raise ImageError(f"Plane {index} lies outside the stack; use 0 to {self.count - 1}.")
        array = self._array if level is None else level
        along = iter((rows, columns))
        key: list[int | slice] = []
        for axis in range(array.ndim):
            if axis == self._axis:
                key.append(index)
            else:
                key.append(slice(None) if axis == self._channel_axis else next(along))
        try:
            # np.asarray is where dask computes; every other kind reads at the subscript.
            return np.asarray(array[tuple(key)])
        except MemoryError:
            raise
        except Exception as error:
            # The stores behind lazy arrays meet damage with exceptions of every type.
            raise ImageError(
                f"Plane {index} could not be read ({type(error).__name__}: {error}); check that "
                "the image's file is complete and still where it was."
            ) from error


def _checked(array: Any) -> tuple[Any, np.dtype[Any]]:
    """Reduce a multiscale image to its first level and check what every layout needs."""
    array = first_level(array)
    try:
        dtype = np.dtype(array.dtype)
    except (AttributeError, TypeError):
        array = _as_numpy(array)
        dtype = array.dtype
    if dtype.kind not in "buif":
        raise ImageError(
            f"The image has pixels of type {dtype}; give bool, integer or float pixels"
            + (", such as numpy.abs(image)." if dtype.kind == "c" else ".")
        )
    shape = tuple(array.shape)
    if any(isinstance(size, float) and math.isnan(size) for size in shape):
        raise ImageError(
            "The dask array does not know its shape; call compute_chunk_sizes() on it first."
        )
    if not all(shape):
        raise ImageError(
            f"The image of shape {_text(shape)} is empty; give one with at least one pixel."
        )
    return array, dtype


def first_level(array: Any) -> Any:
    """Return the largest level of a list of levels; anything else as it is.

    Raises
    ------
    ImageError
        If the list is empty, or of arrays of one shape.
    """
    if not _is_sequence(array):
        return array
    if not len(array):
        raise ImageError("The image is an empty list; give an array or the levels of one.")
    first = array[0]
    if not hasattr(first, "shape"):
        return array
    if len(array) > 1 and tuple(array[1].shape) == tuple(first.shape):
        raise ImageError(
            f"The image is a list of {len(array)} arrays of one shape, so not the levels of a "
            "multiscale image; join them with numpy.stack first."
        )
    return first


def _is_sequence(array: Any) -> bool:
    return isinstance(array, Sequence) and not isinstance(array, (str, bytes))


def _is_levels(array: Any) -> bool:
    return _is_sequence(array) and hasattr(array[0], "shape")


def _as_numpy(array: Any) -> NDArray[Any]:
    try:
        converted = np.asarray(array)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ImageError(
            f"A {type(array).__name__} is not an image ({error}); give an array of pixels."
        ) from error
    if converted.dtype.kind == "O":
        raise ImageError(f"A {type(array).__name__} is not an image; give an array of pixels.")
    return converted


def _axis(axis: int, ndim: int, name: str) -> int:
    axis = operator.index(axis)
    if not -ndim <= axis < ndim:
        raise ImageError(f"{name} is {axis}, but the image has axes 0 to {ndim - 1}.")
    return axis % ndim


def _looks_rgb(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    return len(shape) == 3 and dtype == np.uint8 and shape[-1] in _RGB_CHANNELS


def _stack_remedy(shape: tuple[int, ...], channel_axis: int | None) -> str:
    has = f"The stack of shape {_text(shape)} has {_dimensions(len(shape))}"
    if channel_axis is not None:
        return (
            f"{has}; with channel_axis={channel_axis} it needs 4 (planes, rows, columns, "
            "channels): " + ("slice the others away first." if len(shape) > 4 else "leave it out.")
        )
    if len(shape) < 3:
        return f"{has}; a stack needs 3 (planes, rows, columns): segment it as an image instead."
    remedy = f"{has}; slice it to 3 (planes, rows, columns) first, for example array[0]"
    return f"{remedy}, or name its channels with channel_axis." if len(shape) == 4 else f"{remedy}."


def _image_remedy(shape: tuple[int, ...], channel_axis: int | None) -> str:
    has = f"The image of shape {_text(shape)} has {_dimensions(len(shape))}"
    if channel_axis is not None:
        return f"{has}; with channel_axis={channel_axis} it needs 3 (rows, columns, channels): " + (
            "slice the others away first." if len(shape) > 3 else "leave it out."
        )
    if len(shape) == 3:
        return (
            f"{has} and is not 8-bit RGB; name its channels with channel_axis, or slice it to "
            "2 (rows, columns) first."
        )
    if len(shape) < 2:
        return f"{has}; an image needs 2 (rows, columns)."
    return f"{has}; slice it to 2 (rows, columns) first, for example array[0, 0]."


def _dimensions(ndim: int) -> str:
    return "1 dimension" if ndim == 1 else f"{ndim} dimensions"


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape) if shape else "()"
