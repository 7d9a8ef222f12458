"""Divisions: an object that falls into two parts, and stays so, may be a mother and two daughters.

A network that follows an object goes on painting both halves of it as one. The masks alone tell:
what was one piece becomes two of some size, which both lie where the object was, and stay two for
several time points. That is a proposal; whether to take it is the caller's decision
(``following_divisions.py`` takes all).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_anysam.errors import LineageError
from napari_anysam.segmentation.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

__all__ = [
    "DivisionFinder",
    "DivisionProposal",
    "daughter_ids",
    "find_divisions",
    "split_at_division",
]


@dataclass(frozen=True, slots=True, eq=False)
class DivisionProposal:
    """An object that seems to have divided.

    Parameters
    ----------
    parent : int
        Its id.
    time : int
        The first time point at which it is in two parts.
    daughters : two bool arrays (H, W) or (Z, Y, X)
        The parts at that time, the larger one first.
    """

    parent: int
    time: int
    daughters: tuple[Mask, Mask]


class DivisionFinder:
    """Looks at the masks of objects as they come, time point after time point.

    Parameters
    ----------
    share : float
        The smaller part has at least so much of the object's area or volume.
    apart : float
        Least distance of the nearest pixels of the two parts, in pixels or the unit of ``spacing``.
        What touches, at a corner too, is one part: below two pixels all distances are the same.
    persist : int
        Time points for which there are two parts, the first one included.
    spacing : sequence of float, optional
        Distance from one pixel to the next along every axis of the masks; 1 if left out.

    Raises
    ------
    LineageError
        If one of them is out of its range.
    """

    def __init__(
        self,
        *,
        share: float = 0.25,
        apart: float = 2.0,
        persist: int = 3,
        spacing: Sequence[float] | None = None,
    ) -> None:
        if not 0 < share <= 0.5 or apart < 0 or persist < 1:
            raise LineageError(
                f"Divisions with share {share}, apart {apart}, persist {persist} cannot be looked "
                "for; give 0 < share <= 0.5, apart >= 0 and persist >= 1."
            )
        self._share, self._apart, self._persist = share, apart, persist
        self._spacing = None if spacing is None else tuple(spacing)
        self._time: int | None = None
        self._before: dict[int, Mask] = {}
        self._whole: set[int] = set()
        self._divided: set[int] = set()
        self._waiting: dict[int, tuple[int, DivisionProposal]] = {}

    def look(self, time: int, masks: Mapping[int, Mask]) -> list[DivisionProposal]:
        """Take the masks of one time point; return the divisions that are certain by now.

        Parameters
        ----------
        time : int
            Later than the last one. Where a time point is left out, what was waiting is forgotten.
        masks : mapping of int to bool array
            By object id, all of one shape.

        Raises
        ------
        LineageError
            If the time is not later than the last one.
        """
        if self._time is not None and time <= self._time:
            raise LineageError(
                f"Time point {time} comes after {self._time}; give time points in their order."
            )
        if self._time is not None and time > self._time + 1:
            self._before, self._waiting = {}, {}
        self._time = time
        found = [
            proposal
            for object_id, mask in masks.items()
            if (proposal := self._look_at(time, object_id, mask)) is not None
        ]
        self._before = dict(masks)
        self._waiting = {one: kept for one, kept in self._waiting.items() if one in masks}
        return found

    def _look_at(self, time: int, object_id: int, mask: Mask) -> DivisionProposal | None:
        parts = _two_parts(mask, self._share, self._apart, self._spacing)
        if parts is None:
            self._waiting.pop(object_id, None)
            if mask.any():
                self._whole.add(object_id)
            return None
        was_whole = object_id in self._whole
        self._whole.discard(object_id)
        count, proposal = self._waiting.get(object_id, (0, None))
        if proposal is None:
            before = self._before.get(object_id)
            # In two parts from its start, or with a part where it was not: no division.
            if not was_whole or before is None or not _grew_out_of(parts, before):
                return None
            proposal = DivisionProposal(object_id, time, parts)
        self._waiting[object_id] = (count + 1, proposal)
        if count + 1 != self._persist or object_id in self._divided:
            return None
        self._divided.add(object_id)
        return proposal


def find_divisions(
    series: Iterable[tuple[int, Mapping[int, Mask]]],
    *,
    share: float = 0.25,
    apart: float = 2.0,
    persist: int = 3,
    spacing: Sequence[float] | None = None,
) -> Iterator[DivisionProposal]:
    """Look for divisions in a series of masks.

    Parameters
    ----------
    series : iterable of (time, masks)
        In the order of time; ``masks`` by object id, bool arrays (H, W) or (Z, Y, X).
    share, apart, persist, spacing
        See ``DivisionFinder``.

    Yields
    ------
    DivisionProposal
        As soon as it has persisted. An object divides once; its daughters are objects of their own
        after ``split_at_division``.

    Raises
    ------
    LineageError
        If the times do not ascend or an option is out of its range.
    """
    finder = DivisionFinder(share=share, apart=apart, persist=persist, spacing=spacing)
    for time, masks in series:
        yield from finder.look(time, masks)


def split_at_division(
    proposal: DivisionProposal, next_id: int
) -> tuple[tuple[Prompt, Prompt], dict[int, int]]:
    """Give daughters ids of their own.

    Parameters
    ----------
    proposal : DivisionProposal
        Of a time series of planes.
    next_id : int
        The larger daughter's id; the other one's is the next.

    Returns
    -------
    prompts : two Prompt
        With them each daughter is followed from ``proposal.time`` on, where its mother ends.
    parents : dict
        Daughter to mother, to be added to the lineage.

    Raises
    ------
    LineageError
        If the new ids do not differ from the mother's.
    PromptError
        If the daughters are no planes' masks.
    """
    ids = daughter_ids(proposal.parent, next_id)
    first, second = (
        Prompt(one, proposal.time, mask=mask)
        for one, mask in zip(ids, proposal.daughters, strict=True)
    )
    return (first, second), dict.fromkeys(ids, proposal.parent)


def daughter_ids(parent: int, next_id: int) -> tuple[int, int]:
    """Return the ids of daughters, the larger one's first.

    Raises
    ------
    LineageError
        If they do not differ from the mother's.
    """
    ids = (next_id, next_id + 1)
    if parent in ids:
        raise LineageError(f"Id {parent} is the mother's; give ids that are not in use.")
    return ids


def _two_parts(
    mask: Mask, share: float, apart: float, spacing: tuple[float, ...] | None
) -> tuple[Mask, Mask] | None:
    """Return the two largest parts, the larger one first, if both are of size and apart."""
    windows = ndimage.find_objects(mask.astype(np.uint8))
    if not windows:
        return None
    window = windows[0]
    inside = mask[window]
    numbers, count = ndimage.label(inside, np.ones((3,) * mask.ndim, bool))
    if count < 2:
        return None
    areas = np.bincount(numbers.ravel())[1:]
    first, second = np.argsort(areas, kind="stable")[::-1][:2] + 1
    if areas[second - 1] < share * np.count_nonzero(inside):
        return None
    one, two = numbers == first, numbers == second
    if apart > 2 * min(spacing or (1.0,)):
        away = ndimage.distance_transform_edt(~one, sampling=spacing)
        if away[two].min() < apart:
            return None
    return _placed(one, window, mask.shape), _placed(two, window, mask.shape)


def _placed(part: Mask, window: tuple[slice, ...], shape: tuple[int, ...]) -> Mask:
    whole = np.zeros(shape, bool)
    whole[window] = part
    return whole


def _grew_out_of(parts: tuple[Mask, Mask], before: Mask) -> bool:
    """Tell whether both parts lie, if only with an edge, where the object was."""
    return all(bool((part & before).any()) for part in parts)
