"""From what napari shows to planes and pixels, and back.

A layer's data axes, its transform and its units, the viewer's displayed axes and sliders: all of it
is resolved here, by pure functions, into a ``PlaneFrame`` (which plane of which axes) and an
``AffineMap`` (from one layer's data coordinates to another's). Everything counts level-0 pixels;
integer coordinates are pixel centres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "AffineMap",
    "PlaneFrame",
    "box_from_corners",
    "corners_from_box",
    "current_frame",
    "is_oblique",
    "layer_map",
    "level0",
    "show_plane",
    "spatial_shape",
    "world_to_data",
]

_MIXING_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class PlaneFrame:
    """One plane of an nD array.

    Parameters
    ----------
    order : tuple of int
        The array's axes: the hidden ones first, ascending, then the row axis and the column axis.
    index : tuple of int
        Position along each hidden axis.
    shape : tuple of int
        The array's shape in ``order``: hidden axes, then (H, W).
    """

    order: tuple[int, ...]
    index: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.shape[-2], self.shape[-1]

    @property
    def hidden_shape(self) -> tuple[int, ...]:
        """Lengths of the hidden axes."""
        return self.shape[:-2]

    @property
    def number(self) -> int | None:
        """The plane as one number that counts all hidden axes (row-major); None in 2D."""
        if not self.index:
            return None
        return int(np.ravel_multi_index(self.index, self.hidden_shape))

    def numbered(self, number: int | None) -> PlaneFrame:
        """Return the frame of another plane of the same axes, by its number."""
        if number is None:
            return self
        index = np.unravel_index(number, self.hidden_shape)
        return replace(self, index=tuple(int(value) for value in index))

    def at(self, axis: int, position: int) -> PlaneFrame:
        """Return the frame moved along one hidden data axis."""
        where = self.order.index(axis)
        index = (*self.index[:where], position, *self.index[where + 1 :])
        return replace(self, index=index)

    def coordinates(self, rows_columns: Any) -> Floats:
        """Return (N, 2) plane pixels as (N, ndim) data coordinates of the array."""
        pixels = np.asarray(rows_columns, dtype=float).reshape(-1, 2)
        result = np.empty((len(pixels), len(self.order)))
        result[:, self.order[:-2]] = self.index
        result[:, self.order[-2:]] = pixels
        return result

    def locate(self, coordinates: Floats) -> tuple[NDArray[np.int64], Floats]:
        """Say on which plane each of (N, ndim) data coordinates lies, and where.

        Returns
        -------
        numbers : int array (N,)
            Plane numbers; 0 for every point in 2D, -1 for points beyond the hidden axes.
        pixels : float array (N, 2)
            (row, column).
        """
        hidden = np.round(coordinates[:, self.order[:-2]]).astype(np.int64)
        lengths = np.asarray(self.hidden_shape, dtype=np.int64)
        inside = ((hidden >= 0) & (hidden < lengths)).all(axis=1)
        numbers = np.full(len(coordinates), -1, dtype=np.int64)
        strides = np.ones(len(lengths), dtype=np.int64)
        strides[:-1] = np.cumprod(lengths[:0:-1])[::-1] if len(lengths) else strides[:-1]
        numbers[inside] = hidden[inside] @ strides
        return numbers, coordinates[:, self.order[-2:]]


@dataclass(frozen=True, slots=True, eq=False)
class AffineMap:
    """``y = matrix @ x + offset``."""

    matrix: Floats
    offset: Floats

    def __call__(self, coordinates: Any) -> Floats:
        """Map (N, ndim) coordinates, or (ndim,)."""
        result: Floats = np.asarray(coordinates, dtype=float) @ self.matrix.T + self.offset
        return result

    def inverse(self) -> AffineMap:
        """Return the map back."""
        inverse: Floats = np.linalg.inv(self.matrix).astype(np.float64)
        return AffineMap(inverse, -inverse @ self.offset)

    def after(self, first: AffineMap) -> AffineMap:
        """Return the map that applies ``first`` and then this one."""
        return AffineMap(self.matrix @ first.matrix, self.matrix @ first.offset + self.offset)


def level0(layer: Any) -> Any:
    """Return a layer's array; the finest level of a multiscale layer."""
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data


def spatial_shape(layer: Any) -> tuple[int, ...]:
    """Return the shape of a layer's array without the RGB axis."""
    return tuple(int(length) for length in level0(layer).shape[: layer.ndim])


def current_frame(dims: Any, layer: Any) -> PlaneFrame:
    """Return the plane of an image or labels layer that the viewer shows.

    Parameters
    ----------
    dims : napari Dims
        The viewer's dims; only world coordinates (``dims.point``) are used, never steps.
    layer : napari layer
        With the last axes of the viewer as its own, as napari aligns them.

    Raises
    ------
    ImageError
        If no single plane of the layer is shown.
    """
    if dims.ndisplay != 2:
        raise ImageError("Prompts need the 2D view; press the 2D/3D button below the layer list.")
    missing = dims.ndim - layer.ndim
    displayed = tuple(axis - missing for axis in dims.displayed)
    if missing < 0:
        # For a moment, while layers come and go.
        raise ImageError(f"{layer.name!r} is not shown.")
    if min(displayed) < 0:
        raise ImageError(
            f"The view shows an axis that {layer.name!r} does not have; roll the axes back."
        )
    hidden = tuple(axis for axis in range(layer.ndim) if axis not in displayed)
    to_world = _to_world(layer)
    if _mixes(to_world, displayed, hidden):
        raise ImageError(
            f"{layer.name!r} is rotated or sheared across the sliders, so the view is no plane of "
            "it; turn on 'Voxel-grid view' in the Image part of the dock."
        )
    units = None if dims.units is None else dims.units[missing:]
    point = np.asarray(dims.point[missing:], dtype=float) * _unit_factors(units, layer.units)
    position = np.round(to_world.inverse()(point)).astype(int)
    shape = spatial_shape(layer)
    index = tuple(int(position[axis]) for axis in hidden)
    for axis, value in zip(hidden, index, strict=True):
        if not 0 <= value < shape[axis]:
            raise ImageError(f"The slider stands outside {layer.name!r}; move it onto the image.")
    order = (*hidden, *displayed)
    frame = PlaneFrame(order, index, tuple(shape[axis] for axis in order))
    if 0 in frame.shape:
        raise ImageError(f"{layer.name!r} has no pixels; choose another image.")
    return frame


def is_oblique(dims: Any, layer: Any) -> bool:
    """Tell whether the view cuts through a layer's pixels at an angle."""
    displayed = tuple(axis - (dims.ndim - layer.ndim) for axis in dims.displayed)
    if dims.ndisplay != 2 or min(displayed) < 0:
        return False
    hidden = tuple(axis for axis in range(layer.ndim) if axis not in displayed)
    return _mixes(_to_world(layer), displayed, hidden)


def show_plane(dims: Any, layer: Any, frame: PlaneFrame) -> None:
    """Move the viewer's sliders to a plane of a layer."""
    missing = dims.ndim - layer.ndim
    units = None if dims.units is None else dims.units[missing:]
    world = _to_world(layer)(frame.coordinates((0, 0))[0]) / _unit_factors(units, layer.units)
    for axis in frame.order[:-2]:
        dims.set_point(axis + missing, float(world[axis]))


def world_to_data(dims: Any, layer: Any, points: Any) -> Floats:
    """Return (N, dims.ndim) world coordinates of the viewer as (N, layer.ndim) data coordinates."""
    missing = dims.ndim - layer.ndim
    units = None if dims.units is None else dims.units[missing:]
    world = np.asarray(points, dtype=float)[:, missing:] * _unit_factors(units, layer.units)
    return _to_world(layer).inverse()(world)


def layer_map(source: Any, target: Any) -> AffineMap:
    """Return the map from one layer's data coordinates to another's of the same dimensions."""
    if source.ndim != target.ndim:
        raise ImageError(
            f"{source.name!r} has {source.ndim} dimensions and {target.name!r} {target.ndim}; "
            "choose layers of equal dimensions."
        )
    factors = _unit_factors(source.units, target.units)
    units = AffineMap(np.diag(factors).astype(float), np.zeros(len(factors)))
    return _to_world(target).inverse().after(units).after(_to_world(source))


def box_from_corners(corners: Any) -> tuple[float, float, float, float]:
    """Return the half-open pixel edges (y0, x0, y1, x1) around (K, 2) pixel-centre coordinates."""
    corners = np.asarray(corners, dtype=float)
    y0, x0 = corners.min(axis=0) + 0.5
    y1, x1 = corners.max(axis=0) + 0.5
    return float(y0), float(x0), float(y1), float(x1)


def corners_from_box(box: Sequence[float]) -> Floats:
    """Return the four (row, column) corners of a box of pixel edges, as napari draws rectangles."""
    y0, x0, y1, x1 = (float(value) - 0.5 for value in box)
    return np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)])


def _to_world(layer: Any) -> AffineMap:
    """Probe a layer's transform through its public method."""
    ndim = layer.ndim
    origin = np.asarray(layer.data_to_world(np.zeros(ndim)), dtype=float)
    columns = [np.asarray(layer.data_to_world(unit), dtype=float) - origin for unit in np.eye(ndim)]
    return AffineMap(np.stack(columns, axis=1), origin)


def _unit_factors(source: Any, target: Any) -> Floats:
    """Return by what a coordinate in ``source`` units is multiplied to be in ``target`` units."""
    if source is None or target is None or tuple(source) == tuple(target):
        return np.ones(len(target if target is not None else source))
    pairs = zip(source, target, strict=True)
    return np.array(
        [1.0 if one == other else _unit_factor(one, other) for one, other in pairs], dtype=float
    )


def _unit_factor(source: Any, target: Any) -> float:
    if source.dimensionality != target.dimensionality:
        # napari draws such layers as if their numbers were in the same unit.
        return 1.0
    return float((1.0 * source).to(target).magnitude)


def _mixes(to_world: AffineMap, displayed: tuple[int, ...], hidden: tuple[int, ...]) -> bool:
    """Tell whether a transform carries displayed axes into hidden ones, or back."""
    matrix = np.abs(to_world.matrix)
    # Axes may be in different units and sizes: each is measured by its own length.
    matrix = matrix / np.maximum(np.linalg.norm(matrix, axis=0), np.finfo(float).tiny)
    mixed = max(
        matrix[np.ix_(displayed, hidden)].max(initial=0.0),
        matrix[np.ix_(hidden, displayed)].max(initial=0.0),
    )
    return bool(mixed > _MIXING_TOLERANCE)
