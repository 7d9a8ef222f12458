"""Prompted planes: what the prompts say there, and what an object remembers of it.

A plane takes either a mask, or points, box, lasso and scribbles. A mask is its own answer. Of the
others, lassos and scribbles become points and a box (`derived_prompts.py`), never a mask: a rough
outline would be remembered as if it were the object. What is drawn on the prompted plane stays
inside the lasso. Followed in regions, that drawn answer is also what is remembered; followed in
whole planes, the memory is the network's own, as the official predictor makes it of points and box.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.networks import out_of_memory
from napari_anysam.segmentation.derived_prompts import resolve
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.lasso import clipped_logits
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.regions import Region, mask_in, prompt_extent
from napari_anysam.segmentation.tracking_memories import answers_of, memories_of
from napari_anysam.segmentation.tracking_regions import (
    MOST_PIXELS,
    check_region,
    following_region,
    mask_extent,
)
from napari_anysam.segmentation.tracking_results import Answer, mask_answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_anysam.networks.tracking_protocol import TrackingModel
    from napari_anysam.segmentation.memory import Memory
    from napari_anysam.segmentation.tracking_source import PlaneSource

__all__ = ["Anchor", "anchors_in_planes", "anchors_in_regions"]

_PRESENT_LOGIT = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Anchor:
    """One object on one plane on which it was prompted."""

    memory: Memory
    answer: Answer


def anchors_in_planes(
    model: TrackingModel, source: PlaneSource, plane: int, prompts: Sequence[Prompt]
) -> list[Anchor]:
    """Answer prompts from the plane as a whole, as the official predictor does.

    A mask is its own answer, unchanged.
    """
    whole = Region.whole(source.shape)
    embedding = source.embedding(plane, whole)
    told = [_told(model, prompt, whole) for prompt in prompts]
    tracked = out_of_memory.anchor(model, embedding, told)
    regions = [whole] * len(told)
    memories = memories_of(model, plane, embedding, tracked, regions, anchored=True)
    drawn = [
        _drawn(prompt, answer, whole)
        for prompt, answer in zip(prompts, answers_of(model, tracked, regions), strict=True)
    ]
    return [Anchor(*pair) for pair in zip(memories, drawn, strict=True)]


def anchors_in_regions(
    model: TrackingModel,
    source: PlaneSource,
    plane: int,
    prompts: Sequence[Prompt],
    used: Iterable[Region],
) -> list[Anchor]:
    """Answer prompts as on a single image, then remember each answer in a region for following.

    Parameters
    ----------
    model, source
        See ``tracking_pass.Follower``.
    plane : int
        Index along the stack's axis.
    prompts : sequence of Prompt
        One per object.
    used : iterable of Region
        Regions of other anchors, to be shared where they suit.
    """
    answers = _single_plane_answers(model, source, plane, prompts)
    regions = list(used)
    anchors: list[Anchor] = []
    for prompt, answer in zip(prompts, answers, strict=True):
        region = _region_for(prompt, answer, source, model.image_size, regions)
        regions.append(region)
        embedding = source.embedding(plane, region)
        seen = _seen(model, answer, prompt, region, source.shape)
        tracked = out_of_memory.anchor(model, embedding, [seen])
        memory = memories_of(model, plane, embedding, tracked, [region], anchored=True)[0]
        anchors.append(Anchor(memory, answer))
    return anchors


def _region_for(
    prompt: Prompt,
    answer: Answer,
    source: PlaneSource,
    image_size: int,
    others: Iterable[Region],
) -> Region:
    extent = mask_extent(answer.logits > 0, answer.region)
    if extent is None:
        if source.shape[0] * source.shape[1] <= MOST_PIXELS:
            return Region.whole(source.shape)
        extent = prompt_extent(prompt)
    region = following_region(extent, source.shape, image_size, others)
    check_region(region, prompt.object_id)
    return region


def _single_plane_answers(
    model: TrackingModel, source: PlaneSource, plane: int, prompts: Sequence[Prompt]
) -> list[Answer]:
    """Answer as ``segment`` does, so that a preview holds; a mask is its own answer, unchanged."""
    asked = [place for place, prompt in enumerate(prompts) if prompt.mask is None]
    answers = {
        place: _given(prompt, Region.whole(source.shape))
        for place, prompt in enumerate(prompts)
        if prompt.mask is not None
    }
    predictions = PlanePredictor(model, source.cache).predict_many(
        source.pixels(plane),
        source.key(plane),
        source.shape,
        [prompts[place] for place in asked],
        cancelled=source.cancelled,
    )
    for place, prediction in zip(asked, predictions, strict=True):
        best = prediction.best
        answers[place] = Answer(*best.tight_logits(), best.score, _PRESENT_LOGIT)
    return [answers[place] for place in range(len(prompts))]


def _given(prompt: Prompt, whole: Region) -> Answer:
    """Return the answer that is a prompt's mask, without drawing more of the plane than it has."""
    if prompt.mask_origin is None:
        return mask_answer(mask_in(prompt, whole))
    _, window = Region(*prompt.mask_origin, *np.asarray(prompt.mask).shape).overlap(whole)
    rows, columns = window
    part = Region(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
    answer = mask_answer(mask_in(prompt, part))
    own = answer.region
    return replace(answer, region=Region(part.row + own.row, part.column + own.column, *own.shape))


def _told(model: TrackingModel, prompt: Prompt, whole: Region) -> Prompt:
    """Return a prompt as a network takes it that sees the whole plane."""
    if prompt.mask is not None:
        return replace(prompt, mask=mask_in(prompt, whole), mask_origin=None)
    return resolve(prompt, model.capabilities, whole.shape)


def _drawn(prompt: Prompt, answer: Answer, whole: Region) -> Answer:
    """Return what the labels show of an answer from the whole plane."""
    if prompt.mask is not None:
        return _given(prompt, whole)
    return replace(answer, logits=clipped_logits(answer.logits, answer.region, prompt.lasso))


def _seen(
    model: TrackingModel,
    answer: Answer,
    prompt: Prompt,
    region: Region,
    plane_shape: tuple[int, int],
) -> Prompt:
    """Return the answer as a mask prompt in a region; the prompt itself where the mask is empty."""
    own = answer.region
    plane_mask = np.zeros(region.shape, bool)
    top, bottom = _shared(region.row, region.height, own.row, own.height)
    left, right = _shared(region.column, region.width, own.column, own.width)
    plane_mask[
        top - region.row : bottom - region.row, left - region.column : right - region.column
    ] = answer.logits[top - own.row : bottom - own.row, left - own.column : right - own.column] > 0
    if not plane_mask.any():
        resolved = resolve(prompt, model.capabilities, plane_shape)
        return resolved.shifted(-region.row, -region.column)
    return Prompt(prompt.object_id, prompt.plane, mask=plane_mask)


def _shared(start: int, length: int, other: int, other_length: int) -> tuple[int, int]:
    """Return the half-open range that two ranges share; empty, not reversed, if they do not."""
    first = max(start, other)
    return first, max(first, min(start + length, other + other_length))
