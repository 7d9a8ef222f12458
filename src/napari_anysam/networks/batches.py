"""Answers to parts of a batch, joined into one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_anysam.networks.protocol import Masks
from napari_anysam.networks.tracking_protocol import Tracked

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["join_masks", "join_tracked"]


def join_masks(answers: Sequence[Masks]) -> Masks:
    """Join answers into one batch, on the device of the last one.

    Where some objects have three candidates and others one, the one is repeated.
    """
    if len(answers) == 1:
        return answers[0]
    device = answers[-1].logits.device
    count = max(answer.scores.shape[1] for answer in answers)
    wide = [_widened(answer, count) for answer in answers]
    objects = [one.object_logits.to(device) for one in wide if one.object_logits is not None]
    return Masks(
        torch.cat([answer.logits.to(device) for answer in wide]),
        torch.cat([answer.scores.to(device) for answer in wide]),
        torch.cat(objects) if objects else None,
    )


def join_tracked(answers: Sequence[Tracked]) -> Tracked:
    """Join answers into one batch, on the device of the last one."""
    if len(answers) == 1:
        return answers[0]
    device = answers[-1].logits.device
    return Tracked(
        torch.cat([answer.logits.to(device) for answer in answers]),
        torch.cat([answer.scores.to(device) for answer in answers]),
        torch.cat([answer.object_logits.to(device) for answer in answers]),
        torch.cat([answer.pointers.to(device) for answer in answers]),
    )


def _widened(answer: Masks, count: int) -> Masks:
    """Repeat a single candidate where others of the batch have several."""
    if answer.scores.shape[1] == count:
        return answer
    return Masks(
        answer.logits.expand(-1, count, -1, -1),
        answer.scores.expand(-1, count),
        answer.object_logits,
    )
