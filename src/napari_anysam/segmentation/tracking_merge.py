"""What one pass says of an object on a plane, beside what an earlier pass said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_anysam.segmentation.windows import window_iou

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_anysam.segmentation.confidence import Assessment
    from napari_anysam.segmentation.tracking_plan import Plan
    from napari_anysam.segmentation.tracking_results import Answer, PackedAnswer

__all__ = ["Assessed", "Kept", "grown", "merged"]


@dataclass(frozen=True, slots=True, eq=False)
class Assessed:
    """An answer, and how far to trust it."""

    answer: Answer
    assessment: Assessment

    def kept(self) -> Kept:
        """Return it in few bytes, for the pass that comes back to its plane."""
        return Kept(self.answer.packed(), self.assessment)


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """An assessed answer in few bytes."""

    packed: PackedAnswer
    assessment: Assessment

    def restored(self) -> Assessed:
        """Return the assessed answer."""
        return Assessed(self.packed.unpacked(), self.assessment)


def merged(first: Assessed, second: Assessed, *, second_wins: bool) -> Assessed:
    """Take one of the answers of two passes, and note how far they agree."""
    winner = second if second_wins else first
    agreement = window_iou(first.answer.window(), second.answer.window())
    return Assessed(winner.answer, replace(winner.assessment, agreement=agreement))


def grown(
    plan: Plan,
    plane: int,
    step: int,
    found: dict[int, Assessed],
    before: Mapping[int, Kept],
) -> dict[int, Assessed]:
    """Put what a pass says over what earlier passes said.

    Parameters
    ----------
    plan : Plan
        Says whose answer wins, and where two passes looked.
    plane, step : int
        Where, and in which pass.
    found, before : dict
        By object id: what this pass says, and what is known from earlier ones.
    """
    known = {object_id: kept.restored() for object_id, kept in before.items()}
    for object_id, one in found.items():
        wins = plan.wins(object_id, plane, step)
        if plan.compares(object_id, plane, step):
            known[object_id] = merged(known[object_id], one, second_wins=wins)
        elif wins:
            known[object_id] = one
    return known
