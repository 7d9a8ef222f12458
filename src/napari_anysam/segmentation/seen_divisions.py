"""Divisions in masks that are kept in windows, looked for around each object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.segmentation.divisions import find_divisions, split_at_division

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_anysam.segmentation.divisions import DivisionProposal
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.windows import Window

__all__ = ["SeenDivision", "divisions_in"]


@dataclass(frozen=True, slots=True, eq=False)
class SeenDivision:
    """An object that seems to have divided.

    Parameters
    ----------
    proposal : DivisionProposal
        Its masks are those of a part of the plane.
    origin : (row, column)
        Upper left pixel of that part in the plane.
    """

    proposal: DivisionProposal
    origin: tuple[int, int]

    @property
    def parent(self) -> int:
        """Id of the object."""
        return self.proposal.parent

    @property
    def time(self) -> int:
        """The first time point at which it is in two parts."""
        return self.proposal.time

    def daughters(self, next_id: int) -> tuple[tuple[Prompt, Prompt], dict[int, int]]:
        """Give the daughters ids; see ``split_at_division``."""
        prompts, parents = split_at_division(self.proposal, next_id)
        first, second = (replace(one, mask_origin=self.origin) for one in prompts)
        return (first, second), parents


def divisions_in(
    tracks: Mapping[int, Mapping[int, Window]],
    *,
    share: float = 0.25,
    apart: float = 2.0,
    persist: int = 3,
    cancelled: Callable[[], bool] | None = None,
) -> list[SeenDivision]:
    """Look for divisions of objects whose masks are known.

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
    found = []
    for parent, windows in tracks.items():
        if cancelled is not None and cancelled():
            break
        if windows:
            origin, shape = _around(windows.values())
            series = _series(parent, windows, origin, shape)
            proposals = find_divisions(series, share=share, apart=apart, persist=persist)
            found += [SeenDivision(one, origin) for one in proposals]
    return sorted(found, key=lambda one: (one.time, one.parent))


def _series(
    parent: int, windows: Mapping[int, Window], origin: tuple[int, int], shape: tuple[int, int]
) -> Iterator[tuple[int, dict[int, NDArray[np.bool_]]]]:
    for time in sorted(windows):
        window = windows[time]
        row, column = window.origin[0] - origin[0], window.origin[1] - origin[1]
        mask = np.zeros(shape, bool)
        mask[row : row + window.shape[0], column : column + window.shape[1]] = window.mask
        yield time, {parent: mask}


def _around(windows: Collection[Window]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return origin and shape of the smallest window around others."""
    starts = np.array([window.origin for window in windows])
    ends = starts + [window.shape for window in windows]
    first, last = starts.min(axis=0), ends.max(axis=0)
    height, width = last - first
    return (int(first[0]), int(first[1])), (int(height), int(width))
