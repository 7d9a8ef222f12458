"""Two answers for one plane between two anchors, laid together by how sure and how near each is.

A repair asks from both sides. The nearer side alone is a poor judge: followed from the last sliver
of an object, the network often holds it to be absent on the next plane, where the other side knows
it well. So the logits of both are averaged. Measured in ``docs/benchmarks.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.segmentation.regions import Region
from napari_anysam.segmentation.tracking_merge import Assessed
from napari_anysam.segmentation.tracking_results import Answer
from napari_anysam.segmentation.windows import window_iou

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_anysam.segmentation.confidence import Assessment

__all__ = ["LIMIT", "SoftlyKept", "blended"]

LIMIT = 4.0
"""Logits count up to here, and down to as much below zero: both sides shall be heard."""

_STEPS = 127


@dataclass(frozen=True, slots=True, eq=False)
class SoftlyKept:
    """An assessed answer with its doubtful rim, in a byte per pixel of its bounding box.

    Parameters
    ----------
    region : Region
        Holds all pixels with a logit above ``-LIMIT``.
    values : int8 array (region.height, region.width)
        Logits within ``LIMIT``, in steps of its 127th part; the mask is exact.
    score, object_logit : float
        See ``tracking_results.PropagationResult``.
    assessment : Assessment
        How far to trust it.
    """

    region: Region
    values: NDArray[np.int8]
    score: float
    object_logit: float
    assessment: Assessment

    @classmethod
    def of(cls, one: Assessed) -> SoftlyKept:
        """Pack an answer."""
        answer = one.answer
        region, logits = _around(answer.region, answer.logits)
        steps = np.rint(_limited(logits) * (_STEPS / LIMIT))
        # What is inside stays inside.
        values = np.where(logits > 0, np.maximum(steps, 1), np.minimum(steps, 0)).astype(np.int8)
        return cls(region, values, answer.score, answer.object_logit, one.assessment)

    def restored(self) -> Assessed:
        """Return the answer, with its logits within ``LIMIT``."""
        logits = self.values.astype(np.float32) * (LIMIT / _STEPS)
        answer = Answer(self.region, logits, self.score, self.object_logit)
        return Assessed(answer, self.assessment)


def blended(
    first: Assessed,
    second: Assessed,
    distances: tuple[int, int],
    area_before: int,
) -> Assessed:
    """Average two answers, each weighted by its confidence over its distance.

    An answer without a mask weighs nothing: between two anchors the object is there. Where both
    have none, the nearer one's holds, and of equally near ones the first.

    Parameters
    ----------
    first, second : Assessed
        For the same plane, from either side.
    distances : (int, int)
        Planes from the anchor of each, at least 1.
    area_before : int
        Pixels on the plane that was blended before this one.

    Returns
    -------
    Assessed
        Score, object logit and signs are those of the weightier answer, but for the area and the
        agreement.
    """
    pair = (first, second)
    weights = [_weight(one, far) for one, far in zip(pair, distances, strict=True)]
    ranks = weights if any(weights) else [1 / far for far in distances]
    winner = second if ranks[1] > ranks[0] else first
    answer = _average(pair, weights, winner.answer) if all(weights) else winner.answer
    area = int(np.count_nonzero(answer.logits > 0))
    change = (area - area_before) / area_before if area and area_before else math.nan
    agreement = window_iou(first.answer.window(), second.answer.window())
    signs = replace(winner.assessment, area=area, area_change=change, agreement=agreement)
    return Assessed(answer, signs)


def _weight(one: Assessed, distance: int) -> float:
    return one.assessment.confidence / distance if one.assessment.area else 0.0


def _average(pair: tuple[Assessed, Assessed], weights: list[float], winner: Answer) -> Answer:
    """Return the weighted mean where either answer says anything; the winner, if that is empty."""
    regions = [one.answer.region for one in pair]
    top, left = min(one.row for one in regions), min(one.column for one in regions)
    bottom = max(one.row + one.height for one in regions)
    right = max(one.column + one.width for one in regions)
    whole = Region(top, left, bottom - top, right - left)
    mean = np.zeros(whole.shape, np.float32)
    for one, weight in zip(pair, weights, strict=True):
        logits = np.full(whole.shape, -LIMIT, np.float32)
        here, there = whole.overlap(one.answer.region)
        logits[here] = _limited(one.answer.logits)[there]
        mean += np.float32(weight / sum(weights)) * logits
    return replace(winner, region=whole, logits=mean) if (mean > 0).any() else winner


def _limited(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return logits.clip(-LIMIT, LIMIT)


def _around(region: Region, logits: NDArray[np.float32]) -> tuple[Region, NDArray[np.float32]]:
    """Leave out the rows and columns at the border that are no higher than ``-LIMIT``."""
    above = logits > -LIMIT
    if not above.any():
        return Region(region.row, region.column, 1, 1), logits[:1, :1]
    rows, columns = (np.flatnonzero(above.any(axis=axis)) for axis in (1, 0))
    part = logits[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    row, column = region.row + int(rows[0]), region.column + int(columns[0])
    return Region(row, column, *part.shape), part
