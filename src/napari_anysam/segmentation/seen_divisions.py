"""Divisions in masks that are kept in windows, looked for around each object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.segmentation.divisions import daughter_ids, find_divisions
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.windows import tight_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_anysam.segmentation.divisions import DivisionProposal
    from napari_anysam.segmentation.windows import Window

__all__ = ["Sections", "SeenDivision", "divisions_in", "divisions_in_volumes"]

Sections = dict[int, "Window"]
"""A volume's mask: plane to its window there."""


@dataclass(frozen=True, slots=True, eq=False)
class SeenDivision:
    """An object that seems to have divided.

    Parameters
    ----------
    proposal : DivisionProposal
        Its masks are those of a part of the volume, (Z, Y, X).
    origin : (plane, row, column)
        First voxel of that part; of a series of planes the plane is 0.
    in_volumes : bool
        Whether it was looked for in volumes, so that its daughters have a plane along z.
    """

    proposal: DivisionProposal
    origin: tuple[int, int, int]
    in_volumes: bool

    @property
    def parent(self) -> int:
        """Id of the object."""
        return self.proposal.parent

    @property
    def time(self) -> int:
        """The first time point at which it is in two parts."""
        return self.proposal.time

    @property
    def plane(self) -> int:
        """The plane along z on which most is seen of the smaller daughter."""
        return self.origin[0] + int(self.proposal.daughters[1].sum(axis=(1, 2)).argmax())

    def daughters(self, next_id: int) -> tuple[tuple[Prompt, ...], dict[int, int]]:
        """Give the daughters ids.

        Parameters
        ----------
        next_id : int
            The larger daughter's id; the other one's is the next.

        Returns
        -------
        prompts : tuple of Prompt
            Masks at the time of the division. Of series of planes one per daughter, with the time
            as its plane; of volumes one per plane along z, that with most of the daughter first.
        parents : dict
            Daughter to mother.

        Raises
        ------
        LineageError
            If the new ids do not differ from the mother's.
        """
        prompts: list[Prompt] = []
        ids = daughter_ids(self.parent, next_id)
        for one, body in zip(ids, self.proposal.daughters, strict=True):
            areas = body.sum(axis=(1, 2))
            for section in np.argsort(-areas, kind="stable")[: np.count_nonzero(areas)].tolist():
                window = tight_window(body[section], self.origin[1:])
                plane = self.origin[0] + section if self.in_volumes else self.time
                if window is not None:
                    prompts.append(Prompt(one, plane, mask=window.mask, mask_origin=window.origin))
        return tuple(prompts), dict.fromkeys(ids, self.parent)


def divisions_in(
    tracks: Mapping[int, Mapping[int, Window]],
    *,
    share: float = 0.25,
    apart: float = 2.0,
    persist: int = 3,
    cancelled: Callable[[], bool] | None = None,
) -> list[SeenDivision]:
    """Look for divisions of objects whose masks on planes are known.

    Parameters
    ----------
    tracks : mapping of int to mapping of int to Window
        Object id to time point to mask.
    share, apart, persist
        See ``divisions.DivisionFinder``.
    cancelled : callable, optional
        Asked between objects; when it answers True, what was found so far is returned.

    Returns
    -------
    list of SeenDivision
        By time, then by id.

    Raises
    ------
    LineageError
        If an option is out of its range.
    """
    deep = {
        parent: {time: {0: window} for time, window in windows.items()}
        for parent, windows in tracks.items()
    }
    return _found(deep, share, apart, persist, cancelled, in_volumes=False)


def divisions_in_volumes(
    tracks: Mapping[int, Mapping[int, Sections]],
    *,
    share: float = 0.25,
    apart: float = 2.0,
    persist: int = 3,
    cancelled: Callable[[], bool] | None = None,
) -> list[SeenDivision]:
    """Look for divisions of objects whose masks in volumes are known.

    Parts are those of the volume, and ``share`` is of its voxels: what is one piece on some plane
    is one cell, and what is two on one plane may be.

    Parameters
    ----------
    tracks : mapping of int to mapping of int to mapping of int to Window
        Object id to time point to plane to mask.
    share, apart, persist, cancelled
        As for ``divisions_in``.

    Returns
    -------
    list of SeenDivision
        By time, then by id.

    Raises
    ------
    LineageError
        If an option is out of its range.
    """
    return _found(tracks, share, apart, persist, cancelled, in_volumes=True)


def _found(
    tracks: Mapping[int, Mapping[int, Sections]],
    share: float,
    apart: float,
    persist: int,
    cancelled: Callable[[], bool] | None,
    *,
    in_volumes: bool,
) -> list[SeenDivision]:
    found = []
    for parent, volumes in tracks.items():
        if cancelled is not None and cancelled():
            break
        if any(volumes.values()):
            origin, shape = _around(volumes)
            series = _series(parent, volumes, origin, shape)
            proposals = find_divisions(series, share=share, apart=apart, persist=persist)
            found += [SeenDivision(one, origin, in_volumes) for one in proposals]
    return sorted(found, key=lambda one: (one.time, one.parent))


def _series(
    parent: int,
    volumes: Mapping[int, Sections],
    origin: tuple[int, int, int],
    shape: tuple[int, int, int],
) -> Iterator[tuple[int, dict[int, NDArray[np.bool_]]]]:
    for time in sorted(volumes):
        mask = np.zeros(shape, bool)
        for plane, window in volumes[time].items():
            row, column = window.origin[0] - origin[1], window.origin[1] - origin[2]
            here = mask[plane - origin[0], row:, column:]
            here[: window.shape[0], : window.shape[1]] = window.mask
        yield time, {parent: mask}


def _around(
    volumes: Mapping[int, Sections],
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return origin and shape of the smallest box around all masks."""
    known = [item for sections in volumes.values() for item in sections.items()]
    starts = np.array([(plane, *window.origin) for plane, window in known])
    ends = starts + [(1, *window.shape) for _, window in known]
    first = starts.min(axis=0)
    plane, row, column = first.tolist()
    depth, height, width = (ends.max(axis=0) - first).tolist()
    return (plane, row, column), (depth, height, width)
