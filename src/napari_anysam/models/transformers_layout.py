"""Files in the layout of Hugging Face transformers, brought to the layout of the official code.

transformers has its own names for the tensors of ``SamModel``, ``SamHQModel``, ``Sam2VideoModel``
and ``EdgeTamVideoModel``, and keeps a few of them split, joined or twice. This undoes what its
conversion scripts do (huggingface/transformers, ``src/transformers/models``:
``sam/convert_sam_to_hf.py``, ``sam_hq/convert_samhq_to_hf.py``,
``sam2_video/convert_sam2_video_to_hf.py``, ``edgetam_video/convert_edgetam_video_to_hf.py``), so
that whatever comes after reading knows one layout. A tensor that is not in the tables keeps its
name, and the strict loading refuses it by that name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_anysam.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    Names = Mapping[str, str]

__all__ = ["official_layout"]

# Parts of a name, whole words between dots. Of two that begin at the same word the longer counts.
_DECODERS = {
    "mask_embed.conv1": "mask_downscaling.0",
    "mask_embed.layer_norm1": "mask_downscaling.1",
    "mask_embed.conv2": "mask_downscaling.3",
    "mask_embed.layer_norm2": "mask_downscaling.4",
    "mask_embed.conv3": "mask_downscaling.6",
    "point_embed": "point_embeddings",
    "upscale_conv1": "output_upscaling.0",
    "upscale_layer_norm": "output_upscaling.1",
    "upscale_conv2": "output_upscaling.3",
    "layer_norm_final_attn": "norm_final_attn",
    **{f"layer_norm{number}": f"norm{number}" for number in range(1, 5)},
}

_SAM = {
    **_DECODERS,
    "shared_image_embedding.positional_embedding": (
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    ),
    "shared_embedding.positional_embedding": "pe_layer.positional_encoding_gaussian_matrix",
    "vision_encoder": "image_encoder",
    "vision_encoder.layers": "image_encoder.blocks",
    "patch_embed.projection": "patch_embed.proj",
    "neck.conv1": "neck.0",
    "neck.layer_norm1": "neck.1",
    "neck.conv2": "neck.2",
    "neck.layer_norm2": "neck.3",
    # What SAM-HQ has in addition.
    "hq_token": "hf_token",
    "hq_mask_mlp": "hf_mlp",
    "compress_vit_conv1": "compress_vit_feat.0",
    "compress_vit_norm": "compress_vit_feat.1",
    "compress_vit_conv2": "compress_vit_feat.3",
    "encoder_conv1": "embedding_encoder.0",
    "encoder_norm": "embedding_encoder.1",
    "encoder_conv2": "embedding_encoder.3",
    "mask_conv1": "embedding_maskfeature.0",
    "mask_norm": "embedding_maskfeature.1",
    "mask_conv2": "embedding_maskfeature.3",
}

_SAM2 = {
    **_DECODERS,
    "shared_image_embedding.positional_embedding": (
        "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    ),
    "shared_embedding.positional_embedding": "pe_layer.positional_encoding_gaussian_matrix",
    "vision_encoder.backbone": "image_encoder.trunk",
    "vision_encoder.neck": "image_encoder.neck",
    **{
        f"vision_encoder.neck.convs.{level}": f"image_encoder.neck.convs.{level}.conv"
        for level in range(4)
    },
    "patch_embed.projection": "patch_embed.proj",
    "prompt_encoder": "sam_prompt_encoder",
    "mask_decoder": "sam_mask_decoder",
    "o_proj": "out_proj",
    "layer_norm": "norm",
    # The mask downsampler is a sequence of convolution, norm and activation, four times.
    **{
        f"mask_downsampler.layers.{step}.{part}": f"mask_downsampler.encoder.{3 * step + place}"
        for step in range(4)
        for place, part in enumerate(("conv", "layer_norm"))
    },
    "mask_downsampler.final_conv": "mask_downsampler.encoder.12",
    "memory_encoder.feature_projection": "memory_encoder.pix_feat_proj",
    "memory_encoder.projection": "memory_encoder.out_proj",
    "memory_fuser": "fuser",
    "depthwise_conv": "dwconv",
    "pointwise_conv1": "pwconv1",
    "pointwise_conv2": "pwconv2",
    "scale": "gamma",
    "memory_temporal_positional_encoding": "maskmem_tpos_enc",
    "no_memory_embedding": "no_mem_embed",
    "no_memory_positional_encoding": "no_mem_pos_enc",
    "no_object_pointer": "no_obj_ptr",
    "occlusion_spatial_embedding_parameter": "no_obj_embed_spatial",
    "object_pointer_proj": "obj_ptr_proj",
    "temporal_positional_encoding_projection_layer": "obj_ptr_tpos_proj",
}

_EDGE_TAM = {
    **_SAM2,
    "vision_encoder.backbone.timm_model": "image_encoder.trunk.body",
    **{
        f"memory_attention.layers.{layer}.mlp.{theirs}": f"memory_attention.layers.{layer}.{ours}"
        for layer in range(2)
        for theirs, ours in (("up_proj", "linear1"), ("down_proj", "linear2"))
    },
    # What follows is the perceiver's.
    "latents_1d": "latents",
    "layer_norm_input": "attn.norm_x",
    "layer_norm_latents": "attn.norm_latents",
    "layer_norm_self": "self_attn.norm",
    **{
        f"{theirs}.{letter}_proj": f"{ours}.to_{'out' if letter == 'o' else letter}"
        for theirs, ours in (("cross_attention", "attn"), ("self_attention", "self_attn"))
        for letter in "qkvo"
    },
    **{
        f"{theirs}.{part}": f"{ours}.{place}"
        for theirs, ours in (("mlp", "ff"), ("self_mlp", "self_ff"))
        for place, part in ((0, "layer_norm"), (1, "up_proj"), (3, "down_proj"))
    },
}


def official_layout(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors as the official code names and shapes them.

    Parameters
    ----------
    tensors : dict of str to tensor
        Of any file, prefixes already removed; those that are not in a layout of transformers
        come back as they are.

    Raises
    ------
    CheckpointError
        If two tensors that are one in the network differ.
    """
    table = _table(tensors)
    if table is None:
        return tensors
    return _joined(_split(_renamed(_counted(tensors), table)))


def _table(names: Iterable[str]) -> Names | None:
    """Choose the table of a layout by its names."""
    if any(name.startswith("vision_encoder.backbone.timm_model.") for name in names):
        return _EDGE_TAM
    if "vision_encoder.backbone.patch_embed.projection.weight" in names:
        return _SAM2
    if "vision_encoder.patch_embed.projection.weight" in names:
        return _SAM
    return None


def _counted(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the layers of perceptrons numbers in place of proj_in, layers.N and proj_out."""
    end = ".proj_in.weight"
    perceptrons = {name.removesuffix(end) for name in tensors if name.endswith(end)}
    inner = {
        perceptron: sum(
            name.startswith(f"{perceptron}.layers.") and name.endswith(".weight")
            for name in tensors
        )
        for perceptron in perceptrons
    }

    def number(match: re.Match[str]) -> str:
        perceptron, layer = match["perceptron"], match["layer"]
        if perceptron not in inner:
            return match[0]
        place = {"proj_in": 0, "proj_out": inner[perceptron] + 1}.get(layer)
        if place is None:
            place = int(layer.removeprefix("layers.")) + 1
        return f"{perceptron}.layers.{place}.{match['kind']}"

    pattern = re.compile(
        r"^(?P<perceptron>.+)\.(?P<layer>proj_in|proj_out|layers\.\d+)\.(?P<kind>weight|bias)$"
    )
    return {pattern.sub(number, name): tensor for name, tensor in tensors.items()}


def _renamed(tensors: Mapping[str, Tensor], table: Names) -> dict[str, Tensor]:
    """Rename every tensor; of those that get one name all but the first must be copies of it."""
    longest_first = sorted(table, key=len, reverse=True)
    parts = re.compile(r"(?<![^.])(?:" + "|".join(map(re.escape, longest_first)) + r")(?![^.])")
    sources: dict[str, str] = {}
    for name, tensor in tensors.items():
        official = parts.sub(lambda match: table[match[0]], name)
        first = sources.setdefault(official, name)
        if not _same(tensors[first], tensor):
            raise CheckpointError(
                f"Its tensors {first} and {name} are one in the network but differ here; "
                "train from published weights, whose copies agree."
            )
    return {official: tensors[name] for official, name in sources.items()}


def _same(first: Tensor, second: Tensor) -> bool:
    import torch

    return first is second or torch.equal(first.float(), second.float())


def _split(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give each kind of point its own tensor (1, C), where the file has them as rows of one."""
    rows = "sam_prompt_encoder.point_embeddings"
    found = dict(tensors)
    together = found.pop(f"{rows}.weight", None)
    if together is None:
        return found
    return found | {f"{rows}.{place}.weight": row[None] for place, row in enumerate(together)}


def _joined(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put keys and values (C, C) of the perceiver's attentions into one tensor (2 C, C)."""
    import torch

    found = dict(tensors)
    for name in tensors:
        values = name.replace(".to_k.", ".to_v.")
        if values != name and values in tensors:
            both = [found.pop(name), found.pop(values)]
            found[name.replace(".to_k.", ".to_kv.")] = torch.cat(both)
    return found
