"""Time series in the format of the Cell Tracking Challenge: res_track.txt and maskTTT.tif.

The rules ("Naming and file content conventions" of the challenge, celltrackingchallenge.net): one
16-bit TIFF per time point, of one page per plane; one line "L B E P" per track in res_track.txt:
its label, its first and last time point and its parent or 0; a track is there at every time point
from B to E; a parent ends before its child begins.

Objects that keep their id through a gap, or beside a daughter, are therefore cut into several
tracks, each the child of the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.errors import LabelFileError
from napari_anysam.export.tracks import check_series, present_links

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_anysam.export.job import ExportJob
    from napari_anysam.export.label_image import LabelImage

__all__ = ["CtcTrack", "ctc_tracks", "write"]

_MOST = 2**16 - 1


@dataclass(frozen=True, slots=True)
class CtcTrack:
    """A line of res_track.txt, and which object it is.

    Parameters
    ----------
    label : int
        1 to 65535.
    begin, end : int
        First and last time point.
    parent : int
        Label of a track that ends before this one begins, or 0.
    object_id : int
        Whose pixels have this label from ``begin`` to ``end``.
    """

    label: int
    begin: int
    end: int
    parent: int
    object_id: int


def ctc_tracks(times: Mapping[int, Sequence[int]], parents: Mapping[int, int]) -> list[CtcTrack]:
    """Cut objects into tracks that obey the rules.

    Parameters
    ----------
    times : mapping
        Object id to the time points at which it is there, ascending, at least one.
    parents : mapping
        Daughter to mother; both are in ``times``.

    Returns
    -------
    list of CtcTrack
        By ascending label. The first track of an object keeps its id; if an id is above 65535, all
        tracks are numbered from 1.

    Raises
    ------
    LabelFileError
        If a daughter is there before its mother, or there are more than 65535 tracks.
    """
    births: dict[int, list[int]] = {}
    for child, parent in parents.items():
        if times[child][0] <= times[parent][0]:
            raise LabelFileError(
                f"Object {child} descends from {parent} but is there from time point "
                f"{times[child][0]} on, and its parent from {times[parent][0]}; correct the "
                "lineage or the labels."
            )
        births.setdefault(parent, []).append(times[child][0])
    pieces = {one: _pieces(times[one], births.get(one, ())) for one in sorted(times)}
    labels = _labels(pieces)
    tracks = []
    for one, own in pieces.items():
        parent = 0
        if one in parents:
            mother = parents[one]
            place = max(place for place, piece in enumerate(pieces[mother]) if piece[1] < own[0][0])
            parent = labels[mother][place]
        for label, (begin, end) in zip(labels[one], own, strict=True):
            tracks.append(CtcTrack(label, begin, end, parent, one))
            parent = label
    return sorted(tracks, key=lambda track: track.label)


def write(job: ExportJob, path: Path) -> None:
    """Write the folder; ids are kept where the rules let them be."""
    import tifffile

    labels = job.labels
    check_series(labels)
    times = _times(labels)
    tracks = ctc_tracks(times, present_links(job.parents, set(times)))
    path.mkdir()
    lines = [f"{one.label} {one.begin} {one.end} {one.parent}\n" for one in tracks]
    (path / "res_track.txt").write_text("".join(lines), encoding="ascii", newline="\n")
    count = labels.shape[0]
    depth = labels.plane_count // count
    digits = max(3, len(str(count - 1)))
    planes = labels.planes()
    for time in range(count):
        new = _relabelling(tracks, time)
        tifffile.imwrite(
            path / f"mask{time:0{digits}d}.tif",
            (new(plane.labels) for plane in islice(planes, depth)),
            shape=labels.shape[1:],
            dtype=np.uint16,
            photometric="minisblack",
            compression="zlib",
            metadata=None,
        )


def _times(labels: LabelImage) -> dict[int, list[int]]:
    """Return the time points of every object, ascending."""
    found: dict[int, list[int]] = {}
    for plane in labels.planes():
        time = plane.index[0]
        for one in np.unique(plane.labels).tolist():
            times = found.setdefault(int(one), [])
            if not times or times[-1] != time:
                times.append(time)
    found.pop(0, None)
    return found


def _pieces(times: Sequence[int], births: Sequence[int]) -> list[tuple[int, int]]:
    """Cut where a time point is missing and where a daughter begins."""
    pieces = [(times[0], times[0])]
    for time in times[1:]:
        begin, end = pieces[-1]
        if time == end + 1 and time not in births:
            pieces[-1] = (begin, time)
        else:
            pieces.append((time, time))
    return pieces


def _labels(pieces: Mapping[int, Sequence[object]]) -> dict[int, list[int]]:
    """Give every piece of every object its label."""
    total = sum(len(own) for own in pieces.values())
    if total > _MOST:
        raise LabelFileError(
            f"There are {total} tracks, and CTC numbers at most {_MOST}; export fewer objects."
        )
    highest = max(pieces, default=0)
    keep = highest + total - len(pieces) <= _MOST
    labels: dict[int, list[int]] = {}
    next_label = highest + 1 if keep else 1
    for one, own in pieces.items():
        new = len(own) - keep
        labels[one] = [one] * keep + list(range(next_label, next_label + new))
        next_label += new
    return labels


def _relabelling(
    tracks: Sequence[CtcTrack], time: int
) -> Callable[[NDArray[np.integer]], NDArray[np.uint16]]:
    """Return what turns ids into labels at one time point."""
    here = sorted(
        (track.object_id, track.label) for track in tracks if track.begin <= time <= track.end
    )
    ids = np.array([0, *(one for one, _ in here)])
    labels = np.array([0, *(label for _, label in here)], np.uint16)
    return lambda plane: labels[np.searchsorted(ids, plane.astype(np.int64))]
