"""SAM-HQ: SAM with a second, finer mask that corrects the first one.

As ``segment_anything/modeling/mask_decoder_hq.py`` of SysCV/sam-hq: an output token of its own
meets features of four times the resolution, made of the image's final features and of an early
layer's.
The answer is the sum of SAM's mask and the fine one (``hq_token_only=False``, the default there).
Where several candidates are asked for, it is SAM's best of three plus the fine mask: one answer.

The fine features do not depend on prompts. They are part of the embedding, which spares keeping
the early layer's, and computing them again at every click.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from segment_anything.modeling import MaskDecoder
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.mask_decoder import MLP
from torch import nn

from napari_anysam.networks import tiny_vit
from napari_anysam.networks.device import autocast
from napari_anysam.networks.inner_output import output_of
from napari_anysam.networks.sam import SamModel
from napari_anysam.networks.sam_parts import (
    assemble,
    described,
    fill_sam,
    image_encoder,
    mask_decoder,
    shapes_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HqMaskDecoder", "SamHqModel", "build_sam_hq"]


class HqMaskDecoder(MaskDecoder):  # type: ignore[misc]
    """SAM's mask decoder with a token, features and a head for the fine mask.

    Parameters
    ----------
    early_width : int
        Channels of the early layer.
    **arguments
        Those of ``MaskDecoder``.
    """

    def __init__(self, *, early_width: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        width = self.transformer_dim
        fine = width // 8
        self.hf_token = nn.Embedding(1, width)
        self.hf_mlp = MLP(width, width, fine, 3)
        self.compress_vit_feat = _enlarging(early_width, width, fine)
        self.embedding_encoder = _enlarging(width, width // 4, fine)
        self.embedding_maskfeature = nn.Sequential(
            nn.Conv2d(fine, width // 4, 3, padding=1),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.Conv2d(width // 4, fine, 3, padding=1),
        )

    def fine_features(self, features: torch.Tensor, early: torch.Tensor) -> torch.Tensor:
        """Join an image's features (1, C, h, w) and its early layer's into (1, C / 8, 4 h, 4 w)."""
        return self.embedding_encoder(features) + self.compress_vit_feat(early)  # type: ignore[no-any-return]

    def forward(
        self,
        image_embeddings: torch.Tensor,
        image_pe: torch.Tensor,
        sparse_prompt_embeddings: torch.Tensor,
        dense_prompt_embeddings: torch.Tensor,
        multimask_output: bool,
        fine_features: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Decode prompts of B objects on one image: logits (B, 1, 4 h, 4 w) and scores (B, 1).

        Parameters are those of ``MaskDecoder.forward``, and ``fine_features`` of the image.
        """
        count = len(sparse_prompt_embeddings)
        tokens = [self.iou_token.weight, self.mask_tokens.weight, self.hf_token.weight]
        prompted = torch.cat(tokens).expand(count, -1, -1)
        prompted = torch.cat([prompted, sparse_prompt_embeddings], dim=1)
        source = image_embeddings.expand(count, -1, -1, -1) + dense_prompt_embeddings
        places = image_pe.expand(count, -1, -1, -1)
        states, found = self.transformer(source, places, prompted)
        coarse = self.output_upscaling(found.transpose(1, 2).reshape(source.shape))
        fine = self.embedding_maskfeature(coarse) + fine_features

        scores = self.iou_prediction_head(states[:, 0])
        chosen = scores[:, 1:].argmax(1) + 1 if multimask_output else scores.new_zeros(count).long()
        heads = [
            head(states[:, 1 + index]) for index, head in enumerate(self.output_hypernetworks_mlps)
        ]
        rows = torch.arange(count, device=scores.device)
        kernel = torch.stack(heads, dim=1)[rows, chosen]
        fine_kernel = self.hf_mlp(states[:, 1 + self.num_mask_tokens])
        logits = _applied(kernel, coarse) + _applied(fine_kernel, fine)
        return logits, scores[rows, chosen, None]


def _enlarging(width: int, between: int, out: int) -> nn.Sequential:
    """Build the layers that enlarge features four times."""
    return nn.Sequential(
        nn.ConvTranspose2d(width, between, kernel_size=2, stride=2),
        LayerNorm2d(between),
        nn.GELU(),
        nn.ConvTranspose2d(between, out, kernel_size=2, stride=2),
    )


def _applied(kernel: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Weigh the channels of features (B, C, h, w) by a kernel (B, C): (B, 1, h, w)."""
    count, _, height, width = features.shape
    return (kernel[:, None] @ features.flatten(2)).reshape(count, 1, height, width)


class SamHqModel(SamModel):
    """SAM-HQ behind ``PromptableModel``; it always answers with one candidate."""

    family = "sam_hq"
    multimask_candidates = 1

    def _features(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        encoder, decoder = self._network.image_encoder, self._network.mask_decoder
        layer, channels_last = _early_layer(encoder)
        with output_of(layer) as outputs:
            features = encoder(pixels)
        early = outputs[0].permute(0, 3, 1, 2) if channels_last else outputs[0]
        with autocast(self.device, "fp32"):
            fine = decoder.fine_features(features.float(), early.float())
        return {"features": features, "fine_features": fine.to(features.dtype)}


def _early_layer(encoder: Any) -> tuple[nn.Module, bool]:
    """Return the early layer, and whether its output has the channels last.

    In SAM's ViT it is the first block with global attention (``image_encoder.py``), in TinyViT what
    the second stage hands to the third (``tiny_vit_sam.py``).
    """
    if isinstance(encoder, tiny_vit.TinyVitEncoder):
        return encoder.trunk.stages[2].downsample, False
    return next(block for block in encoder.blocks if block.window_size == 0), True


def build_sam_hq(
    tensors: Mapping[str, torch.Tensor],
    *,
    name: str,
    key: str,
    device: torch.device,
    precision: str,
) -> SamHqModel:
    """Build the network that the tensors' shapes describe, and fill it with them.

    Parameters
    ----------
    tensors : mapping of str to tensor
        A complete state dict in the official layout, with SAM's ViT or with TinyViT.
    name, key, device, precision
        See ``build_sam``.

    Raises
    ------
    CheckpointError
        If a tensor is missing, unexpected or of another shape.
    """
    is_tiny = tiny_vit.is_tiny_vit(tensors)
    if is_tiny:
        tensors = tiny_vit.without_head(tensors)
    with described(name, "SAM-HQ"):
        shapes = shapes_of(tensors)
        encoder = tiny_vit.tiny_vit_encoder(shapes) if is_tiny else image_encoder(shapes)
        early_width = shapes["mask_decoder.compress_vit_feat.0.weight"][0]
        decoder = mask_decoder(shapes, HqMaskDecoder, early_width=early_width)
        network = assemble(shapes, encoder, decoder)
    fill_sam(network, tensors, name, device, file_name=tiny_vit.file_name)
    return SamHqModel(network, name=name, key=key, precision=precision)
