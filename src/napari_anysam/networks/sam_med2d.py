"""SAM-Med2D: SAM at 256 pixels with an adapter in every block of its image encoder.

The adapters are what the package lacks; everything else is segment-anything's. Source:
OpenGVLab/SAM-Med2D (commit bfd2b93b), ``segment_anything/modeling/image_encoder.py`` and
``predictor_sammed.py``. It was trained to give three candidates for every prompt, of which the best
counts (``train.py``, ``--multimask``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_anysam.networks.preprocessing import SAM_MED2D
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
    from collections.abc import Callable, Mapping

    from segment_anything.modeling import ImageEncoderViT

__all__ = ["SamMed2dModel", "build_sam_med2d"]


class SamMed2dModel(SamModel):
    """SAM-Med2D behind ``PromptableModel``; see ``SamModel``."""

    family = "sam_med2d"
    always_multimask = True


def build_sam_med2d(
    tensors: Mapping[str, torch.Tensor],
    *,
    name: str,
    key: str,
    device: torch.device,
    precision: str,
) -> SamMed2dModel:
    """Build the network that the tensors' shapes describe, and fill it with them.

    Parameters
    ----------
    tensors : mapping of str to tensor
        A complete SAM-Med2D state dict without prefixes.
    name, key, device, precision
        See ``build_sam``.

    Raises
    ------
    CheckpointError
        If a tensor is missing, unexpected or of another shape.
    """
    with described(name, "SAM-Med2D"):
        shapes = shapes_of(tensors)
        network = assemble(shapes, _encoder(shapes), mask_decoder(shapes))
    fill_sam(network, tensors, name, device)
    return SamMed2dModel(network, name=name, key=key, precision=precision, preprocessing=SAM_MED2D)


class Adapter(nn.Module):
    """Weighs channels, then adds what a small convolution sees at half the resolution.

    Parameters
    ----------
    width : int
        Channels of the encoder.
    hidden : int
        Channels between the two linear layers.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.channel = nn.Sequential(
            nn.Linear(width, hidden, bias=False),
            nn.ReLU(),
            nn.Linear(hidden, width, bias=False),
            nn.Sigmoid(),
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1, bias=False),
            nn.ReLU(),
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (B, H, W, C) for (B, H, W, C); H and W are even."""
        image = tokens.permute(0, 3, 1, 2)
        weights = self.channel(image.mean(dim=(2, 3)))[:, :, None, None]
        seen = image + self.spatial(weights * image)
        adapted: torch.Tensor = self.norm(seen.permute(0, 2, 3, 1))
        return adapted


def _encoder(shapes: Mapping[str, tuple[int, ...]]) -> ImageEncoderViT:
    encoder = image_encoder(shapes)
    for number, block in enumerate(encoder.blocks):
        hidden, width = shapes[f"image_encoder.blocks.{number}.Adapter.channel.0.weight"]
        block.Adapter = Adapter(width, hidden)  # under the official name: tensors keep theirs
        block.mlp.register_forward_hook(_adding(block.Adapter))
    return encoder


def _adding(adapter: Adapter) -> Callable[[nn.Module, Any, torch.Tensor], torch.Tensor]:
    """Return a hook by which a block's MLP and its adapter, given the same tokens, are summed."""

    def add(_mlp: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        adapted: torch.Tensor = output + adapter(inputs[0])
        return adapted

    return add
