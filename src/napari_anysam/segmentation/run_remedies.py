"""What would help where a run takes too much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari_anysam.models.image_size import SMALLER_IMAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_anysam.segmentation.run_estimate import RunEstimate
    from napari_anysam.segmentation.run_size import RunSize

__all__ = ["FOR_MEMORY", "IN_COMMAND", "Remedy", "remedies_for"]

LONG_SECONDS = 3600.0
"""A run of more than this is worth a proposal."""

Remedy = Literal["size", "model", "range", "shared", "objects", "region", "output", "disk"]
"""What would help: a smaller input of the network, a smaller model, fewer planes, one encode of the
plane for all objects, fewer objects at once, a smaller image, an output that is not written as a
whole, another disk."""

IN_COMMAND: dict[Remedy, str] = {
    "size": f"let the model see {SMALLER_IMAGE_SIZE} pixels (--image-size {SMALLER_IMAGE_SIZE}), "
    "which gives coarser masks",
    "model": f"take a smaller model: medsam2 with an input of {SMALLER_IMAGE_SIZE} pixels, or "
    "anysam-nano with 256",
    "range": "answer a part of the planes (--start, --stop)",
    "shared": "let all objects share one encode of the plane (--region plane)",
    "objects": "follow fewer objects at once, in runs of their own",
    "region": "take a smaller level of the pyramid (--level), or a region cut out of the image",
    "output": "write .zarr, which is never held as a whole; where there is more memory, anysam "
    "export makes a volume of it",
    "disk": "write to another disk, or make room on this one",
}

FOR_MEMORY = ("output", "size", "model", "objects", "region")
"""What makes a run need less of it; "region" always does."""


def remedies_for(
    estimate: RunEstimate, size: RunSize, image_size: int, *, whole: bool, can_shrink: bool
) -> Iterator[Remedy]:
    """Say what would help, the most helpful first.

    Parameters
    ----------
    estimate : RunEstimate
    size : RunSize
    image_size : int
        Side of the network's square input.
    whole : bool
        Whether most memory is taken by an output that is written as a whole.
    can_shrink : bool
        Whether the network takes a smaller input.
    """
    slow = (estimate.seconds or 0.0) > LONG_SECONDS
    if estimate.crowded and whole:
        yield "output"
    if slow or estimate.crowded:
        if can_shrink and (estimate.smaller_seconds or 0.0) <= (estimate.seconds or 0.0):
            yield "size"
        if image_size > SMALLER_IMAGE_SIZE:
            yield "model"
        yield "range"
    if slow and size.encodes >= 2 * size.planes * max(1, size.objects // 2):
        yield "shared"
    if estimate.crowded:
        if size.objects > 1:
            yield "objects"
        yield "region"
    if estimate.full:
        yield "disk"
