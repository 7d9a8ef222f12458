"""What a local repair answers, from which prompts, and where it ends.

One object is followed again from one corrected plane, outward to the nearest plane on each side
that is reviewed or has a prompt of that object. Those planes are locked: they are anchors, or, if
they were reviewed as empty, just an end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.errors import OptionsError, PromptError
from napari_anysam.segmentation.prompts import Prompt, check_prompts
from napari_anysam.segmentation.tracking_plan import make_plan
from napari_anysam.segmentation.windows import Window, tight_window

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from numpy.typing import NDArray

    from napari_anysam.segmentation.tracking_plan import Plan

    Before = Callable[[int], Window | NDArray[np.bool_] | None]

__all__ = ["EARLY_STOP", "REPAIR_ANCHORS", "EarlyStop", "Repair", "make_repair", "mask_before"]

REPAIR_ANCHORS = 8
"""A repair uses at most so many anchors, unless told otherwise; each one has to be encoded."""


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """When a repair has nothing more to change in a direction.

    Parameters
    ----------
    overlap : float
        A mask with this IoU with the one before it, or more, is unchanged; so is an empty one where
        there was none.
    planes : int
        After so many unchanged planes running the repair ends.

    Raises
    ------
    OptionsError
        If ``overlap`` is not above 0 and up to 1, or ``planes`` is below 1.
    """

    overlap: float = 0.99
    planes: int = 3

    def __post_init__(self) -> None:
        """Check both."""
        if not 0 < self.overlap <= 1:
            raise OptionsError(f"overlap is {self.overlap!r}; use a number above 0 and up to 1.")
        if self.planes != int(self.planes) or self.planes < 1:
            raise OptionsError(f"planes is {self.planes!r}; use a number of planes from 1 up.")


EARLY_STOP = EarlyStop()


@dataclass(frozen=True, slots=True)
class Repair:
    """A checked request.

    Parameters
    ----------
    plan : Plan
        The object's anchors; its range takes in the locked planes at the ends.
    object_id, plane : int
        What was corrected, and where.
    start, stop : int
        Half-open range of planes to answer.
    """

    plan: Plan
    object_id: int
    plane: int
    start: int
    stop: int

    def beyond(self, step: int) -> range:
        """Return the planes to answer on one side of the corrected one, from it outward."""
        if step > 0:
            return range(self.plane + 1, self.stop)
        return range(self.plane - 1, self.start - 1, -1)

    def far_anchor(self, step: int) -> int | None:
        """Return the locked plane at the end of a side, if the object is known there."""
        end = self.stop if step > 0 else self.start - 1
        return end if end in self.plan.anchors[self.object_id] else None


def make_repair(
    prompts: Iterable[Prompt],
    object_id: int,
    plane: int,
    plane_shape: tuple[int, int],
    plane_count: int,
    *,
    before: Before,
    reviewed: Collection[int] = (),
    start: int | None = None,
    stop: int | None = None,
    anchor_limit: int = REPAIR_ANCHORS,
) -> Repair:
    """Check a request and plan it.

    Parameters
    ----------
    prompts, object_id, plane, before, reviewed, start, stop
        See ``tracking.Tracker.repair``.
    plane_shape : (H, W)
        Pixels of a plane.
    plane_count : int
        Planes of the stack.
    anchor_limit : int
        Of all anchors so many are used: the correction, the nearest one on each side, then the
        nearest others.

    Raises
    ------
    PromptError
        See ``tracking.Tracker.repair``.
    """
    reviewed = frozenset(reviewed)
    own = [prompt for prompt in prompts if prompt.object_id == object_id]
    given = {
        number or 0: prompt
        for (_, number), prompt in check_prompts(own, plane_shape, plane_count).items()
    }
    first, last = 0 if start is None else start, plane_count if stop is None else stop
    _check_place(plane, given, reviewed, first, last, plane_count)
    locked = (given.keys() | reviewed) - {plane}
    left = max((one for one in locked if one < plane), default=-1)
    right = min((one for one in locked if one > plane), default=plane_count)
    anchors = [given[plane]]
    for one in sorted(locked, key=lambda one: (one not in (left, right), abs(one - plane))):
        if len(anchors) >= anchor_limit:
            break
        anchor = given[one] if one not in reviewed else _reviewed(object_id, one, before)
        if anchor is not None:
            anchors.append(anchor)
    first, last = max(first, left + 1), min(last, right)
    plan = make_plan(
        anchors, plane_shape, plane_count, "both", max(0, first - 1), min(plane_count, last + 1)
    )
    return Repair(plan, object_id, plane, first, last)


def mask_before(before: Before, plane: int) -> Window | None:
    """Return the mask that an object has now on a plane, cut to its bounding box."""
    mask = before(plane)
    if mask is None or isinstance(mask, Window):
        return mask
    return tight_window(np.asarray(mask, dtype=bool))


def _reviewed(object_id: int, plane: int, before: Before) -> Prompt | None:
    """Return what was accepted on a plane as a prompt; None where the object is not."""
    window = mask_before(before, plane)
    if window is None or not window.area:
        return None
    return Prompt(object_id, plane, mask=window.mask, mask_origin=window.origin)


def _check_place(
    plane: int,
    given: Collection[int],
    reviewed: Collection[int],
    start: int,
    stop: int,
    plane_count: int,
) -> None:
    if plane not in given:
        raise PromptError(
            f"The object has no prompt on plane {plane}; give the correction there, as a mask or "
            "as points and a box."
        )
    if plane in reviewed:
        raise PromptError(
            f"Plane {plane} is reviewed and locked; take it from the reviewed planes to correct it."
        )
    if not 0 <= start <= plane < stop <= plane_count:
        raise PromptError(
            f"Plane {plane} does not lie in planes {start} to {stop} (stop excluded) of this stack;"
            f" use 0 <= start <= {plane} < stop <= {plane_count}."
        )
    outside = [one for one in reviewed if not 0 <= one < plane_count]
    if outside:
        raise PromptError(
            f"Reviewed plane {outside[0]} lies outside the stack; use 0 to {plane_count - 1}."
        )
