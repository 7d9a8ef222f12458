"""What network a checkpoint belongs to, told from tensor names and shapes alone.

The file's name never counts: people rename files. Variants that share one architecture and differ
in preprocessing cannot be told apart here; their hash or the caller tells.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_anysam.errors import UnknownArchitectureError

if TYPE_CHECKING:
    from collections.abc import Mapping

    Shapes = Mapping[str, tuple[int, ...]]

__all__ = ["Architecture", "identify"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network that this package can build.

    Parameters
    ----------
    version : str
        "sam", "sam-med2d", "efficient-sam", "sam2", "sam2.1", "edgetam" or "anysam".
    size : str
        "vit_b", "tiny", "base-plus", "nano", ...
    """

    version: str
    size: str

    @property
    def family(self) -> str:
        """As ``PromptableModel.family``: which module of ``networks`` builds it."""
        return _FAMILIES.get(self.version, "sam2")

    def __str__(self) -> str:
        """Return "version/size", as the catalogue writes it."""
        return f"{self.version}/{self.size}"


# Whatever is not here is of SAM 2's kind.
_FAMILIES = {
    "sam": "sam",
    "sam-med2d": "sam_med2d",
    "efficient-sam": "efficient_sam",
    "edgetam": "edge_tam",
}

# SAM-Med2D has SAM's tensors and adapters: segment_anything/modeling/image_encoder.py.
_SAM_MED2D = "image_encoder.blocks.0.Adapter.norm.weight"

# (embed_dim, depth) of the image encoder: segment_anything/build_sam.py.
_SAM_SIZES = {(768, 12): "vit_b", (1024, 24): "vit_l", (1280, 32): "vit_h"}

# EfficientSAM tells a box's corners by their own names: efficient_sam/efficient_sam_decoder.py.
_EFFICIENT_SAM = "prompt_encoder.bbox_top_left_embeddings.weight"
_EFFICIENT_SAM_SIZES = {(192, 12): "vit_t", (384, 12): "vit_s"}

# (embed_dim, number of blocks, d_model): sam2/configs/*/*.yaml, and our own builtin/*.yaml.
_SAM2_SIZES = {
    (96, 12, 256): "tiny",
    (96, 16, 256): "small",
    (112, 24, 256): "base-plus",
    (144, 48, 256): "large",
}
_OWN_SIZES = {(32, 7, 128): "nano"}

_KNOWN = "SAM, SAM-Med2D, EfficientSAM, SAM 2, SAM 2.1 or EdgeTAM"

# A tensor whose name matches marks a family that has SAM's names but another network.
_RELATIVES = (
    ("SAM-HQ", r"mask_decoder\.hf_token"),
    ("MobileSAM or MedSAM-Lite", r"image_encoder\.layers\.\d+\.blocks\."),
    ("EdgeSAM", r"image_encoder\.fuse_stage2\."),
    ("EfficientTAM", r"image_encoder\.trunk\..*\.rel_pos|image_encoder\.trunk\.pos_embed_cls"),
    ("SAM in the layout of transformers", r"vision_encoder\.(layers|backbone)\."),
    ("SAM 3", r"(detector|tracker)\."),
)


def identify(shapes: Shapes) -> Architecture:
    """Tell the architecture from names and shapes of a checkpoint's tensors.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Every tensor's shape by its name, prefixes already removed.

    Raises
    ------
    UnknownArchitectureError
        If no network of this package has such tensors.
    """
    _refuse_relatives(shapes)
    if {"spatial_perceiver.latents", "image_encoder.trunk.body.stem.conv1.c.weight"} <= set(shapes):
        return Architecture("edgetam", "repvit_m1")  # published in one size
    if {"image_encoder.trunk.patch_embed.proj.weight", "memory_encoder.out_proj.weight"} <= set(
        shapes
    ):
        return _identify_sam2(shapes)
    if {"image_encoder.patch_embed.proj.weight", "mask_decoder.mask_tokens.weight"} <= set(shapes):
        return _identify_sam(shapes)
    first = ", ".join(sorted(shapes)[:3])
    raise UnknownArchitectureError(
        f"Its {len(shapes)} tensors ({first}, ...) belong to no model that this version knows; "
        f"choose a checkpoint of {_KNOWN}."
    )


def _refuse_relatives(shapes: Shapes) -> None:
    for family, pattern in _RELATIVES:
        if any(re.match(pattern, name) for name in shapes):
            raise UnknownArchitectureError(
                f"It looks like a {family} checkpoint, which this version cannot load; "
                f"choose a checkpoint of {_KNOWN}."
            )


def _identify_sam(shapes: Shapes) -> Architecture:
    width = _first(shapes, "image_encoder.patch_embed.proj.weight")
    depth = _count(shapes, r"image_encoder\.blocks\.(\d+)\.")
    if _EFFICIENT_SAM in shapes:
        size = _EFFICIENT_SAM_SIZES.get((width, depth), f"vit_{width}x{depth}")
        return Architecture("efficient-sam", size)
    if not depth or "image_encoder.blocks.0.attn.rel_pos_h" not in shapes:
        raise UnknownArchitectureError(
            "It looks like SAM but lacks the tensors of its image encoder "
            "(image_encoder.blocks.0.attn.rel_pos_h); get the complete file."
        )
    version = "sam-med2d" if _SAM_MED2D in shapes else "sam"
    # Every hyper-parameter can be read from the shapes, so other widths and depths load too.
    return Architecture(version, _SAM_SIZES.get((width, depth), f"vit_{width}x{depth}"))


def _identify_sam2(shapes: Shapes) -> Architecture:
    width = _first(shapes, "image_encoder.trunk.patch_embed.proj.weight")
    depth = _count(shapes, r"image_encoder\.trunk\.blocks\.(\d+)\.")
    model_width = _first(shapes, "image_encoder.neck.convs.0.conv.weight")
    found = (width, depth, model_width)
    if found in _OWN_SIZES:
        return Architecture("anysam", _OWN_SIZES[found])
    if found in _SAM2_SIZES:
        # sam2.1/*.yaml: no_obj_embed_spatial and proj_tpos_enc_in_obj_ptrs came with 2.1.
        later = "no_obj_embed_spatial" in shapes or "obj_ptr_tpos_proj.weight" in shapes
        return Architecture("sam2.1" if later else "sam2", _SAM2_SIZES[found])
    raise UnknownArchitectureError(
        f"It looks like SAM 2, but with an encoder of width {width}, {depth} blocks and a neck of "
        f"width {model_width}, which is no size that this version knows; "
        "choose tiny, small, base+ or large."
    )


def _first(shapes: Shapes, name: str) -> int:
    shape = shapes.get(name, ())
    return shape[0] if shape else 0


def _count(shapes: Shapes, pattern: str) -> int:
    """Count the distinct numbers that the pattern's group finds in the tensor names."""
    numbers = (re.match(pattern, name) for name in shapes)
    return len({match[1] for match in numbers if match})
