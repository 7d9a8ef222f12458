"""Answers on one plane, put together into what the caller gets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.segmentation.regions import Region
from napari_anysam.segmentation.windows import tight_window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_anysam.segmentation.confidence import Assessment
    from napari_anysam.segmentation.tracking_merge import Assessed
    from napari_anysam.segmentation.windows import Window

__all__ = ["Answer", "PackedAnswer", "PropagationResult", "compose", "mask_answer"]

_MASK_LOGIT = 10.0


@dataclass(frozen=True, eq=False)
class PropagationResult:
    """All that is known for one plane so far.

    Objects are held in their bounding boxes, whatever the size of the plane; ``labels`` and
    ``masks`` are made of these when they are asked for.

    Parameters
    ----------
    index : int
        Index of the plane along the stack's axis.
    plane_shape : (H, W)
        Pixels of the plane.
    object_ids : tuple of int
        The objects that have been looked for on this plane, in ascending order.
    windows : tuple of Window or None
        One per object, overlaps kept; None where the object is not on the plane.
    shown : tuple of Window or None
        The same without the pixels at which another object's logit is higher.
    scores : float32 array (N,)
        Predicted IoU.
    object_logits : float32 array (N,)
        Positive where the object is on the plane.
    assessments : tuple of Assessment
        One per object: how far to trust its mask here, and what speaks against it.
    """

    index: int
    plane_shape: tuple[int, int]
    object_ids: tuple[int, ...]
    windows: tuple[Window | None, ...]
    shown: tuple[Window | None, ...]
    scores: NDArray[np.float32]
    object_logits: NDArray[np.float32]
    assessments: tuple[Assessment, ...]

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """Object ids, int32 (H, W), 0 is background; the higher logit wins."""
        height, width = self.plane_shape
        return self.labels_in(slice(0, height), slice(0, width))

    @cached_property
    def masks(self) -> NDArray[np.bool_]:
        """One mask per object, bool (N, H, W), overlaps kept; empty where it is not."""
        masks = np.zeros((len(self.windows), *self.plane_shape), bool)
        for mask, window in zip(masks, self.windows, strict=True):
            if window is not None:
                mask[window.slices] = window.mask
        return masks

    def labels_in(self, rows: slice, columns: slice) -> NDArray[np.int32]:
        """Return a part of ``labels``, int32 (h, w), without making the others.

        Parameters
        ----------
        rows, columns : slice
            With start and stop, inside the plane.
        """
        part = Region(
            rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start
        )
        labels = np.zeros(part.shape, np.int32)
        for object_id, window in zip(self.object_ids, self.shown, strict=True):
            if window is not None:
                here, (own_rows, own_columns) = part.overlap(Region(*window.origin, *window.shape))
                inside = window.rows(own_rows.start, own_rows.stop)[:, own_columns]
                labels[here][inside] = object_id
        return labels


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
        if (rows.stop - rows.start, columns.stop - columns.start) == self.region.shape:
            return self
        logits = self.logits[rows, columns].copy()  # a view would hold the whole
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


def compose(
    index: int, answers: Iterable[tuple[int, Assessed]], plane_shape: tuple[int, int]
) -> PropagationResult:
    """Put the answers of several objects on one plane together."""
    known = sorted(answers, key=lambda item: item[0])
    found = [one.answer.cropped() for _, one in known]
    windows = tuple(answer.window() for answer in found)
    return PropagationResult(
        index,
        plane_shape,
        tuple(object_id for object_id, _ in known),
        windows,
        tuple(_shown(found, windows)),
        np.array([one.answer.score for _, one in known], np.float32),
        np.array([one.answer.object_logit for _, one in known], np.float32),
        tuple(one.assessment for _, one in known),
    )


def _shown(answers: Sequence[Answer], windows: Sequence[Window | None]) -> Iterator[Window | None]:
    """Yield what is left of each mask where the highest logit wins, of equal ones the first."""
    present = [place for place, window in enumerate(windows) if window is not None]
    rivals = _touching([answers[place].region for place in present])
    others = {
        place: [present[one] for one in near] for place, near in zip(present, rivals, strict=True)
    }
    for place, window in enumerate(windows):
        if not others.get(place):
            yield window
            continue
        own = answers[place]
        wins = own.logits > 0
        for other in others[place]:
            here, there = own.region.overlap(answers[other].region)
            mine, theirs = own.logits[here], answers[other].logits[there]
            wins[here] &= mine >= theirs if place < other else mine > theirs
        yield tight_window(wins, (own.region.row, own.region.column))


def _touching(regions: Sequence[Region]) -> Iterator[list[int]]:
    """Yield for each region the places of the others that share pixels with it."""
    boxes = np.array([(one.row, one.column, *one.shape) for one in regions]).reshape(-1, 4)
    starts, ends = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    for place in range(len(boxes)):
        near = ((starts < ends[place]) & (starts[place] < ends)).all(axis=1)
        near[place] = False
        yield np.flatnonzero(near).tolist()


def _extent(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the smallest window around the pixels inside; one pixel if there is none."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return slice(0, 1), slice(0, 1)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
