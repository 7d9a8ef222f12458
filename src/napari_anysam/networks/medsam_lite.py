"""MedSAM-Lite (LiteMedSAM): a TinyViT of 256 px for medical images, made for boxes.

As ``CVPR24_LiteMedSAM_infer.py`` of bowang-lab/MedSAM, branch LiteMedSAM, does it: the longest side
is resized to 256 px by the area that a pixel covers (``cv2.INTER_AREA``), intensities are stretched
to 0 to 1 over the image, and boxes are cut to whole pixels of the resized image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch.nn import functional as F

from napari_anysam.networks.mobile_sam import tiny_vit_sam
from napari_anysam.networks.protocol import Capabilities
from napari_anysam.networks.sam import SamModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from numpy.typing import NDArray

    from napari_anysam.segmentation.prompts import Prompt

__all__ = ["MedSamLiteModel", "build_medsam_lite"]


class MedSamLiteModel(SamModel):
    """MedSAM-Lite behind ``PromptableModel``; takes boxes only, as it was trained."""

    family = "medsam_lite"
    capabilities = Capabilities(points=False, masks=False)

    def _input(self, image: NDArray[np.uint8]) -> torch.Tensor:
        resized = _resize_by_area(image, self._input_shape(image.shape[:2]))
        low, high = resized.min(), resized.max()
        stretched = (resized - low) / max(high - low, 1e-8)
        height, width = stretched.shape[:2]
        pixels = self._tensor(stretched).permute(2, 0, 1)[None]
        return F.pad(pixels, (0, self.image_size - width, 0, self.image_size - height))

    def _boxes(self, prompts: Sequence[Prompt], shape: tuple[int, int]) -> torch.Tensor:
        boxes = np.array([prompt.box for prompt in prompts])[:, [1, 0, 3, 2]]
        return self._tensor(np.trunc(boxes * (self.image_size / max(shape))))


def _resize_by_area(image: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Resize (H, W, C): a new pixel is the mean of what it covers, rounded to whole levels."""
    rows, columns = (_coverage(*sides) for sides in zip(image.shape[:2], shape, strict=True))
    mean: NDArray[np.float64] = np.einsum("yh,hwc,xw->yxc", rows, image, columns, optimize=True)
    return np.floor(mean + 0.5)


def _coverage(old: int, new: int) -> NDArray[np.float64]:
    """Return how much of a new pixel each old one makes up along one side, (new, old)."""
    edges = np.arange(new + 1) * (old / new)
    start, stop = edges[:-1, None], edges[1:, None]
    pixel = np.arange(old)
    covered: NDArray[np.float64] = np.minimum(stop, pixel + 1) - np.maximum(start, pixel)
    return covered.clip(min=0) * (new / old)


def build_medsam_lite(
    tensors: Mapping[str, torch.Tensor],
    *,
    name: str,
    key: str,
    device: torch.device,
    precision: str,
) -> MedSamLiteModel:
    """Build the network that the tensors' shapes describe, and fill it with them.

    Parameters
    ----------
    tensors : mapping of str to tensor
        A complete state dict in the official layout.
    name, key, device, precision
        See ``build_sam``.

    Raises
    ------
    CheckpointError
        If a tensor is missing, unexpected or of another shape.
    """
    network = tiny_vit_sam(tensors, name, device)
    return MedSamLiteModel(network, name=name, key=key, precision=precision)
