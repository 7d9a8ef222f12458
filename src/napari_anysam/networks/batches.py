"""Batches put together and taken apart: answers to parts of one, embeddings of several planes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_anysam.networks.protocol import Embedding, Masks
from napari_anysam.networks.tracking_protocol import Tracked

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["embedding_rows", "join_embeddings", "join_masks", "join_tracked"]


def join_embeddings(embeddings: Sequence[Embedding]) -> Embedding:
    """Join embeddings into one whose rows are theirs, on the device of the last one.

    Parameters
    ----------
    embeddings : sequence of Embedding
        One per object, of one network and of images of one shape. Where all are the same one, that
        one serves all objects, and is returned as it is.
    """
    last = embeddings[-1]
    if all(one is last for one in embeddings):
        return last
    device = next(iter(last.tensors.values())).device
    tensors = {
        name: torch.cat([one.tensors[name].to(device) for one in embeddings])
        for name in last.tensors
    }
    return Embedding(tensors, last.image_shape, last.model_key)


def embedding_rows(embedding: Embedding, rows: slice | Sequence[int]) -> Embedding:
    """Return the embedding of some objects of a batch; one embedding for all stays as it is."""
    if all(len(tensor) == 1 for tensor in embedding.tensors.values()):
        return embedding
    chosen = rows if isinstance(rows, slice) else list(rows)
    tensors = {name: tensor[chosen] for name, tensor in embedding.tensors.items()}
    return Embedding(tensors, embedding.image_shape, embedding.model_key)


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
