"""Embeddings of 32 bits rounded to 16, for caches: half the memory, half the disk.

A network of "bf16" or "fp16" has embeddings of 16 bits already, and they stay as they are. Those of
"fp32" are rounded once, before their first use, so that masks do not depend on whether an embedding
was encoded just now or before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from napari_anysam.networks.protocol import Embedding, PromptableModel

__all__ = ["halved", "widened"]

MOST = 256
"""Tensors with larger values keep 32 bits: coordinates, which 16 would move by half a pixel."""


def halved(embedding: Embedding, model: PromptableModel) -> Embedding:
    """Round to float16 what a network of fp32 has made."""
    import torch

    def half(tensor: torch.Tensor) -> torch.Tensor:
        fits = tensor.dtype is torch.float32 and bool((tensor.abs() <= MOST).all())
        return tensor.half() if fits else tensor

    if model.precision != "fp32":
        return embedding
    tensors = {name: half(tensor) for name, tensor in embedding.tensors.items()}
    return replace(embedding, tensors=tensors)


def widened(embedding: Embedding, model: PromptableModel) -> Embedding:
    """Return an embedding of ``halved`` in the type that its network computes in."""
    import torch

    if model.precision != "fp32":
        return embedding
    tensors = {
        name: tensor.float() if tensor.dtype is torch.float16 else tensor
        for name, tensor in embedding.tensors.items()
    }
    return replace(embedding, tensors=tensors)
