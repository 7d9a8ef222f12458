"""Candidate masks, and which of them answers best.

A prompt that was looked at in several regions has answers at several scales. They compete by
predicted IoU and by how sharply their outline is drawn; where they are even, the closer view wins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.segmentation.windows import joined_window, tight_window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from napari_anysam.segmentation.regions import Region
    from napari_anysam.segmentation.windows import Window

__all__ = [
    "NEVER",
    "Candidate",
    "Prediction",
    "distinct",
    "grid_shape",
    "grid_step",
    "rank",
    "thinned_region",
]

NEVER = -1024.0
"""Logit of pixels that cannot be inside, such as those outside a lasso; SAM 2 says "no object" so
(``NO_OBJ_SCORE`` in sam2/modeling/sam2_base.py)."""

LARGEST_GRID = 2048
"""Logits of a region that is longer are kept for every second, third ... pixel."""

STRIP_PIXELS = 2**22
"""Pixels of a mask that are worked on at once."""

SAME_OBJECT = 0.8
"""Two candidates that overlap by more than this IoU are one answer."""

STABILITY_WEIGHT = 0.3
"""Weight of a mask's stability beside its predicted IoU; `benchmarks/scale_choice.py` compares."""

STABILITY_OFFSET = 1.0
"""Stability is the IoU of a mask with itself when the threshold moves by this logit."""

SCALE_PENALTY = 0.04
"""What an answer loses whenever its region is twice as large: a click means the smaller thing."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One mask that could be meant.

    Parameters
    ----------
    region : Region
        The window of the plane that was encoded.
    logits : float32 array of `grid_shape(region)`
        Positive is inside; `NEVER` outside the prompt's lasso. One for every pixel of the region,
        unless that is longer than `LARGEST_GRID`.
    score : float
        Predicted IoU.
    network_logits : float32 array (h, w)
        The same answer in the network's own frame, for refining it with further prompts.
    """

    region: Region
    logits: NDArray[np.float32]
    score: float
    network_logits: NDArray[np.float32]

    def mask(self, threshold: float = 0.0) -> NDArray[np.bool_]:
        """Return the mask in the region's window, bool (region.height, region.width)."""
        if self.logits.shape == self.region.shape:
            return self.logits > threshold
        strips = self._strips(0, self.region.height, 0, self.region.width)
        return np.concatenate([strip > threshold for strip in strips])

    def full_logits(self) -> NDArray[np.float32]:
        """Return the logits of every pixel, float32 (region.height, region.width)."""
        if self.logits.shape == self.region.shape:
            return self.logits
        return np.concatenate([*self._strips(0, self.region.height, 0, self.region.width)])

    def tight_logits(self) -> tuple[Region, NDArray[np.float32]]:
        """Return the logits in the bounding box of the mask, and where in the plane that is.

        Of an empty mask they are those of one pixel.
        """
        window = self.window()
        shape = (1, 1) if window is None else window.shape
        origin = (self.region.row, self.region.column) if window is None else window.origin
        top, left = origin[0] - self.region.row, origin[1] - self.region.column
        bottom, right = top + shape[0], left + shape[1]
        if self.logits.shape == self.region.shape:
            logits = self.logits[top:bottom, left:right].copy()
        else:
            logits = np.concatenate([*self._strips(top, bottom, left, right)])
        return replace(
            self.region, row=origin[0], column=origin[1], height=shape[0], width=shape[1]
        ), logits

    def window(self, threshold: float = 0.0) -> Window | None:
        """Return the mask in its bounding box in the plane; None if it is empty.

        No more than `STRIP_PIXELS` of it are held unpacked at once.
        """
        corner = (self.region.row, self.region.column)
        if self.logits.shape == self.region.shape:
            return tight_window(self.logits > threshold, corner)
        # Between two samples no logit is higher than at the higher one.
        rough = tight_window(self.logits > threshold)
        if rough is None:
            return None
        (top, bottom), (left, right) = (
            (
                max(0, (start - 1) * size // count),
                min(size, -(-(start + length + 1) * size // count)),
            )
            for start, length, size, count in zip(
                rough.origin, rough.shape, self.region.shape, self.logits.shape, strict=True
            )
        )
        strips = (strip > threshold for strip in self._strips(top, bottom, left, right))
        return joined_window(strips, (corner[0] + top, corner[1] + left))

    def sampled(self, step: int) -> NDArray[np.float32]:
        """Return the logits at every step-th pixel of the plane, by the one that lies nearest.

        Their shape is that of ``thinned_region(region, step)``.
        """
        if step == 1:
            return self.full_logits()
        region, grid = self.region, thinned_region(self.region, step)
        rows = grid.row * step - region.row + step * np.arange(grid.height)
        columns = grid.column * step - region.column + step * np.arange(grid.width)
        height, width = self.logits.shape
        return self.logits[np.ix_(rows * height // region.height, columns * width // region.width)]

    def _strips(
        self, top: int, bottom: int, left: int, right: int
    ) -> Iterator[NDArray[np.float32]]:
        """Interpolate a window of the region, some rows at a time."""
        height, width = self.region.shape
        columns = _between(np.arange(left, right), width, self.logits.shape[1])
        count = max(1, STRIP_PIXELS // max(1, right - left))
        for start in range(top, bottom, count):
            rows = _between(np.arange(start, min(start + count, bottom)), height, len(self.logits))
            yield _interpolated(_interpolated(self.logits, *rows).T, *columns).T


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The answer to one prompt: its candidates, the best one first."""

    object_id: int
    plane: int | None
    candidates: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate:
        """The candidate that stands first."""
        return self.candidates[0]

    def choosing(self, index: int) -> Prediction:
        """Return the same answer with another candidate put first."""
        chosen = self.candidates[index]
        others = tuple(other for other in self.candidates if other is not chosen)
        return replace(self, candidates=(chosen, *others))


def grid_step(region: Region) -> int:
    """Return how many pixels of a region one logit stands for, along each axis."""
    return math.ceil(max(region.shape) / LARGEST_GRID)


def grid_shape(region: Region) -> tuple[int, int]:
    """Return the shape in which a region's logits are kept."""
    step = grid_step(region)
    return -(-region.height // step), -(-region.width // step)


def rank(logits: NDArray[np.float32], score: float, region: Region) -> float:
    """Weigh a predicted IoU by how clear its mask is and how close the view.

    Parameters
    ----------
    logits : float32 array (h, w)
        In the network's own frame, a quarter of its input resolution.
    score : float
        Predicted IoU.
    region : Region
        What was encoded.

    Returns
    -------
    float
        Comparable between the regions of one prompt.
    """
    if not (logits > 0).any():
        return score - 2.0
    octaves = math.log2(max(region.shape))
    return score + STABILITY_WEIGHT * _stability(logits) - SCALE_PENALTY * octaves


def _stability(logits: NDArray[np.float32]) -> float:
    """Return the IoU of the masks at a higher and a lower threshold."""
    larger = np.count_nonzero(logits > -STABILITY_OFFSET)
    return np.count_nonzero(logits > STABILITY_OFFSET) / larger if larger else 0.0


def _iou(one: Candidate, other: Candidate) -> float:
    """Return the IoU of two candidates, in pixels of the plane or of the coarser logits."""
    step = max(grid_step(one.region), grid_step(other.region))
    first, second = one.sampled(step) > 0, other.sampled(step) > 0
    here, there = thinned_region(one.region, step).overlap(thinned_region(other.region, step))
    shared = int((first[here] & second[there]).sum())
    union = int(first.sum()) + int(second.sum()) - shared
    return shared / union if union else 1.0


def thinned_region(region: Region, step: int) -> Region:
    """Return a region in a plane of which only every step-th row and column is counted."""
    top, left = -(-region.row // step), -(-region.column // step)
    bottom = -(-(region.row + region.height) // step)
    right = -(-(region.column + region.width) // step)
    return replace(region, row=top, column=left, height=bottom - top, width=right - left)


def _between(
    places: NDArray[np.int64], size: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return between which two of so many samples pixels lie, and how far: pixel areas align."""
    wanted = np.clip((places + 0.5) * (count / size) - 0.5, 0, count - 1)
    lower = np.minimum(wanted.astype(np.int64), max(count - 2, 0))
    return lower, np.minimum(lower + 1, count - 1), (wanted - lower).astype(np.float32)


def _interpolated(
    values: NDArray[np.float32],
    lower: NDArray[np.int64],
    upper: NDArray[np.int64],
    weight: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Interpolate along the first axis."""
    mixed: NDArray[np.float32] = values[lower] * (1 - weight)[:, None]
    mixed += values[upper] * weight[:, None]
    return mixed


def distinct(candidates: Iterable[Candidate], most: int | None = None) -> tuple[Candidate, ...]:
    """Leave out candidates that say the same as an earlier one; take no more than are enough."""
    kept: list[Candidate] = []
    for candidate in candidates:
        if all(_iou(candidate, other) < SAME_OBJECT for other in kept):
            kept.append(candidate)
            if len(kept) == most:
                break
    return tuple(kept)
