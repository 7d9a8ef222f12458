"""What the training minimises.

SAM's focal and dice losses alone leave a network that starts from nothing at empty masks. Class
balance, and the two auxiliary losses on the encoder's and the decoder's features, get it going.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from network import Features
    from torch import Tensor

LOGIT_LIMIT = 30.0  # a gated mask is -1024 everywhere


def balanced_cross_entropy(logits: Tensor, target: Tensor, balance: float = 1.0) -> Tensor:
    """Cross-entropy whose foreground weighs as much as its background.

    Parameters
    ----------
    logits, target
        (..., H, W), the target between 0 and 1.
    balance
        1 for equal weights of both classes, 0 for equal weights of all pixels.

    Returns
    -------
    Tensor
        One value per mask.
    """
    loss = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    share = target.mean((-2, -1), keepdim=True).clamp(1e-3, 1 - 1e-3)
    weight = target * (0.5 / share) ** balance + (1 - target) * (0.5 / (1 - share)) ** balance
    return (loss * weight).mean((-2, -1)) / weight.mean((-2, -1))


def dice(logits: Tensor, target: Tensor) -> Tensor:
    """Return 1 - soft Dice, one value per mask."""
    probability = logits.sigmoid()
    overlap = (probability * target).sum((-2, -1))
    return 1 - (2 * overlap + 1) / ((probability + target).sum((-2, -1)) + 1)


def mask_loss(logits: Tensor, target: Tensor, balance: float) -> Tensor:
    """Add cross-entropy and Dice; `target` broadcasts over candidates. One value per mask."""
    logits = logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
    target = target.expand_as(logits)
    return balanced_cross_entropy(logits, target, balance) + dice(logits, target)


def intersection_over_union(
    logits: Tensor, target: Tensor, outside: Tensor | None = None
) -> Tensor:
    """IoU of the thresholded masks, one value per mask.

    Parameters
    ----------
    logits, target
        (N, M, H, W) and (N, 1, H, W).
    outside
        Area of each object beyond the region, (N,) in cells; None if all of it lies inside.
    """
    mask, truth = logits > 0, target > 0.5
    union = (mask | truth).sum((-2, -1)).clamp(min=1)
    if outside is not None:
        union = union + outside[:, None]
    return (mask & truth).sum((-2, -1)) / union


def candidates_loss(
    logits: Tensor, iou: Tensor, target: Tensor, balance: float,
    *, weight: Tensor | None = None, outside: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Train the single-mask token, the best of the others, and the predicted IoU of all.

    Parameters
    ----------
    logits
        (N, M, H, W); with M = 4 the first is the single-mask token.
    iou
        Predicted IoU, (N, M).
    target
        (N, 1, H, W).
    balance
        See `balanced_cross_entropy`.
    weight
        (N,), 0 for rows that do not count; None for all alike.
    outside
        See `intersection_over_union`: a mask that the region cuts off shall be predicted to be
        incomplete, so that regions of different size compete fairly for a click.

    Returns
    -------
    Tensor
        The mean over rows.
    """
    masks = mask_loss(logits, target, balance)
    true_iou = intersection_over_union(logits.detach(), target, outside)
    agreement = functional.mse_loss(iou, true_iou, reduction="none").mean(1)
    several = masks[:, -3:].min(1).values if masks.shape[1] >= 3 else 0.0
    single = masks[:, 0] if masks.shape[1] != 3 else 0.0
    total = single + several + agreement
    if weight is None:
        return total.mean()
    return (total * weight).sum() / weight.sum().clamp(min=1)


class FeatureAffinity(nn.Module):
    """Auxiliary loss: a clicked pixel's feature resembles its object's pixels and no others.

    The projections exist only while training.
    """

    def __init__(self, channels: tuple[int, int, int] = (128, 32, 16), width: int = 32) -> None:
        super().__init__()
        self.projections = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.scale = nn.Parameter(torch.tensor(8.0))
        self.bias = nn.Parameter(torch.tensor(-4.0))

    def forward(self, features: Features, index: Tensor, points: Tensor, target: Tensor) -> Tensor:
        """Return the loss of N clicks.

        Parameters
        ----------
        features
            Encoded planes.
        index
            Plane of every click, (N,).
        points
            (N, 2) as (x, y) in cells of the finest level.
        target
            (N, 1, H, W) at the finest level.
        """
        size = features.fine.shape[-2:]
        dense = sum(
            functional.interpolate(project(level), size=size, mode="bilinear")
            for project, level in zip(self.projections, features, strict=True)
        )
        dense = functional.normalize(dense, dim=1)
        columns, rows = points.long().clamp(0, size[0] - 1).unbind(1)
        clicked = dense[index, :, rows, columns]
        similarity = torch.einsum("nc,nchw->nhw", clicked, dense[index])
        return balanced_cross_entropy(self.scale * similarity + self.bias, target[:, 0]).mean()


class DecoderSupervision(nn.Module):
    """Auxiliary loss: fixed linear heads read the object off the mask decoder's image side.

    SAM's masks are products of a token and the image side. At first neither knows of the prompt, so
    that neither has a slope to follow: training stays for a long time at the mask that fits all
    prompts. A head that does not depend on the prompt gives the image side a slope at once. The
    heads exist only while training.

    Parameters
    ----------
    decoder
        The mask decoder to listen to.
    channels
        Channels after its transformer, and after its upscaling.
    """

    def __init__(self, decoder: nn.Module, channels: tuple[int, int] = (128, 16)) -> None:
        super().__init__()
        self.coarse = nn.Linear(channels[0], 1)
        self.fine = nn.Conv2d(channels[1], 1, 1)
        self._heard: dict[str, Tensor] = {}
        decoder.transformer.register_forward_hook(self._hear_transformer)
        decoder.output_upscaling[-1].register_forward_hook(self._hear_upscaling)

    def _hear_transformer(self, _module: nn.Module, _inputs: object, output: object) -> None:
        self._heard["coarse"] = output[1]

    def _hear_upscaling(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self._heard["fine"] = output

    def forward(self, target: Tensor) -> Tensor:
        """Return the loss of the decoder's latest run; `target` is (N, 1, H, W)."""
        side = target.shape[-1] // 4
        coarse = self.coarse(self._heard.pop("coarse").float()).mT.reshape(-1, 1, side, side)
        fine = self.fine(self._heard.pop("fine").float())
        small = functional.avg_pool2d(target, 4)
        return mask_loss(coarse, small, 1.0).mean() + mask_loss(fine, target, 1.0).mean()
