"""EdgeTAM: SAM 2 with a RepViT encoder and memories of 512 tokens instead of 4096.

Assembled from the ``sam2`` package, timm's RepViT and the perceiver of ``edge_tam_perceiver.py``;
images and planes are answered as SAM 2's are. Source: facebookresearch/EdgeTAM (commit 9cc44bfe),
``sam2/configs/edgetam.yaml``, ``sam2/modeling/sam2_base.py`` and ``sam/transformer.py``
(``RoPEAttentionv2``).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_anysam.networks.protocol import Capabilities
from napari_anysam.networks.sam2 import Sam2Model
from napari_anysam.networks.sam2_attention import MemoryReader, rotated
from napari_anysam.networks.sam2_build import build_network, official_configuration
from napari_anysam.networks.sam2_tracking import STORED, Sam2Memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from omegaconf import DictConfig
    from sam2.modeling.sam2_base import SAM2Base

    from napari_anysam.networks.edge_tam_perceiver import SpatialPerceiver

__all__ = ["EdgeTamModel", "build_edge_tam", "edge_tam_configuration", "edge_tam_network"]

_CHANNELS = [384, 192, 96, 48]
_PERCEIVER = {"dim": 64, "depth": 2, "num_latents": 256, "num_latents_2d": 256}


def edge_tam_configuration(image_size: int = 1024) -> DictConfig:
    """Return the official configuration: that of SAM 2 tiny with what EdgeTAM has otherwise.

    Parameters
    ----------
    image_size : int
        Side of the square input in pixels, a multiple of 256.
    """
    from omegaconf import OmegaConf

    here = __name__
    configuration = official_configuration("2", "tiny")
    model = configuration.model
    model.image_encoder.trunk = {"_target_": f"{here}.RepVitTrunk"}
    model.image_encoder.neck.backbone_channel_list = _CHANNELS
    model.memory_attention.num_layers = 2
    changed = {
        "_target_": f"{here}.edge_tam_network",
        "image_size": image_size,
        "spatial_perceiver": {
            "_target_": f"{here}_perceiver.SpatialPerceiver",
            **_PERCEIVER,
        },
    }
    merged: DictConfig = OmegaConf.merge(configuration, {"model": changed})
    return merged


def edge_tam_network(spatial_perceiver: SpatialPerceiver, **settings: Any) -> SAM2Base:
    """Build SAM 2's network with a perceiver in it; called by the configuration."""
    from sam2.modeling.sam2_base import SAM2Base

    network = SAM2Base(**settings)
    network.spatial_perceiver = spatial_perceiver
    return network


class RepVitTrunk(nn.Module):
    """timm's RepViT as an encoder's trunk: features at strides 4, 8, 16 and 32."""

    channel_list = _CHANNELS

    def __init__(self) -> None:
        super().__init__()
        from timm.models import create_model

        self.body = create_model("repvit_m1", features_only=True, out_indices=(0, 1, 2, 3))

    @property
    def blocks(self) -> Iterable[nn.Module]:
        """Every block, in the order in which they run."""
        for stage in self.body.children():
            yield from getattr(stage, "blocks", [stage])

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Return the four feature maps for pixels (B, 3, S, S), the largest first."""
        return list(self.body(pixels))


class EdgeTamReader(MemoryReader):
    """Reads memories of a perceiver: tokens without a place first, then those of a grid."""

    @property
    def tokens_each(self) -> int:
        """Tokens of one memory."""
        perceiver = self._network.spatial_perceiver
        return len(perceiver.latents) + len(perceiver.latents_2d)

    @property
    def _fused(self) -> bool:
        """Say no: the package's cross-attention would rotate every token of a memory."""
        return False

    def _turned_keys(self, attention: Any, keys: torch.Tensor) -> torch.Tensor:
        batch, count, width = keys.shape
        placeless = len(self._network.spatial_perceiver.latents)
        memories = keys.reshape(batch, count // self.tokens_each, self.tokens_each, width)
        grid = self._network.spatial_perceiver.grid
        turns = attention.compute_cis(end_x=grid, end_y=grid).to(keys.device)
        placed = memories[:, :, placeless:].reshape(batch, -1, width)
        placed = rotated(placed, turns).reshape(batch, -1, grid * grid, width)
        return torch.cat([memories[:, :, :placeless], placed], dim=2).reshape(keys.shape)

    @cached_property
    def _memory_positions(self) -> torch.Tensor:
        network = self._network
        perceiver, parameter = network.spatial_perceiver, network.maskmem_tpos_enc
        blank = parameter.new_empty(1, 1, perceiver.grid, perceiver.grid)
        grid = network.memory_encoder.position_encoding(blank).flatten(2).transpose(1, 2)
        placeless = grid.new_zeros(1, len(perceiver.latents), grid.shape[-1])
        encoded: torch.Tensor = torch.cat([placeless, grid], dim=1) + parameter[:, 0]
        return encoded


class EdgeTamMemory(Sam2Memory):
    """The tracking half of an EdgeTAM model."""

    reader_type = EdgeTamReader

    def _stored(self, features: torch.Tensor, _positions: torch.Tensor) -> torch.Tensor:
        tokens: torch.Tensor = self.network.spatial_perceiver(features, _positions)
        return tokens.to(STORED)


class EdgeTamModel(Sam2Model):
    """EdgeTAM behind ``PromptableModel`` and ``TrackingModel``; see ``Sam2Model``."""

    family = "edge_tam"
    capabilities = Capabilities(tracking=True)
    memory_type = EdgeTamMemory


def build_edge_tam(
    tensors: Mapping[str, torch.Tensor],
    configuration: DictConfig | None = None,
    *,
    name: str,
    key: str,
    device: torch.device | str = "cpu",
    precision: str = "fp32",
) -> EdgeTamModel:
    """Build a model from the tensors of a checkpoint.

    Parameters
    ----------
    tensors : mapping of str to tensor
        The network's whole state.
    configuration : DictConfig, optional
        The official one if left out; see ``edge_tam_configuration``.
    name, key, device, precision
        As ``build_sam2`` has them.

    Raises
    ------
    CheckpointError
        If the tensors do not fit the configuration.
    """
    device = torch.device(device)
    chosen = configuration if configuration is not None else edge_tam_configuration()
    network = build_network(tensors, chosen, name, device)
    return EdgeTamModel(network, name=name, key=key, device=device, precision=precision)
