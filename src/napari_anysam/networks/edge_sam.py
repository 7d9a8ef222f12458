"""EdgeSAM: SAM with a RepViT as its image encoder, timm's network under SAM's neck.

As ``edge_sam/modeling/rep_vit.py`` and ``edge_sam/build_sam.py`` of chongzhou96/EdgeSAM do it: the
features of the last two resolutions are brought to one width, the coarser ones enlarged, and added.
Decoding is SAM's.

Its predicted IoU was not distilled, so its authors rank masks by their stability (README.md, and
``use_stability_score`` of ``edge_sam/predictor.py``, with an offset of 1): its scores here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.utils.amg import calculate_stability_score
from timm.models.repvit import RepVit
from torch import nn
from torch.nn import functional as F

from napari_anysam.networks.inner_output import output_of
from napari_anysam.networks.sam import SamModel
from napari_anysam.networks.sam_parts import (
    assemble,
    described,
    fill_sam,
    mask_decoder,
    shapes_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Shapes = Mapping[str, tuple[int, ...]]

__all__ = ["EdgeSamModel", "RepVitEncoder", "build_edge_sam"]

# edge_sam/build_sam.py; no tensor tells them.
_IMAGE_SIZE = 1024
_STRIDE = 16

_STABILITY_OFFSET = 1.0

# What the official code calls the parts of a block (RepViTBlock) and of a downsampling one.
_PARTS = {
    "token_mixer.": "token_mixer.0.",
    "se.": "token_mixer.1.",
    "channel_mixer.conv1.": "channel_mixer.m.0.",
    "channel_mixer.conv2.": "channel_mixer.m.2.",
    "spatial_downsample.": "token_mixer.0.",
    "channel_downsample.": "token_mixer.2.",
    "ffn.conv1.": "channel_mixer.m.0.",
    "ffn.conv2.": "channel_mixer.m.2.",
}

_PLACE = re.compile(
    r"image_encoder\.trunk\.stages\.(\d)\.(?:blocks\.(\d+)|downsample)\.(pre_block\.)?(.+)"
)


class RepVitEncoder(nn.Module):
    """A RepViT whose last two resolutions are joined under SAM's neck.

    Parameters
    ----------
    widths : sequence of int
        Channels of the stages.
    depths : sequence of int
        Blocks of the stages, those that downsample not counted.
    width : int
        Channels of the result.
    """

    img_size = _IMAGE_SIZE
    grid = _IMAGE_SIZE // _STRIDE

    def __init__(self, widths: Sequence[int], depths: Sequence[int], width: int) -> None:
        super().__init__()
        self.trunk = RepVit(
            embed_dim=tuple(widths),
            depth=tuple(depths),
            legacy=True,
            num_classes=0,
            global_pool="",
        )
        self.fuse_stage2 = nn.Conv2d(widths[-2], width, kernel_size=1, bias=False)
        self.fuse_stage3 = nn.Conv2d(widths[-1], width, kernel_size=1, bias=False)
        self.neck = nn.Sequential(
            nn.Conv2d(width, width, kernel_size=1, bias=False),
            LayerNorm2d(width),
            nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(width),
        )

    @property
    def blocks(self) -> list[nn.Module]:
        """Every block, in the order in which it computes."""
        return [block for stage in self.trunk.stages for block in stage.blocks]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode (1, 3, S, S) into (1, C, S / 16, S / 16)."""
        # What timm calls the start of the last stage still belongs to the one before.
        with output_of(self.trunk.stages[-1].downsample.pre_block) as finer:
            coarse = self.fuse_stage3(self.trunk.forward_features(pixels))
        enlarged = F.interpolate(coarse, scale_factor=2, mode="bicubic", align_corners=False)
        return self.neck(self.fuse_stage2(finer[0]) + enlarged)  # type: ignore[no-any-return]


class EdgeSamModel(SamModel):
    """EdgeSAM behind ``PromptableModel``; its scores are the stability of its masks."""

    family = "edge_sam"

    def _masks(
        self,
        tensors: Mapping[str, torch.Tensor],
        sparse: torch.Tensor,
        dense: torch.Tensor,
        multimask: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        masks, _ = super()._masks(tensors, sparse, dense, multimask)
        stability = calculate_stability_score(masks, 0.0, _STABILITY_OFFSET)
        return masks, stability.nan_to_num(0.0)  # an empty mask is divided by nothing


def build_edge_sam(
    tensors: Mapping[str, torch.Tensor],
    *,
    name: str,
    key: str,
    device: torch.device,
    precision: str,
) -> EdgeSamModel:
    """Build the network that the tensors' shapes describe, and fill it with them.

    Parameters
    ----------
    tensors : mapping of str to tensor
        A complete state dict in the official layout.
    name, key, device, precision
        See ``build_sam``.

    Raises
    ------
    CheckpointError
        If a tensor is missing, unexpected or of another shape.
    """
    with described(name, "EdgeSAM"):
        shapes = shapes_of(tensors)
        firsts = _first_features(shapes)
        encoder = _encoder(shapes, firsts)
        network = assemble(shapes, encoder, mask_decoder(shapes))
    fill_sam(network, tensors, name, device, file_name=lambda key: _file_name(key, firsts))
    return EdgeSamModel(network, name=name, key=key, precision=precision)


def _first_features(shapes: Shapes) -> list[int]:
    """Return the index of every stage's first block in ``features``, and how many there are.

    Between two stages stand the block that ends one of them and the block that downsamples.
    """
    indices = {int(index) for index in _found(shapes, r"(\d+)\.")}
    if indices != set(range(len(indices))):
        raise ValueError("blocks are missing")
    downsampling = {int(index) for index in _found(shapes, r"(\d+)\.token_mixer\.2\.c\.weight")}
    return [1, *(index + 1 for index in sorted(downsampling)), len(indices)]


def _found(shapes: Shapes, pattern: str) -> list[str]:
    matches = (re.match(rf"image_encoder\.features\.{pattern}", name) for name in shapes)
    return [match[1] for match in matches if match]


def _encoder(shapes: Shapes, firsts: Sequence[int]) -> RepVitEncoder:
    *starts, end = firsts
    stops = [*(start - 2 for start in starts[1:]), end]
    features = "image_encoder.features"
    return RepVitEncoder(
        widths=[shapes[f"{features}.{start}.channel_mixer.m.2.c.weight"][0] for start in starts],
        depths=[stop - start for start, stop in zip(starts, stops, strict=True)],
        width=shapes["image_encoder.neck.0.weight"][0],
    )


def _file_name(name: str, firsts: Sequence[int]) -> str:
    """Return what the official files call a tensor of the network."""
    name = name.replace("fuse_stage3.", "fuse_stage3.op_list.0.")
    name = re.sub(r"trunk\.stem\.conv(\d)", lambda m: f"features.0.{2 * int(m[1]) - 2}", name)
    match = _PLACE.fullmatch(name)
    if not match:
        return name
    stage, block, is_before, part = match.groups()
    offset = int(block) if block else -2 if is_before else -1
    ours = next(ours for ours in _PARTS if part.startswith(ours))
    place = f"image_encoder.features.{firsts[int(stage)] + offset}"
    return f"{place}.{_PARTS[ours]}{part.removeprefix(ours)}"
