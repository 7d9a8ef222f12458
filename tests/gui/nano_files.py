"""Checkpoint files with seeded random weights: of the shipped architecture, and of SAM in small."""

from functools import partial

import torch
from hydra.utils import instantiate
from safetensors.torch import save_file
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

from napari_anysam.models.store import builtin_folder
from napari_anysam.networks.sam2_build import read_configuration

PATCH, CHANNELS = 16, 32


def write_nano(file, seed=0):
    torch.manual_seed(seed)
    configuration = read_configuration(builtin_folder() / "anysam-nano.yaml")
    save_file(instantiate(configuration.model, _recursive_=True).state_dict(), file)
    return file


def write_small_sam(file, image_size, *, width, depth, heads, window, seed=0):
    """Write SAM's layout for images of a size, with an encoder of a width and a depth."""
    torch.manual_seed(seed)
    encoder = ImageEncoderViT(
        img_size=image_size,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        out_chans=CHANNELS,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=window,
        global_attn_indexes=(depth - 1,),
    )
    transformer = TwoWayTransformer(depth=2, embedding_dim=CHANNELS, num_heads=8, mlp_dim=64)
    grid, whole = (image_size // PATCH,) * 2, (image_size,) * 2
    network = Sam(
        encoder,
        PromptEncoder(CHANNELS, grid, whole, 16),
        MaskDecoder(transformer_dim=CHANNELS, transformer=transformer),
    )
    torch.save(network.state_dict(), file)
    return file
