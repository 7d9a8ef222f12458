"""Tracks: where each object is at each time point, and who descends from whom.

The arrays are those of a napari Tracks layer; as a file they are a CSV table.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import LabelFileError
from napari_anysam.export.label_image import LabelImage
from napari_anysam.segmentation.lineage import check_lineage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike

    from numpy.typing import NDArray

    from napari_anysam.export.job import ExportJob

__all__ = ["Tracks", "check_series", "present_links", "read_tracks", "tracks_from_labels", "write"]

_HEADERS = [["id", *place, "pixels", "parent"] for place in ("tyx", "tzyx")]


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """What ``napari.layers.Tracks(data, graph=graph, properties=properties)`` takes.

    Parameters
    ----------
    data : float array (N, 4) or (N, 5)
        Columns id, t, (z,) y, x; the centre of an object at a time point, in pixels of the labels,
        the centre of the first pixel at 0. Sorted by id, then by time.
    graph : dict
        Daughter to a list that holds her mother.
    properties : dict
        "pixels" and "parent" (0 where there is none), int arrays (N,).
    """

    data: NDArray[np.float64]
    graph: dict[int, list[int]]
    properties: dict[str, NDArray[np.int64]] = field(default_factory=dict)


def tracks_from_labels(
    labels: Any, axes: str | None = None, parents: Mapping[int, int] | None = None
) -> Tracks:
    """Measure the tracks of labels whose ids stay the same through time.

    Parameters
    ----------
    labels : integer array (T, Y, X) or (T, Z, Y, X)
        0 is background; dask and zarr are read plane by plane.
    axes : str
        "TYX" or "TZYX" in the order of the labels; by default the one that fits.
    parents : mapping, optional
        Daughter to mother; links of objects that have no pixel are left out.

    Raises
    ------
    LabelFileError
        If the labels are no time series.
    LineageError
        If somebody descends from itself.
    """
    axes = axes or ("TYX" if np.ndim(labels) == 3 else None)
    return _measured(LabelImage(labels, axes), check_lineage(parents or {}))


def write(job: ExportJob, path: Path) -> None:
    """Write a row per object and time point: id, t, (z,) y, x, pixels, parent."""
    tracks = _measured(job.labels, job.parents)
    names = ["id", *job.labels.axes.lower()]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "pixels", "parent"])
        for row, pixels, parent in zip(
            tracks.data, tracks.properties["pixels"], tracks.properties["parent"], strict=True
        ):
            place = [int(row[0]), int(row[1]), *(f"{value:.6g}" for value in row[2:])]
            writer.writerow([*place, int(pixels), int(parent)])


def read_tracks(path: str | PathLike[str]) -> Tracks:
    """Read the file that the format "tracks" writes.

    Raises
    ------
    LabelFileError
        If it is missing or of another kind.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = list(csv.reader(file))
        _HEADERS.index(header)
        values = np.array(rows, float).reshape(len(rows), len(header))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise LabelFileError(
            f"{path} could not be read as tracks ({error}); give a file of the format tracks."
        ) from error
    return _tracks(values[:, :-2], values[:, -2], values[:, -1])


def check_series(labels: LabelImage) -> None:
    """Raise LabelFileError if labels are no time series of planes or volumes."""
    if labels.axes not in ("TYX", "TZYX"):
        raise LabelFileError(
            f"Labels with the axes {labels.axes} are no time series of planes or volumes; name "
            'their axes "TYX" or "TZYX" (axes, --axes), and give one channel.'
        )


def present_links(parents: Mapping[int, int], present: set[int]) -> dict[int, int]:
    """Return the links of a lineage between objects that have pixels."""
    return {child: parent for child, parent in parents.items() if {child, parent} <= present}


def _measured(labels: LabelImage, parents: Mapping[int, int]) -> Tracks:
    check_series(labels)
    sums: dict[tuple[int, int], NDArray[np.float64]] = {}
    for time, one, found in _planes(labels):
        key = (one, time)
        sums[key] = sums[key] + found if key in sums else found
    keys = sorted(sums)
    values = np.array([sums[key] for key in keys]).reshape(len(keys), 4)
    pixels = values[:, 0]
    centres = values[:, 1:] / pixels[:, None]
    places = centres if labels.axes == "TZYX" else centres[:, 1:]
    links = present_links(parents, {one for one, _ in keys})
    mothers = np.array([links.get(one, 0) for one, _ in keys], float)
    times = np.array(keys, float).reshape(len(keys), 2)
    return _tracks(np.hstack([times, places]), pixels, mothers)


def _planes(labels: LabelImage) -> Iterator[tuple[int, int, NDArray[np.float64]]]:
    """Yield time, id, and the sums of 1, z, y and x over its pixels on a plane."""
    for plane in labels.planes():
        rows, columns = np.nonzero(plane.labels)
        ids, places = np.unique(plane.labels[rows, columns], return_inverse=True)
        counts = np.bincount(places, minlength=len(ids))
        y = np.bincount(places, rows, len(ids))
        x = np.bincount(places, columns, len(ids))
        depth = plane.index[-1] if len(plane.index) > 1 else 0
        for row, one in enumerate(ids):
            yield (
                plane.index[0],
                int(one),
                np.array([counts[row], depth * counts[row], y[row], x[row]], float),
            )


def _tracks(
    data: NDArray[np.float64], pixels: NDArray[np.float64], mothers: NDArray[np.float64]
) -> Tracks:
    graph = {
        int(child): [int(parent)]
        for child, parent in zip(data[:, 0], mothers, strict=True)
        if parent
    }
    properties = {"pixels": pixels.astype(np.int64), "parent": mothers.astype(np.int64)}
    return Tracks(data, graph, properties)
