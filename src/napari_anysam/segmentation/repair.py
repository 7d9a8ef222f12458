"""Local repair: one object followed again from one corrected plane, as far as there is need.

On each side of the corrected plane the object is followed outward until it is as it was before
(``EarlyStop``), or up to the nearest locked plane. If the object is known there, it is followed
back from there too: the answers of both sides are averaged (``repair_blend.py``), and where the two
disagree the plane is doubtful. Where the repair ended early there is nothing to come back for.
Beyond the plane where a run had ended the object, the repair goes on only if the network is surer
than the rule for ends asks for (``AGAIN``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_anysam.segmentation.repair_blend import SoftlyKept, blended
from napari_anysam.segmentation.repair_plan import mask_before
from napari_anysam.segmentation.tracking_merge import Assessed
from napari_anysam.segmentation.tracking_watch import Watch
from napari_anysam.segmentation.windows import window_iou

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from napari_anysam.segmentation.confidence import DoubtLimits
    from napari_anysam.segmentation.repair_plan import Before, EarlyStop, Repair
    from napari_anysam.segmentation.tracking_end import EndRule
    from napari_anysam.segmentation.tracking_pass import Follower
    from napari_anysam.segmentation.windows import Window

__all__ = ["repaired"]

AGAIN = 1.5
"""So much surer, as a part of the rule's object logit: two answers speak against the object."""


def repaired(
    repair: Repair,
    follower: Follower,
    limits: DoubtLimits,
    before: Before,
    early_stop: EarlyStop | None,
    ending: EndRule | None = None,
) -> Iterator[tuple[int, Assessed]]:
    """Answer the corrected plane, then both sides; planes that are followed back come twice.

    Parameters
    ----------
    repair : Repair
        What was asked for.
    follower : Follower
        Of the repair's plan; its prompts are answered.
    limits, before, early_stop, ending
        See ``tracking.Tracker``.
    """
    needed = AGAIN * ending.object_logit if ending and _was_followed(repair, before) else 0.0
    for step in (1, -1):
        beyond, far = repair.beyond(step), repair.far_anchor(step)
        settling = _Settling(before, early_stop)
        kept: dict[int, SoftlyKept] = {}
        for plane, found in _walk(repair, follower, limits, step, (repair.plane, *beyond)):
            if plane == repair.plane:
                if step > 0:
                    yield plane, found
                continue
            if far is None and _stays_ended(found, mask_before(before, plane), needed):
                break
            yield plane, found
            if far is not None:
                kept[plane] = SoftlyKept.of(found)
            if settling.reached(plane, found):
                break
        else:
            if far is not None and kept:
                back = _walk(repair, follower, limits, -step, (far, *beyond[::-1]))
                yield from _compared(repair.plane, far, back, kept)


def _was_followed(repair: Repair, before: Before) -> bool:
    """Tell whether a run has drawn the object beside the corrected plane."""
    anchors = repair.plan.anchors[repair.object_id]
    beside = {repair.plane - 1, repair.plane + 1}.intersection(range(repair.start, repair.stop))
    masks = [mask_before(before, one) for one in beside if one not in anchors]
    return any(mask is not None and mask.area for mask in masks)


def _stays_ended(found: Assessed, was: Window | None, needed: float) -> bool:
    """Tell whether the object, which was not on a plane, is not surely there."""
    was_there = was is not None and was.area > 0
    return bool(found.assessment.area) and not was_there and found.answer.object_logit < needed


class _Settling:
    """Counts the planes running on which nothing has changed."""

    def __init__(self, before: Before, early_stop: EarlyStop | None) -> None:
        self._before = before
        self._early_stop = early_stop
        self._unchanged = 0

    def reached(self, plane: int, found: Assessed) -> bool:
        """Take in one more plane, and tell whether that is enough."""
        if self._early_stop is None:
            return False
        same = window_iou(found.answer.window(), mask_before(self._before, plane))
        self._unchanged = self._unchanged + 1 if same >= self._early_stop.overlap else 0
        return self._unchanged == self._early_stop.planes


def _compared(
    corrected: int, far: int, back: Iterable[tuple[int, Assessed]], kept: dict[int, SoftlyKept]
) -> Iterator[tuple[int, Assessed]]:
    """Average what was found on the way back with what was found on the way out."""
    area = 0
    for plane, found in back:
        known = found
        if plane != far:
            distances = abs(plane - corrected), abs(far - plane)
            known = blended(kept.pop(plane).restored(), found, distances, area)
            yield plane, known
        area = known.assessment.area


def _walk(
    repair: Repair, follower: Follower, limits: DoubtLimits, step: int, planes: Sequence[int]
) -> Iterator[tuple[int, Assessed]]:
    """Follow the object over planes, the first of which is an anchor."""
    number = repair.object_id
    follower.turn(step, planes[0])
    watch = Watch(limits)
    for plane in planes:
        answers = follower.visit(plane)
        prompted = {number} if plane in repair.plan.anchors[number] else set()
        yield plane, Assessed(answers[number], watch.note(answers, prompted)[number])
