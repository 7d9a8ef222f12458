"""The network of the shipped model: encode a plane once, decode many prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from torch import Tensor

NAME = "anysam-nano"
VERSION = "3"
PACKAGE_FOLDER = Path(__file__).parents[2] / "src" / "napari_anysam" / "models" / "builtin"
CONFIGURATION = PACKAGE_FOLDER / f"{NAME}.yaml"
WEIGHTS = PACKAGE_FOLDER / f"{NAME}-{VERSION}.safetensors"

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

# Labels of points as SAM's prompt encoder reads them.
PADDING, NEGATIVE, POSITIVE, BOX_START, BOX_END = -1, 0, 1, 2, 3


class Features(NamedTuple):
    """Encoded planes: (B, C, H/16, W/16), (B, C/4, H/8, W/8) and (B, C/8, H/4, W/4)."""

    embedding: Tensor
    middle: Tensor
    fine: Tensor

    def select(self, index: Tensor) -> Features:
        """Repeat or pick planes along the batch."""
        return Features(*(level.index_select(0, index) for level in self))


class Decoded(NamedTuple):
    """All four mask tokens of N prompts: logits (N, 4, H/4, W/4) and predicted IoU (N, 4)."""

    logits: Tensor
    iou: Tensor
    object_score: Tensor


def build_network(size: int | None = None) -> SAM2Base:
    """Build the network of the YAML file with random weights, for planes of `size` pixels."""
    network = instantiate(OmegaConf.load(CONFIGURATION).model)
    if size is not None:
        set_image_size(network, size)
    return network


def align_positions(network: SAM2Base, gain: float = 2.5) -> None:
    """Start the mask decoder's cross-attentions as looking at the place of the prompt.

    Queries and keys carry the same positional encoding. With equal projections their product is
    largest where the positions agree; with independent ones, as drawn, a click takes longer to find
    its place.
    """
    transformer = network.sam_mask_decoder.transformer
    attentions = [transformer.final_attn_token_to_image]
    for layer in transformer.layers:
        attentions += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    with torch.no_grad():
        for attention in attentions:
            attention.q_proj.weight.mul_(gain)
            attention.k_proj.weight.copy_(attention.q_proj.weight)


def set_image_size(network: SAM2Base, size: int) -> None:
    """Make the network accept square planes of another size (a multiple of 64)."""
    cells = size // network.backbone_stride
    network.image_size = size
    network.sam_image_embedding_size = cells
    encoder = network.sam_prompt_encoder
    encoder.input_image_size = (size, size)
    encoder.image_embedding_size = (cells, cells)
    encoder.mask_input_size = (4 * cells, 4 * cells)


def normalise(images: Tensor) -> Tensor:
    """Apply SAM 2's mean and standard deviation to (B, 3, H, W) in 0..1."""
    mean = images.new_tensor(MEAN).view(1, 3, 1, 1)
    return (images - mean) / images.new_tensor(STD).view(1, 3, 1, 1)


def encode(network: SAM2Base, images: Tensor) -> Features:
    """Encode normalised planes (B, 3, H, W) as anchor planes, without memory."""
    fine, middle, coarse = network.forward_image(images)["backbone_fpn"]
    return Features(coarse + network.no_mem_embed.view(1, -1, 1, 1), middle, fine)


def decode(
    network: SAM2Base, features: Features, points: Tensor, labels: Tensor, mask: Tensor | None
) -> Decoded:
    """Decode one prompt per row of `features`.

    Parameters
    ----------
    network
        The network.
    features
        One row per prompt.
    points, labels
        (N, P, 2) as (x, y) in network pixels, and (N, P).
    mask
        Logits (N, 1, H/4, W/4) of an earlier or rough mask, or None.

    Returns
    -------
    Decoded
        The single-mask token first, then the three of the ambiguous prompt.
    """
    prompt = network.sam_prompt_encoder
    sparse, dense = prompt(points=(points, labels), boxes=None, masks=mask)
    logits, iou, _, object_score = network.sam_mask_decoder.predict_masks(
        image_embeddings=features.embedding,
        image_pe=prompt.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=False,
        high_res_features=[features.fine, features.middle],
    )
    return Decoded(logits.float(), iou.float(), object_score.float())
