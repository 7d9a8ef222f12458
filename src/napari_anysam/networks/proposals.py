"""Proposals of a YOLO segmentation network: boxes with a confidence, and how to draw their masks.

A network of this kind answers with a box, a confidence and 32 coefficients at every place of its
grids, and with 32 prototypes for the whole image. A mask is the sum of the prototypes, weighed by
the coefficients, inside its box (Bolya et al., YOLACT, 2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F
from torchvision.ops import box_convert, nms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_anysam.networks.letterbox import Letterbox

__all__ = ["OUTSIDE", "Proposals", "most_confident"]

OUTSIDE = -10.0
"""The logit of what lies outside a proposal's box."""

# ultralytics cfg/default.yaml max_det
_MOST_PROPOSALS = 300

# What masks of a batch may hold together: 64 MB in float32, and twice that while they are made.
_PIXELS_AT_ONCE = 16_000_000


def most_confident(predictions: torch.Tensor, conf: float, iou: float) -> dict[str, torch.Tensor]:
    """Keep confident predictions, and of those that overlap the most confident one.

    Parameters
    ----------
    predictions : tensor (5 + M, A)
        For every place centre, width and height of a box (x, y, w, h) in pixels of the input,
        confidence and M coefficients.
    conf, iou : float
        See ``ProposalOptions``.

    Returns
    -------
    dict
        "boxes" (1, N, 4) as (x0, y0, x1, y1), "scores" (1, N) and "coefficients" (1, N, M); the
        most confident first, N at most 300.
    """
    boxes, scores, coefficients = torch.split(predictions.T, [4, 1, len(predictions) - 5], dim=1)
    confident = scores[:, 0] > conf
    boxes = box_convert(boxes[confident], "cxcywh", "xyxy")
    kept = nms(boxes, scores[confident, 0], iou)[:_MOST_PROPOSALS]
    return {
        "boxes": boxes[None, kept],
        "scores": scores[None, confident, 0][:, kept],
        "coefficients": coefficients[None, confident][:, kept],
    }


@dataclass(frozen=True, slots=True, eq=False)
class Proposals:
    """The proposals for one image.

    Parameters
    ----------
    boxes : tensor (N, 4)
        (x0, y0, x1, y1) in pixels of the input.
    scores : tensor (N,)
        Confidences.
    coefficients : tensor (N, M)
        Weights of the prototypes.
    prototypes : tensor (M, h, w)
        At a quarter of the input's resolution.
    letterbox : Letterbox
        How the image lies in the input.
    native : bool
        Whether masks are drawn at the resolution of the image, or of the input.
    """

    boxes: torch.Tensor
    scores: torch.Tensor
    coefficients: torch.Tensor
    prototypes: torch.Tensor
    letterbox: Letterbox
    native: bool

    @property
    def frame(self) -> tuple[int, int]:
        """Pixels (h, w) of the masks."""
        return self.letterbox.image_shape if self.native else self.letterbox.input_shape

    @property
    def image_boxes(self) -> torch.Tensor:
        """Boxes (N, 4) as (x0, y0, x1, y1) in pixels of the image."""
        return self.letterbox.image_boxes(self.boxes)

    def logits(self, numbers: torch.Tensor) -> torch.Tensor:
        """Draw some proposals, at least one: logits (n, h, w); ultralytics ``utils/ops.py``."""
        coarse = torch.einsum("nm,mhw->nhw", self.coefficients[numbers], self.prototypes)[None]
        if self.native:
            fine = self.letterbox.to_image(coarse)[0]
            return _cropped(fine, self.image_boxes[numbers])
        fine = F.interpolate(coarse, self.frame, mode="bilinear")[0]
        return _cropped(fine, self.boxes[numbers])

    def masks(self, numbers: torch.Tensor) -> torch.Tensor:
        """Draw some proposals, at least one, in pixels of the image: bool (n, H, W).

        Masks of the input's resolution are scaled as ``FastSAMPredictor.prompt`` does it.
        """
        masks = self.logits(numbers) > 0
        return masks if self.native else self.letterbox.to_image(masks[None].float())[0] > 0.5

    def union(self, numbers: torch.Tensor) -> torch.Tensor:
        """Draw some proposals, at least one, as one object: logits (h, w)."""
        return torch.stack([self.logits(part).amax(0) for part in self.batches(numbers)]).amax(0)

    def batches(self, numbers: torch.Tensor) -> Iterator[torch.Tensor]:
        """Split proposals into as many as may be drawn at once; none give no batch."""
        pixels = max(math.prod(self.frame), math.prod(self.letterbox.image_shape))
        if len(numbers):
            yield from torch.split(numbers, max(1, _PIXELS_AT_ONCE // pixels))


def _cropped(logits: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Leave logits (n, h, w) inside boxes (n, 4) as they are; a pixel counts by its upper left."""
    left, top, right, bottom = boxes[:, :, None, None].unbind(1)
    rows = torch.arange(logits.shape[1], device=logits.device)[None, :, None]
    columns = torch.arange(logits.shape[2], device=logits.device)[None, None]
    inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    return logits.masked_fill(~inside, OUTSIDE)
