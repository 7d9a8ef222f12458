"""A table of objects: size, place, box, intensities, as CSV; measured by scikit-image.

Planes are measured one after another and added up, so that a stack never has to fit into memory.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.export.measures import Diameters, plane_diameters
from napari_anysam.export.objects import numbered
from napari_anysam.images.geometry import millimetres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_anysam.export.job import ExportJob
    from napari_anysam.export.label_image import LabelImage, LabelPlane

__all__ = ["write"]

_SHAPE = ("label", "area", "centroid", "bbox")
_INTENSITY = ("intensity_mean", "intensity_min", "intensity_max")


@dataclass(slots=True)
class _Sum:
    """One object over the planes that have been measured."""

    pixels: int
    centre: NDArray[np.float64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    planes: list[int]
    total: NDArray[np.float64]
    darkest: NDArray[np.float64]
    brightest: NDArray[np.float64]
    diameters: Diameters

    def add(self, other: _Sum) -> None:
        self.pixels += other.pixels
        self.centre += other.centre
        self.low = np.minimum(self.low, other.low)
        self.high = np.maximum(self.high, other.high)
        self.planes += other.planes
        self.total += other.total
        self.darkest = np.minimum(self.darkest, other.darkest)
        self.brightest = np.maximum(self.brightest, other.brightest)
        self.diameters = max(self.diameters, other.diameters)


def write(job: ExportJob, path: Path) -> None:
    """Write a row per object, in time series per object and time point.

    Positions are pixels of the labels, the centre of the first one at 0; stops are exclusive.
    ``pixels`` counts them, ``size`` is the area or volume where the scale is known. Where all
    axes of space have units of length there are ``longest_diameter_mm`` and
    ``perpendicular_diameter_mm`` on one plane, and in volumes ``volume_ml``.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = (_row(job, index, one, found) for index, one, found in _measured(job))
        writer = csv.DictWriter(file, _columns(job), restval="")
        writer.writeheader()
        writer.writerows(rows)


def _measured(job: ExportJob) -> Iterator[tuple[tuple[int, ...], int, _Sum]]:
    """Yield time and channel, id and sums, of one volume after another."""
    deep = "Z" in job.labels.axes
    current: tuple[int, ...] | None = None
    sums: dict[int, _Sum] = {}
    for place, plane in enumerate(job.labels.planes()):
        outer = plane.index[:-1] if deep else plane.index
        if current is not None and outer != current:
            yield from ((current, one, sums[one]) for one in sorted(sums))
            sums = {}
        current = outer
        for one, found in _measure(job, place, plane):
            if one in sums:
                sums[one].add(found)
            else:
                sums[one] = found
    if current is not None:
        yield from ((current, one, sums[one]) for one in sorted(sums))


def _measure(job: ExportJob, place: int, plane: LabelPlane) -> Iterator[tuple[int, _Sum]]:
    from scipy import ndimage
    from skimage.measure import regionprops_table

    ids, numbers = numbered(plane.labels)
    image = _intensities(job, place)
    properties = _SHAPE if image is None else _SHAPE + _INTENSITY
    values = regionprops_table(numbers, image, properties)
    channels = 0 if image is None else image.shape[-1]
    depth = plane.index[-1] if "Z" in job.labels.axes else 0
    sizes = _millimetres(job.labels)
    boxes = ndimage.find_objects(numbers) if sizes is not None else ()
    for row, one in enumerate(ids):
        pixels = int(values["area"][row])
        mean, darkest, brightest = (
            np.array([values[f"{name}-{channel}"][row] for channel in range(channels)], float)
            for name in _INTENSITY
        )
        y, x = values["centroid-0"][row], values["centroid-1"][row]
        box = [int(values[f"bbox-{side}"][row]) for side in range(4)]
        yield (
            int(one),
            _Sum(
                pixels,
                np.array([depth, y, x]) * pixels,
                np.array(box[:2]),
                np.array(box[2:]),
                [depth],
                mean * pixels,
                darkest,
                brightest,
                Diameters()
                if sizes is None
                else plane_diameters(numbers[boxes[row]] == row + 1, (sizes[-2], sizes[-1])),
            ),
        )


def _intensities(job: ExportJob, place: int) -> NDArray[Any] | None:
    """Read a plane of the image as (H, W, C)."""
    if job.image is None:
        return None
    plane = job.image.read(place)
    plane = plane if plane.ndim == 3 else plane[..., None]
    # Sums of few bits would overflow, and scikit-image measures no booleans.
    return plane.astype(np.float64)


def _columns(job: ExportJob) -> list[str]:
    labels = job.labels
    names = ["id", "name"]
    names += ["score"] * bool(job.objects.scores) + ["model"] * bool(job.objects.models)
    names += [axis.lower() for axis in labels.axes[:-2] if axis != "Z"]
    deep = "Z" in labels.axes
    names += ["first_plane", "last_plane", "planes"] * deep + ["pixels"]
    names += ["size", "size_unit"] * (labels.scale is not None)
    if _millimetres(labels) is not None:
        names += ["volume_ml"] * deep + ["longest_diameter_mm", "perpendicular_diameter_mm"]
    names += ["centroid_z"] * deep + ["centroid_y", "centroid_x"]
    names += ["y_start", "y_stop", "x_start", "x_stop"]
    return names + [
        f"{name}_{channel}"
        for channel in range(0 if job.image is None else job.image.channels or 1)
        for name in _INTENSITY
    ]


def _row(job: ExportJob, index: tuple[int, ...], one: int, found: _Sum) -> dict[str, Any]:
    labels = job.labels
    outer = (axis.lower() for axis in labels.axes[:-2] if axis != "Z")
    z, y, x = found.centre / found.pixels
    row: dict[str, Any] = {"id": one, "name": job.objects.class_of(one)}
    if job.objects.scores:
        row["score"] = job.objects.scores.get(one, "")
    if job.objects.models:
        row["model"] = job.objects.models.get(one, "")
    row |= dict(zip(outer, index, strict=True))
    if "Z" in labels.axes:
        row |= {"first_plane": found.planes[0], "last_plane": found.planes[-1]}
        row |= {"planes": len(found.planes), "centroid_z": z}
    row |= {"pixels": found.pixels, "centroid_y": y, "centroid_x": x}
    row |= _size(labels, found.pixels) | _in_millimetres(labels, found)
    (row["y_start"], row["x_start"]), (row["y_stop"], row["x_stop"]) = found.low, found.high
    means = found.total / found.pixels
    for channel, values in enumerate(zip(means, found.darkest, found.brightest, strict=True)):
        row |= {f"{name}_{channel}": value for name, value in zip(_INTENSITY, values, strict=True)}
    return row


def _in_millimetres(labels: LabelImage, found: _Sum) -> dict[str, Any]:
    sizes = _millimetres(labels)
    if sizes is None:
        return {}
    volume = {"volume_ml": found.pixels * prod(sizes) / 1000} if len(sizes) == 3 else {}
    return volume | {
        "longest_diameter_mm": found.diameters.longest,
        "perpendicular_diameter_mm": found.diameters.perpendicular,
    }


def _millimetres(labels: LabelImage) -> tuple[float, ...] | None:
    """Return the size of a pixel along the axes of space in mm; None if a unit is not known."""
    if labels.scale is None:
        return None
    sizes = []
    for axis, size, unit in zip(labels.axes, labels.scale, labels.units, strict=True):
        if axis in "ZYX":
            length = None if unit is None else millimetres(unit.name)
            if length is None:
                return None
            sizes.append(size * length)
    return tuple(sizes)


def _size(labels: LabelImage, pixels: int) -> dict[str, Any]:
    """Return area or volume with its unit, "micrometer^3"; mixed units are multiplied out."""
    if labels.scale is None:
        return {}
    space = [place for place, axis in enumerate(labels.axes) if axis in "ZYX"]
    names = [unit.name for place in space if (unit := labels.units[place]) is not None]
    same = len(names) == len(space) and len(set(names)) == 1
    text = f"{names[0]}^{len(space)}" if same else "*".join(names)
    return {"size": pixels * prod(labels.scale[place] for place in space), "size_unit": text}
