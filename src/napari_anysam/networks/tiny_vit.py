"""TinyViT as an image encoder of SAM: timm's network under SAM's neck.

The variant that MobileSAM introduced (``mobile_sam/modeling/tiny_vit_sam.py``): the last stage
keeps its resolution, so that a square of 1024 px becomes 64 x 64 features, as SAM's own encoders
make it. MedSAM-Lite leaves out the halving of the patch embedding too (``tiny_vit_sam.py`` of
bowang-lab/MedSAM, branch LiteMedSAM), so that 256 px become 64 x 64.

timm's class is used and never its registry: the official packages override the registry's names.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import torch
from segment_anything.modeling.common import LayerNorm2d
from timm.models.tiny_vit import ConvNorm, TinyVit
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    Shapes = Mapping[str, tuple[int, ...]]

__all__ = ["TinyVitEncoder", "file_name", "is_tiny_vit", "tiny_vit_encoder", "without_head"]

# The official forward views its result as 64 x 64, whatever the widths.
_GRID = 64
_STAGES = 4

_PATCH = "image_encoder.patch_embed.seq.0.c.weight"

# Of the classifier that TinyViT was made with: in the files, never used.
_HEAD = frozenset(
    f"image_encoder.{name}.{kind}" for name in ("norm_head", "head") for kind in ("weight", "bias")
)


class TinyVitEncoder(nn.Module):
    """A TinyViT with SAM's neck; what ``SamModel`` asks of an encoder.

    timm caches the attention biases at the first forward: give it its weights before.

    Parameters
    ----------
    trunk : TinyVit
        Without its classifier.
    width : int
        Channels of the result.
    img_size : int
        Side of the square input in pixels.
    """

    grid = _GRID

    def __init__(self, trunk: TinyVit, width: int, img_size: int) -> None:
        super().__init__()
        self.img_size = img_size
        self.trunk = trunk
        self.neck = nn.Sequential(
            nn.Conv2d(trunk.num_features, width, kernel_size=1, bias=False),
            LayerNorm2d(width),
            nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(width),
        )

    @property
    def blocks(self) -> list[nn.Module]:
        """Every block, in the order in which it computes."""
        return [block for stage in self.trunk.stages for block in stage.blocks]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode (1, 3, S, S) into (1, C, 64, 64)."""
        return self.neck(self.trunk.forward_features(pixels))  # type: ignore[no-any-return]


def is_tiny_vit(names: Container[str]) -> bool:
    """Tell from the names of a checkpoint's tensors whether its image encoder is a TinyViT."""
    return _PATCH in names


def tiny_vit_encoder(shapes: Shapes) -> TinyVitEncoder:
    """Build the TinyViT that the tensors under ``image_encoder.`` describe.

    On the CPU and with values, whatever the default device: timm computes tables that no file
    holds.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Of a checkpoint in the official layout.
    """
    with torch.device("cpu"):
        trunk = _trunk(shapes)
        halves = shapes[_PATCH][-1] > 1
        if not halves:
            _keep_resolution(trunk.patch_embed)
        width = shapes["image_encoder.neck.0.weight"][0]
        return TinyVitEncoder(trunk, width, 16 * _GRID if halves else 4 * _GRID)


def _trunk(shapes: Shapes) -> TinyVit:
    """Build timm's network; hyper-parameters as ``mobile_sam/build_sam.py`` has them, by shape."""
    layers = "image_encoder.layers"
    width = shapes[f"{layers}.0.blocks.0.conv1.c.weight"][1]
    biases: list[tuple[int, ...]] = [(1, 1)]  # heads, offsets; the first stage has no attention
    biases += [shapes[f"{layers}.{i}.blocks.0.attn.attention_biases"] for i in range(1, _STAGES)]
    widths = [shapes[f"{layers}.{i}.blocks.0.attn.norm.weight"][0] for i in range(1, _STAGES)]
    trunk = TinyVit(
        embed_dims=(width, *widths),
        depths=tuple(_depth(shapes, f"{layers}.{i}.blocks.") for i in range(_STAGES)),
        num_heads=tuple(heads for heads, _ in biases),
        window_sizes=tuple(math.isqrt(offsets) for _, offsets in biases),
        mlp_ratio=shapes[f"{layers}.1.blocks.0.mlp.fc1.weight"][0] / widths[0],
        mbconv_expand_ratio=shapes[f"{layers}.0.blocks.0.conv1.c.weight"][0] / width,
        drop_path_rate=0.0,
        num_classes=0,
        global_pool="",
    )
    trunk.head = nn.Identity()
    trunk.stages[-1].downsample.conv2.conv.stride = (1, 1)
    return trunk


def _depth(shapes: Shapes, prefix: str) -> int:
    return len({key[len(prefix) :].split(".")[0] for key in shapes if key.startswith(prefix)})


def _keep_resolution(embedding: nn.Module) -> None:
    """Give a patch embedding pointwise convolutions, as MedSAM-Lite has them."""
    for name in ("conv1", "conv2"):
        out_channels, in_channels = getattr(embedding, name).conv.weight.shape[:2]
        setattr(embedding, name, ConvNorm(in_channels, out_channels))


def without_head(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Leave out the tensors of TinyViT's classifier, which most of the files still hold."""
    return {name: tensor for name, tensor in tensors.items() if name not in _HEAD}


def file_name(name: str) -> str:
    """Return what the official files call a tensor of a network with this encoder.

    timm puts a stage's downsampling at its start, the official code at the end of the one before.
    """
    if not name.startswith("image_encoder.trunk."):
        return name
    name = name.replace("image_encoder.trunk.", "image_encoder.").replace(".conv.", ".c.")
    name = re.sub(r"patch_embed\.conv(\d)", _embedding_name, name)
    name = re.sub(r"stages\.(\d)\.downsample", _downsample_name, name)
    return name.replace(".stages.", ".layers.")


def _embedding_name(match: re.Match[str]) -> str:
    return f"patch_embed.seq.{2 * (int(match[1]) - 1)}"


def _downsample_name(match: re.Match[str]) -> str:
    return f"stages.{int(match[1]) - 1}.downsample"
