"""MedSAM-Lite (LiteMedSAM): a TinyViT of 256 px for medical images, made for boxes.

As ``CVPR24_LiteMedSAM_infer.py`` of bowang-lab/MedSAM, branch LiteMedSAM, does it: the longest side
is resized to 256 px by the area that a pixel covers (``cv2.INTER_AREA``), intensities are stretched
to 0 to 1 over the image, and boxes are cut to whole pixels of the resized image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.networks.mobile_sam import tiny_vit_sam
from napari_anysam.networks.preprocessing import MEDSAM_LITE
from napari_anysam.networks.protocol import Capabilities
from napari_anysam.networks.sam import SamModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from napari_anysam.segmentation.prompts import Prompt

__all__ = ["MedSamLiteModel", "build_medsam_lite"]


class MedSamLiteModel(SamModel):
    """MedSAM-Lite behind ``PromptableModel``; takes boxes only, as it was trained."""

    family = "medsam_lite"

    def _boxes(self, prompts: Sequence[Prompt], shape: tuple[int, int]) -> torch.Tensor:
        boxes = np.array([prompt.box for prompt in prompts])[:, [1, 0, 3, 2]]
        return self._tensor(np.trunc(boxes * (self.image_size / max(shape))))


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
    return MedSamLiteModel(
        network,
        name=name,
        key=key,
        precision=precision,
        preprocessing=MEDSAM_LITE,
        capabilities=Capabilities(points=False, masks=False),
    )
