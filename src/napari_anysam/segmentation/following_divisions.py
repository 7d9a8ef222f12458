"""Propagation in which objects divide: each daughter is followed on with a prompt of its own.

A generation is one run of a ``Tracker``. Its masks are looked at as they pass; the daughters that
turned up are the objects of the next run, each from the time point of its division on.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.segmentation.divisions import DivisionFinder
from napari_anysam.segmentation.seen_divisions import divisions_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.seen_divisions import SeenDivision
    from napari_anysam.segmentation.tracking import Direction, Tracker
    from napari_anysam.segmentation.tracking_results import PropagationResult
    from napari_anysam.segmentation.windows import Window

__all__ = ["DividingResult", "follow_divisions"]


@dataclass(frozen=True, slots=True, eq=False)
class DividingResult:
    """What one generation adds to one time point.

    Parameters
    ----------
    result : PropagationResult
        Of this generation's objects; it replaces an earlier one of the same generation.
    generation : int
        0 for the prompted objects, 1 for their daughters ...
    ended : frozenset of int
        Mothers, of earlier generations, that are no longer there.
    parents : dict
        Daughter to mother, of this generation and all before.
    """

    result: PropagationResult
    generation: int
    ended: frozenset[int]
    parents: dict[int, int]

    def drawn_over(
        self, labels: NDArray[np.int32], rows: slice | None = None, columns: slice | None = None
    ) -> NDArray[np.int32]:
        """Return the labels of this time point brought up to date, or a part of them.

        Parameters
        ----------
        labels : int array (H, W) or (h, w)
            As they were before; not changed. Daughters take what was their mother's or background.
        rows, columns : slice, optional
            With start and stop: which part of the plane the labels are.
        """
        height, width = self.result.plane_shape
        result = self.result.labels_in(rows or slice(0, height), columns or slice(0, width))
        if not self.generation:
            return result
        drawn = np.where(np.isin(labels, list(self.ended)), 0, labels)
        own = np.isin(drawn, self.result.object_ids)  # what this generation said before
        drawn[own] = 0
        free = drawn == 0
        drawn[free] = result[free]
        return drawn


def follow_divisions(
    tracker: Tracker,
    prompts: Iterable[Prompt],
    *,
    direction: Direction = "both",
    start: int | None = None,
    stop: int | None = None,
    share: float = 0.25,
    apart: float = 2.0,
    persist: int = 3,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[DividingResult]:
    """Follow objects through time and their daughters after them; checks at once.

    Parameters
    ----------
    tracker : Tracker
        Of a time series.
    prompts : iterable of Prompt
        Each names its time point as ``plane``. Daughters get the ids above the highest of these.
    direction, start, stop, cancelled
        As in ``Tracker.run``. Divisions are looked for forward in time.
    share, apart, persist
        See ``divisions.DivisionFinder``. Of an object that is prompted again later on, divisions
        count after its last prompt only.

    Returns
    -------
    iterator of DividingResult
        Generation by generation. Memory holds the masks of one, each packed in its bounding box.

    Raises
    ------
    PromptError
        As ``Tracker.run`` does.
    LineageError
        If ``share``, ``apart`` or ``persist`` is out of its range.
    """
    told = list(prompts)
    run = tracker.run(told, direction=direction, start=start, stop=stop, cancelled=cancelled)

    def look(seen: Mapping[int, Mapping[int, Window]]) -> list[SeenDivision]:
        return divisions_in(seen, share=share, apart=apart, persist=persist)

    def follow(daughters: list[Prompt]) -> Iterator[PropagationResult]:
        return tracker.run(
            daughters, direction="forward", start=start, stop=stop, cancelled=cancelled
        )

    DivisionFinder(share=share, apart=apart, persist=persist)  # checks its options now
    return _generations(told, run, look, follow, cancelled or _never)


def _generations(
    told: list[Prompt],
    run: Iterator[PropagationResult],
    look: Callable[[Mapping[int, Mapping[int, Window]]], list[SeenDivision]],
    follow: Callable[[list[Prompt]], Iterator[PropagationResult]],
    cancelled: Callable[[], bool],
) -> Iterator[DividingResult]:
    parents: dict[int, int] = {}
    ends: dict[int, int] = {}
    next_id = 1 + max(prompt.object_id for prompt in told)
    for generation in count():
        seen: dict[int, dict[int, Window]] = {}
        latest = -1
        for result in run:
            ended = frozenset(one for one, time in ends.items() if time <= result.index)
            yield DividingResult(result, generation, ended, dict(parents))
            if result.index > latest:  # the backward pass is not looked at
                latest = result.index
                for object_id, window in zip(result.object_ids, result.windows, strict=True):
                    if window is not None:
                        seen.setdefault(object_id, {})[latest] = window
        proposals = [one for one in look(seen) if one.time > _last_prompt(told, one.parent)]
        if not proposals or cancelled():
            return
        told = []
        for proposal in proposals:
            daughters, links = proposal.daughters(next_id)
            told += daughters
            parents |= links
            ends[proposal.parent] = proposal.time
            next_id += 2
        run = follow(told)


def _last_prompt(prompts: Iterable[Prompt], object_id: int) -> int:
    return max(prompt.plane or 0 for prompt in prompts if prompt.object_id == object_id)


def _never() -> bool:
    return False
