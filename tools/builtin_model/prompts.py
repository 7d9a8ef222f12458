"""Prompts made while training: interior clicks, corrections, rough masks.

Masks here are (N, 1, H, W) cells of 4 x 4 pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from network import BOX_END, BOX_START, NEGATIVE, POSITIVE
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

CELL = 4


def depth_inside(mask: Tensor, steps: int = 6) -> Tensor:
    """Count the erosions that each cell of a boolean mask survives; the border erodes too."""
    outside = functional.pad((~mask).float(), (1, 1, 1, 1), value=1.0)
    depth = torch.zeros_like(mask, dtype=torch.float32)
    for _ in range(steps):
        depth += 1 - outside[..., 1:-1, 1:-1]
        outside = functional.max_pool2d(outside, 3, stride=1, padding=1)
    return depth


def deepest_cell(mask: Tensor, jitter: float = 1.0) -> Tensor:
    """Pick about the most interior cell of each mask: its centre as (x, y) pixels, (N, 2)."""
    depth = depth_inside(mask)
    depth = depth + jitter * torch.rand_like(depth) * (depth > 0)
    index = depth.flatten(1).argmax(1)
    width = mask.shape[-1]
    return torch.stack([index % width, index // width], 1) * CELL + (CELL - 1) / 2


def first_clicks(pixels: Tensor, target: Tensor) -> Tensor:
    """Use the given random pixel for half of the objects and an interior one for the others."""
    mask = target > 0.5
    interior = deepest_cell(mask)
    use = (torch.rand(len(target), device=target.device) < 0.5) & mask.flatten(1).any(1)
    return torch.where(use[:, None], interior, pixels)


def click_prompt(points: Tensor) -> tuple[Tensor, Tensor]:
    """One positive point per object: (N, 1, 2) and (N, 1)."""
    return points[:, None], torch.full((len(points), 1), POSITIVE, device=points.device)


def box_prompt(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Two corner points per object: (N, 2, 2) and (N, 2)."""
    labels = torch.tensor([BOX_START, BOX_END], device=boxes.device)
    return boxes.view(-1, 2, 2), labels.expand(len(boxes), 2)


def add_correction(
    points: Tensor, labels: Tensor, logits: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Append one click in the middle of the largest mistake.

    Parameters
    ----------
    points, labels
        The prompts so far, (N, P, 2) and (N, P).
    logits
        The mask that they gave, (N, 1, H, W).
    target
        The truth, same shape.

    Returns
    -------
    tuple
        Points and labels with one more column; a click on the object where nothing is wrong.
    """
    mask, truth = logits > 0, target > 0.5
    missed, extra = truth & ~mask, mask & ~truth
    negative = depth_inside(extra).flatten(1).amax(1) > depth_inside(missed).flatten(1).amax(1)
    wrong = torch.where(negative[:, None, None, None], extra, missed)
    flawless = ~wrong.flatten(1).any(1)
    wrong = torch.where(flawless[:, None, None, None], truth, wrong)
    click = deepest_cell(wrong)
    label = torch.where(negative & ~flawless, NEGATIVE, POSITIVE)
    return (
        torch.cat([points, click[:, None]], 1),
        torch.cat([labels, label[:, None].to(labels.dtype)], 1),
    )


def rough_mask(target: Tensor) -> Tensor:
    """Make logits of a careless drawing: swollen or shrunken, shifted, smoothed."""
    shift = torch.randint(-2, 3, (2,)).tolist()
    mask = torch.roll(target, shift, dims=(-2, -1))
    size = int(torch.randint(0, 2, ()).item()) * 2 + 1
    if torch.rand(()) < 0.5:
        mask = functional.max_pool2d(mask, size, 1, size // 2)
    else:
        mask = -functional.max_pool2d(-mask, size, 1, size // 2)
    mask = functional.avg_pool2d(mask, 3, 1, 1)
    scale = float(torch.empty(()).uniform_(8, 24))
    return (mask - 0.5) * scale
