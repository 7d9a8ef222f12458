"""Prompts in pixels of an encoded image, brought to the input frame of a SAM 2 network.

As the official predictors do it: (row, column) becomes (x, y), coordinates scale with the image
(``x * size / width``; the prompt encoder adds the half pixel), a box is two points with labels 2
and 3 put before the clicks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_anysam.segmentation.prompts import Prompt

__all__ = ["Layout", "layout_of", "mask_tensor", "point_tensors"]

Layout = tuple[int, bool]
"""Number of points (a box counts as two) and whether there is a mask."""


def layout_of(prompt: Prompt) -> Layout:
    """Return what must be equal for prompts to share a batch."""
    return len(prompt.points) + 2 * (prompt.box is not None), prompt.mask is not None


def point_tensors(
    prompts: Sequence[Prompt],
    image_shapes: Sequence[tuple[int, int]],
    size: int,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return coordinates (B, P, 2) in (x, y) and int32 labels (B, P); None without any point.

    Parameters
    ----------
    prompts : sequence of Prompt
        Of one layout.
    image_shapes : sequence of (H, W)
        Pixels of the encoded image, or of one for each prompt.
    size : int
        Side of the network's input.
    device : torch.device
        Where the tensors go.
    """
    if layout_of(prompts[0])[0] == 0:
        return None
    coordinates = torch.tensor([_corners(prompt) for prompt in prompts], dtype=torch.float32)
    sides = torch.tensor(image_shapes, dtype=torch.float32).flip(-1)[:, None]
    coordinates = coordinates / sides * size
    labels = torch.tensor([_labels(prompt) for prompt in prompts], dtype=torch.int32)
    return coordinates.to(device), labels.to(device)


def mask_tensor(prompts: Sequence[Prompt], size: int, device: torch.device) -> torch.Tensor | None:
    """Return masks (B, 1, size, size) in {0, 1}; None where the prompts have none.

    Resized as ``SAM2VideoPredictor.add_new_mask`` does: antialiased, then cut at one half.
    """
    masks = [prompt.mask for prompt in prompts if prompt.mask is not None]
    if not masks:
        return None
    stacked = torch.stack([torch.from_numpy(mask.copy()) for mask in masks])[:, None].float()
    stacked = stacked.to(device)
    if stacked.shape[-2:] == (size, size):
        return stacked
    resized = F.interpolate(
        stacked, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )
    return (resized >= 0.5).float()


def _corners(prompt: Prompt) -> list[tuple[float, float]]:
    corners: list[tuple[float, float]] = []
    if prompt.box is not None:
        y0, x0, y1, x1 = prompt.box
        corners = [(x0, y0), (x1, y1)]
    return corners + [(x, y) for y, x in prompt.points]


def _labels(prompt: Prompt) -> list[int]:
    corners = [] if prompt.box is None else [2, 3]
    return corners + [int(positive) for positive in prompt.polarity]
