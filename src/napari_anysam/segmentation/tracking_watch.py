"""Watches one pass: areas that jump, objects that get lost, objects that collapse onto another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.segmentation.confidence import Assessment
from napari_anysam.segmentation.windows import window_iou

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from napari_anysam.segmentation.confidence import DoubtLimits
    from napari_anysam.segmentation.tracking_results import Answer
    from napari_anysam.segmentation.windows import Window

__all__ = ["Watch"]


class Watch:
    """Assesses the answers of one pass; it holds a few numbers per object.

    Parameters
    ----------
    limits : DoubtLimits
        From where on an answer is doubtful.
    """

    def __init__(self, limits: DoubtLimits) -> None:
        self._limits = limits
        self._areas: dict[int, int] = {}
        self._absent: dict[int, int] = {}
        self._collapses = _Collapses(limits)

    def note(
        self, answers: Mapping[int, Answer], prompted: Collection[int]
    ) -> dict[int, Assessment]:
        """Assess the answers on the next plane of the pass.

        Parameters
        ----------
        answers : mapping of int to Answer
            By object id.
        prompted : collection of int
            The objects that have a prompt on this plane.
        """
        windows = {number: answer.window() for number, answer in answers.items()}
        scores = {number: answer.score for number, answer in answers.items()}
        collapsed = self._collapses.note(windows, scores)
        found = {}
        for number, answer in answers.items():
            window = windows[number]
            area = 0 if window is None else window.area
            before = 0 if number in prompted else self._areas.get(number, 0)
            found[number] = Assessment(
                answer.score,
                answer.object_logit,
                area,
                (area - before) / before if area and before else math.nan,
                lost=self._is_lost(number, present=area > 0),
                collapsed=number in collapsed,
                limits=self._limits,
            )
            self._areas[number] = area
        return found

    def state(self) -> dict[str, Any]:
        """Return all that it will look at again; ``restore`` takes it back."""
        return {
            "areas": dict(self._areas),
            "absent": dict(self._absent),
            "collapses": self._collapses.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where another watch was."""
        self._areas, self._absent = dict(state["areas"]), dict(state["absent"])
        self._collapses.restore(state["collapses"])

    def _is_lost(self, number: int, *, present: bool) -> bool:
        self._absent[number] = 0 if present else self._absent.get(number, 0) + 1
        return self._absent[number] >= self._limits.lost_after


class _Collapses:
    """Counts the planes on which two objects show the same thing."""

    def __init__(self, limits: DoubtLimits) -> None:
        self._limits = limits
        self._visit = 0
        self._first_seen: dict[int, int] = {}
        self._alike: dict[tuple[int, int], int] = {}
        self._twins: set[tuple[int, int]] = set()

    def state(self) -> dict[str, Any]:
        return {
            "visit": self._visit,
            "first_seen": dict(self._first_seen),
            "alike": dict(self._alike),
            "twins": sorted(self._twins),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._visit = state["visit"]
        self._first_seen, self._alike = dict(state["first_seen"]), dict(state["alike"])
        self._twins = set(state["twins"])

    def note(self, windows: Mapping[int, Window | None], scores: Mapping[int, float]) -> set[int]:
        """Return the lesser of every two objects that have become one by this plane."""
        self._visit += 1
        seen = {number: window for number, window in windows.items() if window is not None}
        for number in seen:
            self._first_seen.setdefault(number, self._visit)
        alike = list(_alike(seen, self._limits.collapsed_overlap))
        self._alike = {pair: self._alike.get(pair, 0) + 1 for pair in alike}
        self._twins |= {
            pair for pair in alike if self._visit in map(self._first_seen.__getitem__, pair)
        }
        return {
            min(pair, key=lambda number: (scores[number], -number))
            for pair, planes in self._alike.items()
            if planes >= self._limits.collapsed_after and pair not in self._twins
        }


def _alike(windows: Mapping[int, Window], overlap: float) -> Iterator[tuple[int, int]]:
    """Yield the pairs of objects whose masks have an IoU above a limit."""
    numbers = sorted(windows)
    if len(numbers) < 2:
        return
    areas = np.array([windows[number].area for number in numbers], float)
    boxes = np.array([(*windows[one].origin, *windows[one].shape) for one in numbers])
    starts, ends = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    # An IoU is never above the ratio of the areas; most pairs need no look at their pixels.
    near = np.minimum.outer(areas, areas) > overlap * np.maximum.outer(areas, areas)
    near &= ((starts[:, None] < ends) & (starts < ends[:, None])).all(axis=2)
    for one, other in np.argwhere(np.triu(near, 1)).tolist():
        first, second = numbers[one], numbers[other]
        if window_iou(windows[first], windows[second]) > overlap:
            yield first, second
