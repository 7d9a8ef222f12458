"""Local repair: one object followed again from one corrected plane, as far as there is need.

On each side of the corrected plane the object is followed outward until it is as it was before
(``EarlyStop``), or up to the nearest locked plane. If the object is known there, it is followed
back from there too: the nearer one's answer wins, as in a run, and where the two disagree the plane
is doubtful. Where the repair ended early there is nothing to come back for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_anysam.segmentation.repair_plan import mask_before
from napari_anysam.segmentation.tracking_merge import Assessed, merged
from napari_anysam.segmentation.tracking_watch import Watch
from napari_anysam.segmentation.windows import window_iou

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari_anysam.segmentation.confidence import DoubtLimits
    from napari_anysam.segmentation.repair_plan import Before, EarlyStop, Repair
    from napari_anysam.segmentation.tracking_merge import Kept
    from napari_anysam.segmentation.tracking_pass import Follower

__all__ = ["repaired"]


def repaired(
    repair: Repair,
    follower: Follower,
    limits: DoubtLimits,
    before: Before,
    early_stop: EarlyStop | None,
) -> Iterator[tuple[int, Assessed]]:
    """Answer the corrected plane, then both sides; planes that are followed back come twice.

    Parameters
    ----------
    repair : Repair
        What was asked for.
    follower : Follower
        Of the repair's plan; its prompts are answered.
    limits, before, early_stop
        See ``tracking.Tracker``.
    """
    for step in (1, -1):
        far = repair.far_anchor(step)
        kept: dict[int, Kept] = {}
        unchanged = 0
        for plane, found in _walk(repair, follower, limits, step, repair.plane):
            if plane == repair.plane:
                if step > 0:
                    yield plane, found
                continue
            yield plane, found
            if far is not None:
                kept[plane] = found.kept()
            if early_stop is None:
                continue
            same = window_iou(found.answer.window(), mask_before(before, plane))
            unchanged = unchanged + 1 if same >= early_stop.overlap else 0
            if unchanged == early_stop.planes:
                break
        else:
            if far is not None:
                yield from _back(repair, follower, limits, -step, far, kept)


def _back(
    repair: Repair,
    follower: Follower,
    limits: DoubtLimits,
    step: int,
    far: int,
    kept: dict[int, Kept],
) -> Iterator[tuple[int, Assessed]]:
    """Follow the object from the far anchor to the corrected plane, and compare."""
    if not kept:
        return
    for plane, found in _walk(repair, follower, limits, step, far):
        if plane != far:
            nearer = abs(far - plane) < abs(plane - repair.plane)
            yield plane, merged(kept.pop(plane).restored(), found, second_wins=nearer)


def _walk(
    repair: Repair, follower: Follower, limits: DoubtLimits, step: int, outset: int
) -> Iterator[tuple[int, Assessed]]:
    """Follow the object over one side, from an anchor at one of its two ends."""
    number = repair.object_id
    planes: Iterable[int] = repair.beyond(step if outset == repair.plane else -step)
    if outset != repair.plane:
        planes = reversed(tuple(planes))
    follower.turn(step, outset)
    watch = Watch(limits)
    for plane in (outset, *planes):
        answers = follower.visit(plane)
        prompted = {number} if plane in repair.plan.anchors[number] else set()
        yield plane, Assessed(answers[number], watch.note(answers, prompted)[number])
