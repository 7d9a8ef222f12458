"""SAM 2 and 2.1 as published, but smaller and thinner, with seeded random weights."""

from __future__ import annotations

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from napari_anysam.networks.sam2 import Sam2Model, build_sam2, official_configuration


def small_configuration(version: str, size: int):
    thin = {
        "image_size": size,
        "image_encoder": {
            "trunk": {"embed_dim": 24, "stages": [1, 2, 3, 1], "global_att_blocks": [4, 5]},
            "neck": {"backbone_channel_list": [192, 96, 48, 24]},
        },
        "memory_attention": {"num_layers": 2, "layer": {"dim_feedforward": 256}},
    }
    return OmegaConf.merge(official_configuration(version, "tiny"), {"model": thin})


def random_tensors(configuration, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights as the package initialises them; objects are always there, so no mask is gated."""
    torch.manual_seed(seed)
    tensors = instantiate(configuration.model, _recursive_=True).state_dict()
    last = [name for name in tensors if name.startswith("sam_mask_decoder.pred_obj_score_head")]
    tensors[sorted(last)[-2]].fill_(10.0)
    return tensors


def random_model(version: str, size: int) -> tuple[Sam2Model, dict, object]:
    configuration = small_configuration(version, size)
    tensors = random_tensors(configuration)
    model = build_sam2(tensors, configuration, name=f"random-{version}", key=f"random-{version}")
    return model, tensors, configuration
