"""From a network's answers to memories and plane pixels; how much is remembered; other regions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F

from napari_anysam.errors import CapabilityError
from napari_anysam.networks import out_of_memory
from napari_anysam.networks.tracking_protocol import Tracked
from napari_anysam.segmentation.memory import Memory
from napari_anysam.segmentation.tracking_results import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_anysam.networks.protocol import Embedding
    from napari_anysam.networks.tracking_protocol import MemorySpan, TrackingModel
    from napari_anysam.segmentation.regions import Region
    from napari_anysam.segmentation.tracking_source import PlaneSource

__all__ = ["MemoryUse", "answers_of", "memories_of", "reframed", "span_used"]

MemoryUse = Literal["full", "fast"]
"""How much of its memory a network reads: all, or the nearest planes."""

_FAST_RECENT = 2
_FAST_ANCHORS = 2

_UPSCALED_BYTES = 2**26
_VISIBLE_PART = 0.5
_OUTSIDE = -10.0


def span_used(model: TrackingModel, memory: MemoryUse) -> MemorySpan:
    """Return how much of a network's memory is kept and read.

    Reading memories costs in proportion to their number, and for large networks most of the time.
    Object pointers are as many either way: they cost nearly nothing.

    Parameters
    ----------
    model : TrackingModel
        The network.
    memory : {"full", "fast"}
        "full" is what it was trained with; "fast" the last two planes, and of the prompted ones
        the nearest on each side. Its effect is measured in ``docs/benchmarks.md``.

    Raises
    ------
    CapabilityError
        If ``memory`` is neither.
    """
    span = model.memory_span
    if memory == "full":
        return span
    if memory != "fast":
        raise CapabilityError(f"memory is {memory!r}; use 'full' or 'fast' to propagate.")
    recent, anchors = min(span.recent, _FAST_RECENT), min(span.anchors, _FAST_ANCHORS)
    return replace(span, recent=recent, anchors=anchors)


def memories_of(
    model: TrackingModel,
    plane: int,
    embedding: Embedding,
    tracked: Tracked,
    regions: Sequence[Region],
    *,
    anchored: bool,
) -> list[Memory]:
    """Remember the answers of a batch of objects, one memory each.

    Parameters
    ----------
    model : TrackingModel
        The network.
    plane : int
        Index along the stack's axis.
    embedding : Embedding
        Of the one region of all; or one row per object.
    tracked : Tracked
        The answers.
    regions : sequence of Region
        The window of the plane for each object.
    anchored : bool
        Whether they came from prompts.
    """
    features = out_of_memory.remember(model, embedding, tracked, anchored=anchored)
    answers = [_alone(tracked, place) for place in range(len(features))]
    return [
        Memory(plane, one, answer.pointers[0], region, answer, region, anchored)
        for one, answer, region in zip(features, answers, regions, strict=True)
    ]


def answers_of(model: TrackingModel, tracked: Tracked, regions: Sequence[Region]) -> list[Answer]:
    """Bring the answers of a batch of objects, in regions of one shape, to plane pixels.

    Of each answer no more is kept than its mask's bounding box.
    """
    return [
        Answer(region, one, score, object_logit).cropped()
        for region, one, score, object_logit in zip(
            regions,
            _upscaled(model, tracked.gated, regions[0]),
            tracked.scores.tolist(),
            tracked.object_logits.tolist(),
            strict=True,
        )
    ]


def reframed(memory: Memory, region: Region, model: TrackingModel, source: PlaneSource) -> Memory:
    """Encode a memory again as it is seen from another region.

    The network takes memories and plane as aligned. A memory whose object is for the most part not
    to be seen from there stays as it was: the object in its own surroundings.
    """
    if memory.region == region:
        return memory
    before = memory.answer.gated.float()
    logits = _resampled(before, memory.answered, region)
    inside = [
        float((one > 0).sum()) * _pixels(view)
        for one, view in ((before, memory.answered), (logits, region))
    ]
    if inside[1] < _VISIBLE_PART * inside[0]:
        return memory
    answer = replace(memory.answer, logits=logits)
    embedding = source.embedding(memory.plane, region)
    features = out_of_memory.remember(model, embedding, answer, anchored=memory.anchored)
    return replace(memory, features=features[0], region=region)


def _alone(tracked: Tracked, place: int) -> Tracked:
    """Return the answer for one object of a batch, in tensors of its own."""
    one = slice(place, place + 1)
    return Tracked(
        # Only for being encoded again; half precision is enough.
        tracked.logits[one].to(torch.bfloat16),
        tracked.scores[one],
        tracked.object_logits[one],
        tracked.pointers[one],
    )


def _upscaled(
    model: TrackingModel, logits: torch.Tensor, region: Region
) -> Iterator[NDArray[np.float32]]:
    """Bring (B, 1, h, w) logits to plane pixels, as many at once as fit a bounded memory."""
    batch = max(1, _UPSCALED_BYTES // (4 * region.height * region.width))
    for first in range(0, len(logits), batch):
        upscaled = out_of_memory.upscale(model, logits[first : first + batch], region.shape)
        yield from upscaled[:, 0].cpu().numpy()


def _resampled(logits: torch.Tensor, shown: Region, wanted: Region) -> torch.Tensor:
    """Show logits (1, 1, h, w) of one region in the frame of another, bilinearly."""
    height, width = logits.shape[-2:]
    rows = _places(height, wanted.row, wanted.height, shown.row, shown.height)
    columns = _places(width, wanted.column, wanted.width, shown.column, shown.width)
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)[None]
    shifted = logits - _OUTSIDE  # grid_sample fills with zeros
    sampled = F.grid_sample(shifted, grid.to(logits.device), align_corners=False)
    return sampled + _OUTSIDE


def _places(
    count: int, start: int, length: int, other_start: int, other_length: int
) -> torch.Tensor:
    """Return pixel centres along one axis of a region in -1..1 of another region."""
    centres = (torch.arange(count) + 0.5) / count * length + start
    return (centres - other_start) / other_length * 2 - 1


def _pixels(region: Region) -> int:
    return region.height * region.width
