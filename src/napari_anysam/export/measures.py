"""What radiologists measure: volume in mL, diameters in mm, mean intensity.

The longest diameter is the one of RECIST 1.1: the longest straight line within one axial plane from
edge to edge, on the plane where it is longest; the perpendicular one is the longest that crosses
the object at a right angle to it on the same plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import OptionsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Diameters", "Measures", "measure_object", "plane_diameters"]

_MICROLITRES_PER_ML = 1000.0


@dataclass(frozen=True, slots=True, order=True)
class Diameters:
    """Longest diameter of a plane and the longest one at a right angle to it, in one unit."""

    longest: float = 0.0
    perpendicular: float = 0.0


@dataclass(frozen=True, slots=True)
class Measures:
    """What is measured of an object.

    Parameters
    ----------
    voxels : int
        How many it has.
    volume_ml : float or None
        Of objects in volumes.
    longest_diameter_mm, perpendicular_diameter_mm : float
        See the module.
    plane : int
        Where the longest diameter lies, along the first axis; 0 in 2D.
    mean_intensity : float or None
        In the image's values (HU in CT); None without an image.
    """

    voxels: int
    volume_ml: float | None
    longest_diameter_mm: float
    perpendicular_diameter_mm: float
    plane: int
    mean_intensity: float | None


def measure_object(
    labels: NDArray[Any],
    object_id: int,
    spacing: Sequence[float],
    image: NDArray[Any] | None = None,
) -> Measures:
    """Measure one object.

    Parameters
    ----------
    labels : integer or bool array (H, W) or (N, H, W)
        Planes are axial: along the first axis.
    object_id : int
        Which object.
    spacing : sequence of float
        Size of a voxel along every axis of ``labels`` in mm.
    image : array, optional
        In the shape of ``labels``.

    Raises
    ------
    OptionsError
        If there is no such object, or shapes and spacing do not fit.
    """
    shape = labels.shape
    if len(spacing) != len(shape) or len(shape) not in (2, 3) or min(spacing) <= 0:
        raise OptionsError(
            f"The spacing {tuple(spacing)} does not fit labels of shape {shape}; give mm for each "
            "axis of a plane or volume."
        )
    if image is not None and image.shape != shape:
        raise OptionsError(
            f"The image of shape {image.shape} does not fit labels of shape {shape}; give the one "
            "that was segmented."
        )
    mask = np.asarray(labels == object_id)
    voxels = int(np.count_nonzero(mask))
    if not voxels:
        raise OptionsError(f"The labels hold no object {object_id}; choose one that they hold.")
    planes = mask if mask.ndim == 3 else mask[None]
    occupied = np.flatnonzero(planes.any(axis=(1, 2)))
    sizes = (float(spacing[-2]), float(spacing[-1]))
    best, plane = max((plane_diameters(planes[at], sizes), -int(at)) for at in occupied)
    return Measures(
        voxels,
        voxels * prod(spacing) / _MICROLITRES_PER_ML if mask.ndim == 3 else None,
        best.longest,
        best.perpendicular,
        -plane,
        None if image is None else float(np.mean(image[mask], dtype=np.float64)),
    )


def plane_diameters(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> Diameters:
    """Measure one plane of an object, from edge to edge of its pixels.

    Parameters
    ----------
    mask : bool array (H, W)
        The object, or its bounding box; at least one pixel.
    spacing : (float, float)
        Size of a pixel along rows and columns.

    Notes
    -----
    A pixel's edge is the middle of its side, so that one row of n pixels is n pixels long; parts
    and holes count as what lies between them. Widths are those of strips one pixel wide.
    """
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import pdist, squareform

    edges = _edges(mask) * spacing
    corners = edges[ConvexHull(edges).vertices]
    distances = squareform(pdist(corners))
    first, last = np.unravel_index(np.argmax(distances), distances.shape)
    longest = float(distances[first, last])
    along = (corners[last] - corners[first]) / longest
    across = np.array([-along[1], along[0]])
    strips = np.floor((edges - corners[first]) @ along / min(spacing)).astype(int)
    strips -= strips.min()
    places = edges @ across
    low, high = np.full(strips.max() + 1, np.inf), np.full(strips.max() + 1, -np.inf)
    np.minimum.at(low, strips, places)
    np.maximum.at(high, strips, places)
    return Diameters(longest, float((high - low).max()))


def _edges(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the middles of the sides of the first and last pixels of every row and column."""
    points = []
    for axis in (0, 1):
        lines = np.flatnonzero(mask.any(axis=1 - axis))
        inside = mask[lines] if axis == 0 else mask[:, lines].T
        first = np.argmax(inside, axis=1)
        last = inside.shape[1] - 1 - np.argmax(inside[:, ::-1], axis=1)
        for place in (first - 0.5, last + 0.5):
            pair = (lines, place) if axis == 0 else (place, lines)
            points.append(np.stack(pair, axis=1).astype(float))
    return np.concatenate(points)
