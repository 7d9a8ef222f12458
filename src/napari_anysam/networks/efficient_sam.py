"""EfficientSAM: a plain ViT and a decoder of SAM's kind with other activations and sums.

It is assembled from segment-anything's modules; only the prompt encoder, which has no masks and no
negative clicks, is its own. Source: yformer/EfficientSAM (commit d525f622), ``efficient_sam/``.
What differs from SAM's decoder: GELU everywhere; one normalisation over all channels between the
two upscaling layers; queries are kept beside their self-attention in the first block too, and from
the second block on they carry their position from there on.
"""

from __future__ import annotations

import math
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from segment_anything.modeling import ImageEncoderViT, Sam
from segment_anything.modeling.prompt_encoder import PositionEmbeddingRandom
from torch import nn
from torch.nn import functional as F

from napari_anysam.networks.preprocessing import EFFICIENT_SAM
from napari_anysam.networks.protocol import Capabilities
from napari_anysam.networks.sam import SamModel
from napari_anysam.networks.sam_parts import described, fill_sam, mask_decoder, shapes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from segment_anything.modeling import MaskDecoder

    Shapes = Mapping[str, tuple[int, ...]]

__all__ = ["EfficientSamModel", "build_efficient_sam"]

# efficient_sam.py build_efficient_sam; the shapes tell neither.
_IMAGE_SIZE = 1024
_MOST_PLACES = 6
_HEAD_WIDTH = 64

# The official names of what segment-anything calls otherwise.
_NAMES = (
    (r"(image_encoder\.blocks\.\d+\.mlp)\.fc(\d)\.", r"\1.lin\2."),
    (r"(mask_decoder\.transformer\.layers\.\d+\.mlp)\.layers\.0\.0\.", r"\1.lin1."),
    (r"(mask_decoder\.transformer\.layers\.\d+\.mlp)\.fc\.", r"\1.lin2."),
    (r"(mask_decoder)\.final_output_upscaling_layers\.0\.([01])\.", r"\1.output_upscaling.\2."),
    (r"(mask_decoder)\.final_output_upscaling_layers\.1\.0\.", r"\1.output_upscaling.3."),
    (r"(mask_decoder\.output_hypernetworks_mlps\.\d+\.layers\.\d)\.0\.", r"\1."),
    (r"(mask_decoder\.output_hypernetworks_mlps\.\d+)\.fc\.", r"\1.layers.2."),
    (r"(mask_decoder\.iou_prediction_head\.layers\.\d)\.0\.", r"\1."),
    (r"(mask_decoder\.iou_prediction_head)\.fc\.", r"\1.layers.2."),
)


class EfficientSamModel(SamModel):
    """EfficientSAM behind ``PromptableModel``; see ``SamModel``."""

    family = "efficient_sam"
    always_multimask = True


def build_efficient_sam(
    tensors: Mapping[str, torch.Tensor],
    *,
    name: str,
    key: str,
    device: torch.device,
    precision: str,
) -> EfficientSamModel:
    """Build the network that the tensors' shapes describe, and fill it with them.

    Parameters
    ----------
    tensors : mapping of str to tensor
        A complete EfficientSAM state dict with its official names.
    name, key, device, precision
        See ``build_sam``.

    Raises
    ------
    CheckpointError
        If a tensor is missing, unexpected or of another shape.
    """
    tensors = _translated(tensors)
    with described(name, "EfficientSAM"):
        network = _network(shapes_of(tensors))
    fill_sam(network, tensors, name, device)
    return EfficientSamModel(
        network,
        name=name,
        key=key,
        precision=precision,
        preprocessing=EFFICIENT_SAM,
        capabilities=Capabilities(masks=False, negative_points=False, most_places=_MOST_PLACES),
    )


def _translated(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give tensors segment-anything's names, and the positions its grid."""
    renamed = {_renamed(name): tensor for name, tensor in tensors.items()}
    positions = renamed.get("image_encoder.pos_embed")
    if positions is not None and positions.ndim == 3:
        patch = renamed["image_encoder.patch_embed.proj.weight"].shape[-1]
        renamed["image_encoder.pos_embed"] = _on_grid(positions, _IMAGE_SIZE // patch)
    return renamed


def _renamed(name: str) -> str:
    for official, ours in _NAMES:
        name = re.sub(f"^{official}", ours, name)
    return name


def _on_grid(positions: torch.Tensor, side: int) -> torch.Tensor:
    """Bring (1, 1 + n * n, C) to (1, side, side, C), without the class token: get_abs_pos."""
    before = math.isqrt(positions.shape[1] - 1)
    if before * before != positions.shape[1] - 1:
        return positions  # no grid: told as a tensor of a wrong shape
    grid = positions[:, 1:].float().reshape(1, before, before, -1).permute(0, 3, 1, 2)
    if before != side:
        grid = F.interpolate(grid, (side, side), mode="bicubic", align_corners=False)
    return grid.permute(0, 2, 3, 1)


def _network(shapes: Shapes) -> Sam:
    """Build the network of such tensors, under segment-anything's names."""
    width = shapes["image_encoder.neck.0.weight"][0]
    encoder = _encoder(shapes, width)
    grid = _IMAGE_SIZE // encoder.patch_embed.proj.kernel_size[0]
    return Sam(encoder, PromptEncoder(width, grid), _decoder(shapes, width))


def _encoder(shapes: Shapes, out_width: int) -> ImageEncoderViT:
    width, _, patch, _ = shapes["image_encoder.patch_embed.proj.weight"]
    encoder = ImageEncoderViT(
        img_size=_IMAGE_SIZE,
        patch_size=patch,
        embed_dim=width,
        depth=sum(name.endswith(".attn.qkv.weight") for name in shapes),
        num_heads=width // _HEAD_WIDTH,
        mlp_ratio=shapes["image_encoder.blocks.0.mlp.lin1.weight"][0] / width,
        out_chans=out_width,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )
    for block in encoder.blocks:
        block.attn = FusedAttention(block.attn)
    return encoder


def _decoder(shapes: Shapes, width: int) -> MaskDecoder:
    decoder = mask_decoder(shapes, activation=nn.GELU)
    decoder.output_upscaling[1] = nn.GroupNorm(1, width // 4)
    decoder.iou_prediction_head = GeluMlp(decoder.iou_prediction_head.layers)
    heads = decoder.output_hypernetworks_mlps
    decoder.output_hypernetworks_mlps = nn.ModuleList(GeluMlp(head.layers) for head in heads)
    for number, block in enumerate(decoder.transformer.layers):
        # So built, a block neither adds positions to its queries nor keeps them: the hooks do.
        block.skip_first_layer_pe = True
        block.self_attn.register_forward_hook(_keep_queries, with_kwargs=True)
        if number:
            block.register_forward_pre_hook(_place_queries, with_kwargs=True)
    return decoder


def _keep_queries(
    _attention: nn.Module, _inputs: Any, named: dict[str, Any], output: torch.Tensor
) -> torch.Tensor:
    kept: torch.Tensor = named["q"] + output
    return kept


def _place_queries(
    _block: nn.Module, inputs: Any, named: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    return inputs, {**named, "queries": named["queries"] + named["query_pe"]}


class FusedAttention(nn.Module):
    """segment-anything's attention without relative positions, in one kernel.

    Every block attends to all 4096 places; written out, the weights of one take 200 MB and, on a
    CPU, more than twice the time.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.qkv, self.proj = attention.qkv, attention.proj
        self._heads = attention.num_heads

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (B, H, W, C) for (B, H, W, C)."""
        batch, height, width, _ = tokens.shape
        split = self.qkv(tokens).reshape(batch, height * width, 3, self._heads, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        read = F.scaled_dot_product_attention(query, key, value)
        attended: torch.Tensor = self.proj(read.transpose(1, 2).reshape(tokens.shape))
        return attended


class GeluMlp(nn.Module):
    """The linear layers of segment-anything's MLP with GELU between them."""

    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return (..., n) for (..., m)."""
        for layer in self.layers[:-1]:
            values = F.gelu(layer(values))
        last: torch.Tensor = self.layers[-1](values)
        return last


class PromptEncoder(nn.Module):
    """Clicks and corners of boxes as six tokens: efficient_sam_decoder.py PromptEncoder.

    It answers as segment-anything's does, so that ``SamModel`` can use either.

    Parameters
    ----------
    width : int
        Channels of a token.
    grid : int
        Side of the image's features.
    """

    def __init__(self, width: int, grid: int) -> None:
        super().__init__()
        self.pe_layer = PositionEmbeddingRandom(width // 2)
        self.invalid_points = nn.Embedding(1, width)
        self.point_embeddings = nn.Embedding(1, width)
        self.bbox_top_left_embeddings = nn.Embedding(1, width)
        self.bbox_bottom_right_embeddings = nn.Embedding(1, width)
        self.mask_input_size = (4 * grid, 4 * grid)
        self._grid = grid

    def get_dense_pe(self) -> torch.Tensor:
        """Positional encoding (1, C, h, w) of the image's features."""
        encoded: torch.Tensor = self.pe_layer((self._grid, self._grid))[None]
        return encoded

    def forward(
        self,
        points: tuple[torch.Tensor, torch.Tensor] | None,
        boxes: torch.Tensor | None,
        masks: None,  # noqa: ARG002 - part of the interface
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return tokens (B, 6, C) and what is added to the image's features: nothing.

        Parameters
        ----------
        points : (tensor (B, N, 2), tensor (B, N)) or None
            As (x, y) in the square input, and labels, all 1.
        boxes : tensor (B, 4) or None
            As (x0, y0, x1, y1).
        masks : None
            It has no masks.
        """
        places = [] if boxes is None else [boxes.reshape(-1, 2, 2)]
        kinds = [] if boxes is None else [self.bbox_top_left_embeddings.weight]
        kinds += [] if boxes is None else [self.bbox_bottom_right_embeddings.weight]
        if points is not None:
            places.append(points[0])
            kinds += [self.point_embeddings.weight] * points[0].shape[1]
        given = torch.cat(places, dim=1)
        missing = _MOST_PLACES - given.shape[1]
        filled = F.pad(given, (0, 0, 0, missing), value=-1.0)
        embedded = torch.cat(kinds + [self.invalid_points.weight] * missing)
        encoded = self.pe_layer.forward_with_coords(filled + 0.5, (_IMAGE_SIZE, _IMAGE_SIZE))
        return encoded + embedded, given.new_zeros(1, 1, 1, 1)
