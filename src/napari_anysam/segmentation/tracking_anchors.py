"""Prompted planes: what the prompts say there, and what an object remembers of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.networks import out_of_memory
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.regions import Region
from napari_anysam.segmentation.tracking_memories import answers_of, memories_of
from napari_anysam.segmentation.tracking_regions import following_region, mask_extent
from napari_anysam.segmentation.tracking_results import Answer, mask_answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_anysam.networks.tracking_protocol import TrackingModel
    from napari_anysam.segmentation.memory import Memory
    from napari_anysam.segmentation.prompts import Prompt
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
    tracked = out_of_memory.anchor(model, embedding, prompts)
    memories = memories_of(model, plane, embedding, tracked, whole, anchored=True)
    drawn = [
        answer if prompt.mask is None else mask_answer(prompt.mask)
        for prompt, answer in zip(prompts, answers_of(model, tracked, whole), strict=True)
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
        region = _region_for(answer, source, model.image_size, regions)
        regions.append(region)
        embedding = source.embedding(plane, region)
        tracked = out_of_memory.anchor(model, embedding, [_seen(answer, prompt, region)])
        memory = memories_of(model, plane, embedding, tracked, region, anchored=True)[0]
        anchors.append(Anchor(memory, answer))
    return anchors


def _region_for(
    answer: Answer, source: PlaneSource, image_size: int, others: Iterable[Region]
) -> Region:
    extent = mask_extent(answer.logits > 0, answer.region)
    if extent is None:
        return Region.whole(source.shape)
    return following_region(extent, source.shape, image_size, others)


def _single_plane_answers(
    model: TrackingModel, source: PlaneSource, plane: int, prompts: Sequence[Prompt]
) -> list[Answer]:
    """Answer as ``segment`` does, so that a preview holds; a mask is its own answer, unchanged."""
    asked = [place for place, prompt in enumerate(prompts) if prompt.mask is None]
    answers = {
        place: mask_answer(prompt.mask)
        for place, prompt in enumerate(prompts)
        if prompt.mask is not None
    }
    predictions = PlanePredictor(model, source.cache).predict_many(
        lambda: source.pixels(plane),
        source.key(plane),
        source.shape,
        [prompts[place] for place in asked],
        cancelled=source.cancelled,
    )
    for place, prediction in zip(asked, predictions, strict=True):
        best = prediction.best
        answers[place] = Answer(best.region, best.logits, best.score, _PRESENT_LOGIT)
    return [answers[place] for place in range(len(prompts))]


def _seen(answer: Answer, prompt: Prompt, region: Region) -> Prompt:
    """Return the answer as a mask prompt in a region; the prompt itself where the mask is empty."""
    own = answer.region
    plane_mask = np.zeros(region.shape, bool)
    top, bottom = _shared(region.row, region.height, own.row, own.height)
    left, right = _shared(region.column, region.width, own.column, own.width)
    plane_mask[
        top - region.row : bottom - region.row, left - region.column : right - region.column
    ] = answer.logits[top - own.row : bottom - own.row, left - own.column : right - own.column] > 0
    if not plane_mask.any():
        return prompt.shifted(-region.row, -region.column)
    return replace(prompt, points=(), polarity=(), box=None, mask=plane_mask)


def _shared(start: int, length: int, other: int, other_length: int) -> tuple[int, int]:
    """Return the half-open range that two ranges share; empty, not reversed, if they do not."""
    first = max(start, other)
    return first, max(first, min(start + length, other + other_length))
