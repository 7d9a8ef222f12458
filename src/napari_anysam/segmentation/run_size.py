"""How much a run has to do, counted from its plan: planes, encodes, objects to follow, pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.segmentation.regions import HUGE, Region, prompt_extent
from napari_anysam.segmentation.tracking_regions import following_region

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.tracking_plan import Plan

__all__ = ["RunSize", "size_of_run"]


@dataclass(frozen=True, slots=True)
class RunSize:
    """How much is to be done.

    Parameters
    ----------
    planes : int
        Planes with an answer.
    plane_pixels : int
        Pixels of one.
    objects : int
    anchors : int
        Prompted planes, summed over objects.
    encodes : int
        Regions of planes to encode, at most.
    visits : int
        Objects on planes to follow, in all passes; prompted planes are none.
    waiting_bytes : int
        Answers that wait for the second pass, as large as the object is where it was prompted.
    region_pixels : int
        Pixels of the largest region in which an object is followed, as far as prompts tell.
    object_pixels, largest_pixels : int
        Pixels of the bounding boxes of all objects together and of the largest one, where they were
        prompted.
    """

    planes: int
    plane_pixels: int
    objects: int
    anchors: int
    encodes: int
    visits: int
    waiting_bytes: int
    region_pixels: int
    object_pixels: int
    largest_pixels: int


def size_of_run(plan: Plan, plane_shape: tuple[int, int], image_size: int, region: str) -> RunSize:
    """Count what a plan has to do.

    Parameters
    ----------
    plan : Plan
    plane_shape : (H, W)
    image_size : int
        Side of the network's square input.
    region : {"auto", "plane"}
        With "auto" every object whose extent the prompts do not tell counts as one region.
    """
    visits = encodes = 0
    waiting = 0.0
    areas = {number: _area(prompts, plane_shape) for number, prompts in plan.anchors.items()}
    regions = _regions(plan, plane_shape, image_size, region)
    anchors = sum(len(planes) for planes in plan.anchors.values())
    answered = np.zeros(plan.stop, bool)
    for step in plan.steps:
        weights = np.zeros(plan.stop)
        looked: dict[Region | int, NDArray[np.bool_]] = {}
        for number in plan.anchors:
            reached = _reached(plan, number, step)
            answered |= reached
            weights[reached] += areas[number]
            reached[_prompted(plan, number)] = False
            visits += int(reached.sum())
            looked[regions[number]] = looked.get(regions[number], reached) | reached
        encodes += sum(int(planes.sum()) for planes in looked.values())
        waiting += float(weights[_returning(plan, step)].sum())
    return RunSize(
        planes=int(answered.sum()),
        plane_pixels=plane_shape[0] * plane_shape[1],
        objects=len(plan.anchors),
        anchors=anchors,
        encodes=encodes + anchors,
        visits=visits,
        waiting_bytes=int(2 * waiting),
        region_pixels=max(_pixels(one, plane_shape, region) for one in regions.values()),
        object_pixels=int(sum(areas.values())),
        largest_pixels=int(max(areas.values())),
    )


def _reached(plan: Plan, number: int, step: int) -> NDArray[np.bool_]:
    """Mark the planes on which a pass answers for an object."""
    marks = np.zeros(plan.stop, bool)
    reach = plan.reach(number, step)
    if reach:
        first, last = sorted((reach[0], reach[-1]))
        marks[first : last + 1] = True
    return marks


def _prompted(plan: Plan, number: int) -> list[int]:
    return [plane for plane in plan.anchors[number] if plane < plan.stop]


def _returning(plan: Plan, step: int) -> NDArray[np.bool_]:
    """Mark the planes that a pass after this one adds to; the same as ``Plan.returns``."""
    marks = np.zeros(plan.stop, bool)
    for later in plan.steps[plan.steps.index(step) + 1 :]:
        for number in plan.anchors:
            grows, prompted = _reached(plan, number, later), _prompted(plan, number)
            grows[prompted] &= ~_reached(plan, number, step)[prompted]
            marks |= grows
    return marks


def _area(prompts: Mapping[int, Prompt], plane_shape: tuple[int, int]) -> float:
    """Return the pixels of an object's box; of a clicked one, a sixteenth of what is looked at."""
    areas = []
    for prompt in prompts.values():
        y0, x0, y1, x1 = prompt_extent(prompt)
        told = prompt.box is not None or prompt.mask is not None or prompt.lasso is not None
        areas.append((y1 - y0) * (x1 - x0) if told else _seen_pixels(plane_shape) / 16)
    return max(areas)


def _seen_pixels(plane_shape: tuple[int, int]) -> int:
    """Return the pixels that a click is looked at in, at most."""
    return min(plane_shape[0], HUGE) * min(plane_shape[1], HUGE)


def _pixels(region: Region | int, plane_shape: tuple[int, int], choice: str) -> int:
    if isinstance(region, Region):
        return region.height * region.width
    return plane_shape[0] * plane_shape[1] if choice == "plane" else _seen_pixels(plane_shape)


def _regions(
    plan: Plan, plane_shape: tuple[int, int], image_size: int, region: str
) -> dict[int, Region | int]:
    """Return what objects that are encoded together have in common."""
    if region == "plane":
        return dict.fromkeys(plan.anchors, 0)
    found: dict[int, Region | int] = {}
    used: list[Region] = []
    for number, prompts in plan.anchors.items():
        prompt = prompts[min(prompts)]
        if prompt.box is None and prompt.mask is None and prompt.lasso is None:
            found[number] = number
            continue
        own = following_region(prompt_extent(prompt), plane_shape, image_size, used)
        used.append(own)
        found[number] = own
    return found
