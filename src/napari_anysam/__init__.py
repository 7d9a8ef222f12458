"""Segment anything in napari, and without a window.

The public names are loaded on first use, so that importing this package costs napari nothing:
no torch, Qt or napari comes in before it is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_anysam.export.formats import export_labels
    from napari_anysam.networks.load import load_model
    from napari_anysam.segmentation.everything import segment_everything
    from napari_anysam.segmentation.everything_by_points import EverythingOptions
    from napari_anysam.segmentation.interactive import segment
    from napari_anysam.segmentation.key_slice import segment_lesion
    from napari_anysam.segmentation.label_prompts import prompts_from_labels
    from napari_anysam.segmentation.mask_options import MaskOptions
    from napari_anysam.segmentation.prompts import Prompt, Scribble
    from napari_anysam.segmentation.propagate import propagate

__all__ = [
    "EverythingOptions",
    "MaskOptions",
    "Prompt",
    "Scribble",
    "__version__",
    "export_labels",
    "load_model",
    "prompts_from_labels",
    "propagate",
    "segment",
    "segment_everything",
    "segment_lesion",
]

__version__ = "0.1.0"

_HOMES = {
    "EverythingOptions": "napari_anysam.segmentation.everything_by_points",
    "MaskOptions": "napari_anysam.segmentation.mask_options",
    "Prompt": "napari_anysam.segmentation.prompts",
    "Scribble": "napari_anysam.segmentation.prompts",
    "export_labels": "napari_anysam.export.formats",
    "load_model": "napari_anysam.networks.load",
    "prompts_from_labels": "napari_anysam.segmentation.label_prompts",
    "propagate": "napari_anysam.segmentation.propagate",
    "segment": "napari_anysam.segmentation.interactive",
    "segment_everything": "napari_anysam.segmentation.everything",
    "segment_lesion": "napari_anysam.segmentation.key_slice",
}


def __getattr__(name: str) -> object:
    """Import a public name from the module it lives in (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Name the lazy names too."""
    return sorted(__all__)
