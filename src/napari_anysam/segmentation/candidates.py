"""Candidate masks, and which of them answers best.

A prompt that was looked at in several regions has answers at several scales. They compete by
predicted IoU and by how sharply their outline is drawn; where they are even, the closer view wins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_anysam.segmentation.regions import Region

__all__ = ["NEVER", "Candidate", "Prediction", "distinct", "rank"]

NEVER = -1024.0
"""Logit of pixels that cannot be inside, such as those outside a lasso; SAM 2 says "no object" so
(``NO_OBJ_SCORE`` in sam2/modeling/sam2_base.py)."""

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
    logits : float32 array (region.height, region.width)
        Positive is inside; `NEVER` outside the prompt's lasso.
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
        """Return the mask in the region's window."""
        return self.logits > threshold


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
    """Return the IoU of two candidates in plane pixels."""
    first, second = one.mask(), other.mask()
    here, there = one.region.overlap(other.region)
    shared = int((first[here] & second[there]).sum())
    union = int(first.sum()) + int(second.sum()) - shared
    return shared / union if union else 1.0


def distinct(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Leave out candidates that say the same as an earlier one."""
    kept: list[Candidate] = []
    for candidate in candidates:
        if all(_iou(candidate, other) < SAME_OBJECT for other in kept):
            kept.append(candidate)
    return tuple(kept)
