"""Labels of any number of dimensions with the names and sizes of their axes, read in blocks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import isfinite, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import LabelFileError
from napari_anysam.export.units import find_unit
from napari_anysam.images.planes import first_level

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_anysam.export.units import Unit

__all__ = ["LabelImage", "LabelPlane"]

_AXES = "TCZYX"
_SLAB_BYTES = 2**26


@dataclass(frozen=True, slots=True, eq=False)
class LabelPlane:
    """One plane of labels.

    ``index`` holds its position along every axis before rows and columns, ``suffix`` names that
    position in a file's name ("_t0002_z0013", empty in 2D), ``labels`` is (H, W).
    """

    index: tuple[int, ...]
    suffix: str
    labels: NDArray[Any]


class LabelImage:
    """A label array with named axes; pixels are read when asked for, block by block.

    Parameters
    ----------
    array : array-like
        Integers or bool with ``shape``, ``dtype`` and ``__getitem__`` (numpy, memory map, dask,
        zarr), or the levels of a multiscale array, of which the largest is used; 0 is background.
        Anything else is brought to numpy.
    axes : str
        Different letters of "TCZYX" that end with "YX"; by default the last ones of "TZYX", in
        five dimensions "TCZYX".
    scale : sequence of float
        Size of a pixel along every axis, or along rows and columns only.
    units : str or sequence of str or None
        Unit of every axis, None where it has none, or one for all axes of space ("micrometer",
        "um", "nm" ...).

    Raises
    ------
    LabelFileError
        If one of them does not fit the others.
    """

    def __init__(
        self,
        array: Any,
        axes: str | None = None,
        scale: Sequence[float] | None = None,
        units: str | Sequence[str | None] | None = None,
    ) -> None:
        array = first_level(array)
        self.array = array if hasattr(array, "dtype") else np.asarray(array)
        self.shape = tuple(int(size) for size in self.array.shape)
        ndim = len(self.shape)
        if np.dtype(self.array.dtype).kind not in "bui" or ndim < 2 or not all(self.shape):
            raise LabelFileError(
                f"Labels of type {self.array.dtype} and shape {self.shape} cannot be exported; "
                "give integers in two or more dimensions."
            )
        self.axes = _check_axes(axes, ndim)
        self.scale = _check_scale(scale, self.axes)
        self.units = _check_units(units, self.axes)

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """All ids but background, ascending; the labels are read through once.

        Raises
        ------
        LabelFileError
            If one is below 0 or above 2**32 - 1.
        """
        found: NDArray[np.int64] = np.empty(0, np.int64)
        for _, block in self.blocks(edge=4096):
            values = np.unique(block)
            if values[0] < 0 or values[-1] > np.iinfo(np.uint32).max:
                raise LabelFileError(
                    "Labels below 0 or above 4294967295 cannot be exported; renumber them."
                )
            found = np.union1d(found, values.astype(np.int64))
        return found[found > 0]

    @property
    def plane_count(self) -> int:
        """Number of planes of rows and columns."""
        return prod(self.shape[:-2])

    def planes(self) -> Iterator[LabelPlane]:
        """Read all planes in the order of the axes."""
        for key, block in self.blocks():
            start = tuple(part.start for part in key[:-2])
            for offset in np.ndindex(block.shape[:-2]):
                index = tuple(a + b for a, b in zip(start, offset, strict=True))
                yield LabelPlane(index, self.suffix(index), block[offset])

    def suffix(self, index: tuple[int, ...]) -> str:
        """Name a plane's position, "_t0002_z0013"; empty in 2D."""
        letters = self.axes[:-2].lower()
        return "".join(f"_{name}{place:04d}" for name, place in zip(letters, index, strict=True))

    def blocks(
        self, edge: int | None = None, planes: int | None = None
    ) -> Iterator[tuple[tuple[slice, ...], NDArray[Any]]]:
        """Read everything once, in blocks that memory can hold.

        Parameters
        ----------
        edge : int or None
            Rows and columns of a block; None takes whole planes.
        planes : int or None
            Planes of a block; None takes as many as the array's chunks hold, within limits.

        Yields
        ------
        key : tuple of slice
            Where the block lies.
        block : integer array
            With all axes of the labels.
        """
        steps = [1] * (len(self.shape) - 2)
        if steps:
            steps[-1] = planes or self._planes_at_once(edge)
        steps += [edge or size for size in self.shape[-2:]]
        counts = [-(-size // step) for size, step in zip(self.shape, steps, strict=True)]
        for place in np.ndindex(*counts):
            key = tuple(
                slice(at * step, min((at + 1) * step, size))
                for at, step, size in zip(place, steps, self.shape, strict=True)
            )
            yield key, np.asarray(self.array[key])

    def _planes_at_once(self, edge: int | None) -> int:
        """Take the planes of a chunk together, or every plane would decode it again."""
        chunks = getattr(self.array, "chunks", None)
        depth = 1 if chunks is None else chunks[-3]
        depth = max(depth) if isinstance(depth, tuple) else int(depth)
        height, width = (min(size, edge or size) for size in self.shape[-2:])
        return max(1, min(depth, _SLAB_BYTES // (height * width * self.array.dtype.itemsize)))


def _check_axes(axes: str | None, ndim: int) -> str:
    if axes is None and ndim <= len(_AXES):
        axes = "TZYX"[-ndim:] if ndim < 5 else _AXES
    known = axes is not None and set(axes) <= set(_AXES) and len(set(axes)) == len(axes)
    if axes is None or not known or not axes.endswith("YX") or len(axes) != ndim:
        raise LabelFileError(
            f"axes {axes!r} do not fit labels of {ndim} dimensions; give one letter of TCZYX for "
            "each, YX last."
        )
    return axes


def _check_scale(scale: Sequence[float] | None, axes: str) -> tuple[float, ...] | None:
    if scale is None:
        return None
    sizes = tuple(float(size) for size in scale)
    if len(sizes) == 2:
        sizes = (1.0,) * (len(axes) - 2) + sizes
    if len(sizes) != len(axes) or not all(isfinite(size) and size > 0 for size in sizes):
        raise LabelFileError(
            f"scale {sizes} does not fit axes {axes}; give one positive number for each, or two "
            "for rows and columns."
        )
    return sizes


def _check_units(units: str | Sequence[str | None] | None, axes: str) -> tuple[Unit | None, ...]:
    if units is None:
        return (None,) * len(axes)
    if isinstance(units, str):
        return tuple(find_unit(units, axis) if axis in "ZYX" else None for axis in axes)
    if len(units) != len(axes):
        raise LabelFileError(
            f"There are {len(units)} units for axes {axes}; give one for each, or one for space."
        )
    return tuple(
        find_unit(name, axis) if name is not None and axis != "C" else None
        for name, axis in zip(units, axes, strict=True)
    )
