"""MobileSAM, and the micro-sam models of its kind: SAM with TinyViT as its image encoder.

Everything but the encoder is SAM's (``mobile_sam/build_sam.py`` ``build_sam_vit_t``), the
prediction too: ``mobile_sam/predictor.py`` is ``segment_anything``'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_anysam.networks.sam import SamModel
from napari_anysam.networks.sam_parts import (
    assemble,
    described,
    fill_sam,
    mask_decoder,
    shapes_of,
)
from napari_anysam.networks.tiny_vit import file_name, tiny_vit_encoder, without_head

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from segment_anything.modeling import Sam

__all__ = ["MobileSamModel", "build_mobile_sam", "tiny_vit_sam"]


class MobileSamModel(SamModel):
    """MobileSAM behind ``PromptableModel``."""

    family = "mobile_sam"


def build_mobile_sam(
    tensors: Mapping[str, torch.Tensor],
    *,
    name: str,
    key: str,
    device: torch.device,
    precision: str,
) -> MobileSamModel:
    """Build the network that the tensors' shapes describe, and fill it with them.

    Parameters
    ----------
    tensors : mapping of str to tensor
        A complete state dict in the official layout; TinyViT's classifier may be missing.
    name, key, device, precision
        See ``build_sam``.

    Raises
    ------
    CheckpointError
        If a tensor is missing, unexpected or of another shape.
    """
    network = tiny_vit_sam(tensors, name, device)
    return MobileSamModel(network, name=name, key=key, precision=precision)


def tiny_vit_sam(tensors: Mapping[str, torch.Tensor], name: str, device: torch.device) -> Sam:
    """Build and fill a SAM whose image encoder is a TinyViT; see ``build_mobile_sam``."""
    tensors = without_head(tensors)
    with described(name, "MobileSAM"):
        shapes = shapes_of(tensors)
        network = assemble(shapes, tiny_vit_encoder(shapes), mask_decoder(shapes))
    fill_sam(network, tensors, name, device, file_name=file_name)
    return network
