"""Prompts that pick among proposals.

As ``fastsam/prompt.py`` of CASIA-IVA-Lab/FastSAM and ``models/fastsam/predict.py`` of ultralytics
do it: a box picks the proposal whose mask has the highest IoU with it; clicks pick those that hold
a click on the object and none beside it. There a box and clicks are prompts of their own; here they
speak of one object, so the clicks say which proposals the box picks from.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from napari_anysam.networks.proposals import Proposals
    from napari_anysam.segmentation.prompts import Box, Point, Prompt

__all__ = ["pick"]

_CANDIDATES = 3


def pick(proposals: Proposals, prompt: Prompt, multimask: bool | None = None) -> list[torch.Tensor]:
    """Choose the proposals that answer a prompt.

    Parameters
    ----------
    proposals : Proposals
        For the image.
    prompt : Prompt
        Points and box in pixels of the image. Without a box, at least one click must be on the
        object, else nothing answers.
    multimask : bool, optional
        Several candidates or one; None asks for several where the prompt is a single click.

    Returns
    -------
    list of int tensors (n,)
        For every candidate the numbers of the proposals that are it together, the best candidate
        first. Clicks that shall have one answer get all that fit; everything else is one proposal.
        Empty if none fits.
    """
    if multimask is None:
        multimask = len(prompt.points) == 1 and prompt.box is None
    fitting = _clicked(proposals, prompt)
    if prompt.box is not None:
        fitting = _nearest_to_box(proposals, fitting, prompt.box)
    elif not multimask:
        return [fitting] if len(fitting) else []
    return [number[None] for number in fitting[: _CANDIDATES if multimask else 1]]


def _clicked(proposals: Proposals, prompt: Prompt) -> torch.Tensor:
    """Return the numbers of the proposals that the clicks leave over, most confident first."""
    every = torch.arange(len(proposals.scores), device=proposals.boxes.device)
    clicks = list(zip(prompt.points, prompt.polarity, strict=True))
    on = [point for point, positive in clicks if positive]
    beside = [point for point, positive in clicks if not positive]
    if on:
        every = every[_holding(proposals, every, on)]
    elif prompt.box is None:
        return every[:0]
    return every[~_holding(proposals, every, beside)] if beside else every


def _holding(proposals: Proposals, numbers: torch.Tensor, points: list[Point]) -> torch.Tensor:
    """Tell which proposals hold one of the points: bool (n,)."""
    height, width = proposals.letterbox.image_shape
    rows, columns = (
        [min(max(math.floor(point[axis] + 0.5), 0), length - 1) for point in points]
        for axis, length in enumerate((height, width))
    )
    near = torch.stack(
        [
            _near(proposals, numbers, (y, x, y + 1, x + 1))
            for y, x in zip(rows, columns, strict=True)
        ]
    ).any(0)
    held = torch.zeros_like(near)
    for batch in proposals.batches(near.nonzero()[:, 0]):
        held[batch] = proposals.masks(numbers[batch])[:, rows, columns].any(1)
    return held


def _nearest_to_box(proposals: Proposals, numbers: torch.Tensor, box: Box) -> torch.Tensor:
    """Sort proposals by the IoU of their mask with a box, and leave out those beside it."""
    height, width = proposals.letterbox.image_shape
    y0, y1 = (min(max(round(edge), 0), height) for edge in (box[0], box[2]))
    x0, x1 = (min(max(round(edge), 0), width) for edge in (box[1], box[3]))
    numbers = numbers[_near(proposals, numbers, (y0, x0, y1, x1))]
    ious = torch.zeros(len(numbers), device=numbers.device)
    for batch in proposals.batches(torch.arange(len(numbers), device=numbers.device)):
        masks = proposals.masks(numbers[batch])
        shared = masks[:, y0:y1, x0:x1].sum((1, 2))
        ious[batch] = shared / (masks.sum((1, 2)) + (y1 - y0) * (x1 - x0) - shared)
    order = ious.argsort(descending=True, stable=True)
    return numbers[order[ious[order] > 0]]


def _near(proposals: Proposals, numbers: torch.Tensor, box: Box) -> torch.Tensor:
    """Tell which proposals may have pixels in a box (y0, x0, y1, x1), without drawing them."""
    y0, x0, y1, x1 = box
    reach = 1 + 1 / min(proposals.letterbox.scale)  # what enlarging a mask may add to it
    left, top, right, bottom = proposals.image_boxes[numbers].unbind(1)
    return (left < x1 + reach) & (right > x0 - reach) & (top < y1 + reach) & (bottom > y0 - reach)
