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
    from collections.abc import Callable, Mapping

    Shapes = Mapping[str, tuple[int, ...]]

__all__ = ["Architecture", "identify"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network that this package can build.

    Parameters
    ----------
    version : str
        "sam", "sam_hq", "mobile_sam", "edge_sam", "efficient_sam", "medsam_lite", "sam_med2d",
        "sam2", "sam2.1", "edge_tam", "fast_sam" or "anysam".
    size : str
        "vit_b", "tiny", "base-plus", "nano", "s", ...
    """

    version: str
    size: str

    @property
    def family(self) -> str:
        """As ``PromptableModel.family``: which module of ``networks`` builds it."""
        return "sam2" if self.version in {"sam2.1", "anysam"} else self.version

    def __str__(self) -> str:
        """Return "version/size", as the catalogue writes it."""
        return f"{self.version}/{self.size}"


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

# The first convolution of mobile_sam/modeling/tiny_vit_sam.py.
_PATCH_OF_TINY_VIT = "image_encoder.patch_embed.seq.0.c.weight"

# ultralytics cfg/models/v8/yolov8-seg.yaml: its first layer, the one that enlarges prototypes, and
# the confidence of each class.
_YOLO_FIRST = "0.conv.weight"
_YOLO_PROTOTYPES = "22.proto.upsample.weight"
_YOLO_CLASSES = "22.cv3.0.2.weight"
_YOLO_SCALES = {16: "n", 32: "s", 48: "m", 64: "l", 80: "x"}

# A tensor whose name matches marks a family that has SAM's names but another network. SAM 3 and the
# backbone of SAM 2 have names of their own in transformers, LoRA has them in peft.
_RELATIVES = (
    ("EfficientTAM", r"image_encoder\.trunk\..*\.rel_pos|image_encoder\.trunk\.pos_embed_cls"),
    ("SAM 3", r"(detector|tracker)(_model)?\.|detr_encoder\.|vision_encoder\.backbone\.layers\."),
    ("SAM 2 backbone", r"(backbone\.)?(blocks\.\d+\.layer_norm1|timm_model)\."),
    ("LoRA adapter", r".*\.lora_[AB]\."),
)

# Complete in themselves, but not what masks are made with.
_TRUNKS = ("image_encoder.trunk.patch_embed.proj.weight", "image_encoder.trunk.body.")
_MEMORY = ("memory_encoder.", "memory_attention.")


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
    _refuse_parts(shapes)
    for needed, identify_family in _FAMILIES:
        if needed <= set(shapes):
            return identify_family(shapes)
    first = ", ".join(sorted(shapes)[:3])
    raise UnknownArchitectureError(
        f"Its {len(shapes)} tensors ({first}, ...) belong to no model that this version knows; "
        "choose a checkpoint of a model of the catalogue."
    )


def _refuse_relatives(shapes: Shapes) -> None:
    for family, pattern in _RELATIVES:
        if any(re.match(pattern, name) for name in shapes):
            raise UnknownArchitectureError(
                f"It looks like a {family} checkpoint, which this version cannot load; "
                "choose a model of the catalogue."
            )


def _refuse_parts(shapes: Shapes) -> None:
    """Refuse by name what is saved without the rest of its network."""
    if _holds(shapes, "image_encoder.") and not _holds(
        shapes, "mask_decoder.", "sam_mask_decoder."
    ):
        raise UnknownArchitectureError(
            "It holds an image encoder without the decoder that makes masks; get the file of the "
            "whole model, in one part."
        )
    if _holds(shapes, *_TRUNKS) and not _holds(shapes, *_MEMORY):
        raise UnknownArchitectureError(
            "It holds SAM 2 or EdgeTAM without a memory, as transformers' Sam2Model and "
            "EdgeTamModel save it; load its weights into the published Sam2VideoModel or "
            "EdgeTamVideoModel of the same size and save that."
        )


def _holds(shapes: Shapes, *starts: str) -> bool:
    return any(name.startswith(starts) for name in shapes)


def _identify_edge_tam(_shapes: Shapes) -> Architecture:
    return Architecture("edge_tam", "repvit_m1")  # published in one size


def _identify_sam(shapes: Shapes) -> Architecture:
    width = _first(shapes, "image_encoder.patch_embed.proj.weight")
    depth = _count(shapes, r"image_encoder\.blocks\.(\d+)\.")
    if _EFFICIENT_SAM in shapes:
        size = _EFFICIENT_SAM_SIZES.get((width, depth), f"vit_{width}x{depth}")
        return Architecture("efficient_sam", size)
    if not depth or "image_encoder.blocks.0.attn.rel_pos_h" not in shapes:
        raise UnknownArchitectureError(
            "It looks like SAM but lacks the tensors of its image encoder "
            "(image_encoder.blocks.0.attn.rel_pos_h); get the complete file."
        )
    version = "sam_med2d" if _SAM_MED2D in shapes else "sam"
    # Every hyper-parameter can be read from the shapes, so other widths and depths load too.
    return Architecture(version, _SAM_SIZES.get((width, depth), f"vit_{width}x{depth}"))


def _identify_sam_hq(shapes: Shapes) -> Architecture:
    if _PATCH_OF_TINY_VIT in shapes:
        return Architecture("sam_hq", "vit_tiny")
    return Architecture("sam_hq", _identify_sam(shapes).size)


def _identify_tiny_vit(shapes: Shapes) -> Architecture:
    # MobileSAM halves the image twice by 3 x 3 convolutions, MedSAM-Lite takes pixels as patches.
    kernel = shapes[_PATCH_OF_TINY_VIT][-1:]
    return Architecture("medsam_lite" if kernel == (1,) else "mobile_sam", "vit_t")


def _identify_edge_sam(shapes: Shapes) -> Architecture:
    # edge_sam/modeling/rep_vit.py m1_cfgs: the one that was published.
    width = _first(shapes, "image_encoder.features.0.2.c.weight")
    blocks = _count(shapes, r"image_encoder\.features\.(\d+)\.") - 1
    size = "m1" if (width, blocks) == (48, 26) else f"{width}x{blocks}"
    return Architecture("edge_sam", f"repvit_{size}")


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


def _identify_fast_sam(shapes: Shapes) -> Architecture:
    classes, width = _first(shapes, _YOLO_CLASSES), _first(shapes, _YOLO_FIRST)
    if classes != 1:
        raise UnknownArchitectureError(
            f"It is a YOLOv8 that tells {classes} classes apart, and FastSAM is one that knows a "
            "single class, anything; choose FastSAM-s.pt or FastSAM-x.pt."
        )
    if width not in _YOLO_SCALES:
        raise UnknownArchitectureError(
            f"It looks like FastSAM, but begins with {width} channels, which is no size of YOLOv8; "
            "choose FastSAM-s.pt or FastSAM-x.pt."
        )
    return Architecture("fast_sam", _YOLO_SCALES[width])


def _first(shapes: Shapes, name: str) -> int:
    shape = shapes.get(name, ())
    return shape[0] if shape else 0


def _count(shapes: Shapes, pattern: str) -> int:
    """Count the distinct numbers that the pattern's group finds in the tensor names."""
    numbers = (re.match(pattern, name) for name in shapes)
    return len({match[1] for match in numbers if match})


# What a file of a family holds, and who tells its size; the first that fits is right.
_FAMILIES: tuple[tuple[set[str], Callable[[Shapes], Architecture]], ...] = (
    (
        {"spatial_perceiver.latents", "image_encoder.trunk.body.stem.conv1.c.weight"},
        _identify_edge_tam,
    ),
    (
        {"image_encoder.trunk.patch_embed.proj.weight", "memory_encoder.out_proj.weight"},
        _identify_sam2,
    ),
    ({"mask_decoder.hf_token.weight"}, _identify_sam_hq),
    ({_PATCH_OF_TINY_VIT}, _identify_tiny_vit),
    ({"image_encoder.fuse_stage2.weight"}, _identify_edge_sam),
    ({"image_encoder.patch_embed.proj.weight", "mask_decoder.mask_tokens.weight"}, _identify_sam),
    ({_YOLO_FIRST, _YOLO_PROTOTYPES, _YOLO_CLASSES}, _identify_fast_sam),
)
