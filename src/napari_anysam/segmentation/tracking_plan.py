"""Which planes a propagation visits, for which objects, in which order, and whose answer counts.

An object exists from its anchors outward: forward from its first one, backward from its last one.
Between two of its anchors both passes answer; the one that started nearer wins, and of equally near
ones the forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_anysam.errors import PromptError
from napari_anysam.segmentation.prompts import check_prompts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_anysam.segmentation.prompts import Prompt

__all__ = ["Plan", "make_plan"]

_STEPS = {"both": (1, -1), "forward": (1,), "backward": (-1,)}


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked request.

    Parameters
    ----------
    anchors : mapping
        Object id to plane to the prompt there.
    start, stop : int
        Half-open range of planes to answer.
    steps : tuple of int
        Passes in their order: 1 is forward, -1 backward.
    """

    anchors: Mapping[int, Mapping[int, Prompt]]
    start: int
    stop: int
    steps: tuple[int, ...]

    def planes(self, step: int) -> range:
        """Return the planes that a pass visits, in its order."""
        ranges = [self.reach(object_id, step) for object_id in self.anchors]
        firsts = [reach[0] for reach in ranges if reach]
        if not firsts:
            return range(0)
        if step > 0:
            return range(min(firsts), self.stop)
        return range(max(firsts), self.start - 1, -1)

    def reach(self, object_id: int, step: int) -> range:
        """Return the planes on which a pass answers for an object, in its order."""
        if step > 0:
            return range(max(self.start, min(self.anchors[object_id])), self.stop)
        return range(min(self.stop - 1, max(self.anchors[object_id])), self.start - 1, -1)

    def active(self, plane: int, step: int) -> list[int]:
        """Return the objects for which a pass answers on a plane."""
        return [object_id for object_id in self.anchors if plane in self.reach(object_id, step)]

    def prompted(self, plane: int) -> list[int]:
        """Return the objects that have a prompt on a plane."""
        return [object_id for object_id, prompts in self.anchors.items() if plane in prompts]

    def wins(self, object_id: int, plane: int, step: int) -> bool:
        """Tell whether the answer of a pass replaces what earlier passes said on a plane."""
        if step == self.steps[0]:
            return True
        if plane in self.anchors[object_id]:
            return plane not in self.reach(object_id, self.steps[0])
        if plane not in self.reach(object_id, self.steps[0]):
            return True
        # Only between anchors have two passes been here; the second one is the backward pass.
        behind = max(index for index in self.anchors[object_id] if index < plane)
        ahead = min(index for index in self.anchors[object_id] if index > plane)
        return ahead - plane < plane - behind

    def compares(self, object_id: int, plane: int, step: int) -> bool:
        """Tell whether an earlier pass looked for an object on a plane too, between its anchors."""
        return (
            step != self.steps[0]
            and plane not in self.anchors[object_id]
            and plane in self.reach(object_id, self.steps[0])
        )

    def grows(self, plane: int, step: int) -> bool:
        """Tell whether a pass adds to what earlier passes said on a plane."""
        return any(
            self.wins(object_id, plane, step) or self.compares(object_id, plane, step)
            for object_id in self.active(plane, step)
        )

    def returns(self, plane: int, step: int) -> bool:
        """Tell whether a later pass will add to a plane."""
        return any(self.grows(plane, other) for other in self._later(step))

    def looks_again(self, plane: int, step: int | None = None) -> bool:
        """Tell whether a later pass than ``step``, or any pass, must look at a plane's pixels."""
        later = self.steps if step is None else self._later(step)
        return any(
            plane not in self.anchors[object_id]
            for other in later
            for object_id in self.active(plane, other)
        )

    def _later(self, step: int) -> tuple[int, ...]:
        return self.steps[self.steps.index(step) + 1 :]


def make_plan(
    prompts: Iterable[Prompt],
    plane_shape: tuple[int, int],
    plane_count: int,
    direction: str = "both",
    start: int | None = None,
    stop: int | None = None,
) -> Plan:
    """Check a request and plan it.

    Parameters
    ----------
    prompts : iterable of Prompt
        Those of one object on one plane merge.
    plane_shape : (H, W)
        Pixels of a plane.
    plane_count : int
        Planes of the stack.
    direction : {"both", "forward", "backward"}
        From each object's anchors.
    start, stop : int, optional
        Half-open range of planes to answer; the whole stack if left out. Prompts outside it are
        remembered but not answered.

    Raises
    ------
    PromptError
        If there is no prompt, one lies outside, a plane has a mask and anything else, or direction
        or range make no sense.
    """
    if direction not in _STEPS:
        raise PromptError(f"direction is {direction!r}; use 'both', 'forward' or 'backward'.")
    first = 0 if start is None else start
    last = plane_count if stop is None else stop
    if not 0 <= first < last <= plane_count:
        raise PromptError(
            f"Planes {first} to {last} (stop excluded) are no range of this stack; use "
            f"0 <= start < stop <= {plane_count}."
        )
    anchors: dict[int, dict[int, Prompt]] = {}
    for prompt in check_prompts(prompts, plane_shape, plane_count).values():
        _check_anchor(prompt)
        anchors.setdefault(prompt.object_id, {})[prompt.plane or 0] = prompt
    plan = Plan(anchors, first, last, _STEPS[direction])
    for object_id in anchors:
        _check_reach(plan, object_id, direction)
    return plan


def _check_anchor(prompt: Prompt) -> None:
    outlined = prompt.box is not None or prompt.lasso is not None
    if prompt.mask is not None and (prompt.points or prompt.scribbles or outlined):
        raise PromptError(
            f"Object {prompt.object_id} has a mask and also points or a box, a lasso or scribbles "
            f"on plane {prompt.plane}; give one or the other when propagating."
        )
    pointed = any(prompt.polarity) or any(stroke.positive for stroke in prompt.scribbles)
    if prompt.mask is None and not outlined and not pointed:
        raise PromptError(
            f"Object {prompt.object_id} has only negative points or scribbles on plane "
            f"{prompt.plane}; add a positive point or a box."
        )


def _check_reach(plan: Plan, object_id: int, direction: str) -> None:
    if any(plan.reach(object_id, step) for step in plan.steps):
        return
    planes = sorted(plan.anchors[object_id])
    raise PromptError(
        f"Going {direction} from its prompts on planes {', '.join(map(str, planes))}, object "
        f"{object_id} does not reach planes {plan.start} to {plan.stop - 1}; widen the range or "
        "use direction='both'."
    )
