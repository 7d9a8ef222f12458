"""Answers on one plane, put together into what the caller gets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.errors import CapabilityError
from napari_anysam.segmentation.regions import Region
from napari_anysam.segmentation.windows import tight_window

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_anysam.segmentation.confidence import Assessment
    from napari_anysam.segmentation.tracking_merge import Assessed
    from napari_anysam.segmentation.windows import Window

__all__ = ["Answer", "PackedAnswer", "PropagationResult", "check_size", "compose", "mask_answer"]

_MASK_LOGIT = 10.0

MOST_PIXELS = 2**28
"""Pixels of the largest plane whose labels are an array: 1 GB of them, as much of logits."""


@dataclass(frozen=True, slots=True, eq=False)
class PropagationResult:
    """All that is known for one plane so far.

    Parameters
    ----------
    index : int
        Index of the plane along the stack's axis.
    labels : int32 array (H, W)
        Object ids, 0 is background; where objects overlap the higher logit wins.
    object_ids : tuple of int
        The objects that have been looked for on this plane, in ascending order.
    masks : bool array (N, H, W)
        One per object, overlaps kept; empty where the object is not on the plane.
    scores : float32 array (N,)
        Predicted IoU.
    object_logits : float32 array (N,)
        Positive where the object is on the plane.
    assessments : tuple of Assessment
        One per object: how far to trust its mask here, and what speaks against it.
    """

    index: int
    labels: NDArray[np.int32]
    object_ids: tuple[int, ...]
    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]
    object_logits: NDArray[np.float32]
    assessments: tuple[Assessment, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One object on one plane; outside ``region`` it is not.

    Parameters
    ----------
    region : Region
        Window of the plane.
    logits : float32 array (region.height, region.width)
        Positive is inside.
    score, object_logit : float
        See ``PropagationResult``.
    """

    region: Region
    logits: NDArray[np.float32]
    score: float
    object_logit: float

    def window(self) -> Window | None:
        """Return the mask in its bounding box; None if it is empty."""
        return tight_window(self.logits > 0, (self.region.row, self.region.column))

    def cropped(self) -> Answer:
        """Return the part around all that is inside, which draws the same."""
        rows, columns = _extent(self.logits > 0)
        logits = self.logits[rows, columns]
        row, column = self.region.row + rows.start, self.region.column + columns.start
        return replace(self, region=Region(row, column, *logits.shape), logits=logits)

    def packed(self) -> PackedAnswer:
        """Return what is needed to draw it again, in few bytes."""
        part = self.cropped()
        inside = part.logits > 0
        values = part.logits[inside].clip(_SMALLEST, _LARGEST).astype(np.float16)
        return PackedAnswer(part.region, np.packbits(inside), values, self.score, self.object_logit)


@dataclass(frozen=True, slots=True, eq=False)
class PackedAnswer:
    """An answer in two bytes per pixel inside and one bit per pixel of its bounding box.

    Logits are rounded to half precision, which decides overlaps almost always as before; the mask
    is exact.
    """

    region: Region
    inside: NDArray[np.uint8]
    values: NDArray[np.float16]
    score: float
    object_logit: float

    def unpacked(self) -> Answer:
        """Return the answer with every pixel outside at -1."""
        count = self.region.height * self.region.width
        inside = np.unpackbits(self.inside, count=count).astype(bool).reshape(self.region.shape)
        logits = np.full(self.region.shape, -1.0, np.float32)
        logits[inside] = self.values
        return Answer(self.region, logits, self.score, self.object_logit)


_SMALLEST = float(np.finfo(np.float16).smallest_subnormal)
_LARGEST = float(np.finfo(np.float16).max)


def mask_answer(mask: NDArray[np.bool_]) -> Answer:
    """Return the answer that is exactly this mask (H, W) of the whole plane."""
    rows, columns = _extent(mask)
    logits = np.where(mask[rows, columns], _MASK_LOGIT, -_MASK_LOGIT).astype(np.float32)
    return Answer(Region(rows.start, columns.start, *logits.shape), logits, 1.0, _MASK_LOGIT)


def check_size(plane_shape: tuple[int, int]) -> None:
    """Raise CapabilityError if a result, which is an array of the plane's shape, is too large."""
    height, width = plane_shape
    if height * width > MOST_PIXELS:
        raise CapabilityError(
            f"Planes of {height} x {width} pixels are too large to be propagated as a whole; cut "
            "out the part that holds the objects, or take a coarser level (--level on the command "
            "line)."
        )


def compose(
    index: int, answers: Iterable[tuple[int, Assessed]], plane_shape: tuple[int, int]
) -> PropagationResult:
    """Draw the answers of several objects on one plane."""
    known = sorted(answers, key=lambda item: item[0])
    labels = np.zeros(plane_shape, np.int32)
    highest = np.zeros(plane_shape, np.float32)
    masks = np.zeros((len(known), *plane_shape), bool)
    for place, (object_id, one) in enumerate(known):
        answer = one.answer
        window = answer.region.slices
        np.greater(answer.logits, 0, out=masks[place][window])
        wins = answer.logits > highest[window]
        labels[window][wins] = object_id
        np.maximum(highest[window], answer.logits, out=highest[window])
    return PropagationResult(
        index,
        labels,
        tuple(object_id for object_id, _ in known),
        masks,
        np.array([one.answer.score for _, one in known], np.float32),
        np.array([one.answer.object_logit for _, one in known], np.float32),
        tuple(one.assessment for _, one in known),
    )


def _extent(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the smallest window around the pixels inside; one pixel if there is none."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return slice(0, 1), slice(0, 1)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
