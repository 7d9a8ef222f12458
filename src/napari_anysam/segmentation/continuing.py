"""Whether a run would go on with an earlier one that ended before its end, and where."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from napari_anysam.segmentation.journal import Run
from napari_anysam.segmentation.prompt_files import prompt_to_dict
from napari_anysam.segmentation.windows import tight_window

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.tracking_plan import Plan

__all__ = ["continues", "same_prompts", "same_request", "visits_of"]

_APART = {"begun", "results", "prompts", "model"}
_COMPARED = tuple(one.name for one in fields(Run) if one.name not in _APART)


def same_request(one: Run, other: Run) -> bool:
    """Tell whether two runs ask for the same, however far each of them came.

    On which device and with how many threads they compute does not count, as in ``RunRequest``.
    """
    return (
        all(getattr(one, name) == getattr(other, name) for name in _COMPARED)
        and one.model.key == other.model.key
        and same_prompts(one.prompts, other.prompts)
    )


def same_prompts(some: Iterable[Prompt], others: Iterable[Prompt]) -> bool:
    """Tell whether the same is marked, in any order; masks may be cut in different ways."""
    return _said(some) == _said(others)


def continues(run: Run, before: Run) -> bool:
    """Tell whether a run began where another one, computed in the same way, had ended."""
    return (
        run.begun > 0
        and run.begun == before.begun + before.results
        and run.model == before.model
        and same_request(run, before)
    )


def visits_of(plan: Plan) -> tuple[int, ...]:
    """Return the planes of all results of a run, in their order; one can come twice."""
    return tuple(
        plane for step in plan.steps for plane in plan.planes(step) if plan.grows(plane, step)
    )


def _said(prompts: Iterable[Prompt]) -> dict[tuple[int, int | None], Any]:
    return {(prompt.object_id, prompt.plane): _content(prompt) for prompt in prompts}


def _content(prompt: Prompt) -> dict[str, Any]:
    said = prompt_to_dict(prompt)
    if prompt.mask is not None:
        window = tight_window(prompt.mask, prompt.mask_origin or (0, 0))
        said.pop("mask_origin", None)
        said["mask"] = None if window is None else (window.origin, window.shape, bytes(window.bits))
    return said
