"""The first Segment Anything Model (SAM, ViT-B/L/H) on segment-anything's own modules.

Every step does what ``segment_anything.SamPredictor`` does: the image is resized with PIL so that
its longest side fills the square input, normalised and padded at its lower right; coordinates are
scaled alike and the prompt encoder adds half a pixel; low-resolution logits are enlarged to the
square, cropped to the image and enlarged again.

A boolean mask prompt, which the official predictor does not take, becomes low-resolution logits:
resized like the image to a longest side of 256, +10 inside and -10 outside and in the padding. SAM
was never trained on a mask alone, so a mask without points or box brings its bounding box along.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from segment_anything.utils.transforms import ResizeLongestSide
from torch.nn import functional as F

from napari_anysam.errors import Cancelled
from napari_anysam.networks.device import autocast
from napari_anysam.networks.protocol import Capabilities, Embedding, Masks
from napari_anysam.networks.weights import fill_network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_anysam.segmentation.prompts import Prompt

__all__ = ["SamModel", "build_sam"]

# The decoder repeats the image's features for every object: 4 MB each, and attention on top.
_OBJECTS_AT_ONCE = 16

# sam2_base.py _use_mask_as_output gives the same logits to a mask that is certain.
_CERTAIN = 10.0


class SamModel:
    """SAM behind ``PromptableModel``.

    Parameters
    ----------
    network : segment_anything.modeling.Sam
        With its weights, on its device, in evaluation mode.
    name, key : str
        As ``PromptableModel`` has them.
    precision : str
        "fp32", "bf16" or "fp16": of the image encoder. Prompts and masks are computed in fp32, which
        costs little and keeps coordinates exact.
    """

    family = "sam"
    capabilities = Capabilities()

    def __init__(self, network: Sam, *, name: str, key: str, precision: str) -> None:
        self._network = network
        self._resize = ResizeLongestSide(network.image_encoder.img_size)
        self.name = name
        self.key = key
        self.precision = precision

    @property
    def image_size(self) -> int:
        """Side of the square network input in pixels."""
        return int(self._network.image_encoder.img_size)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return torch.device(self._network.device)

    @torch.inference_mode()
    def encode(
        self, image: NDArray[np.uint8], *, cancelled: Callable[[], bool] | None = None
    ) -> Embedding:
        """Encode one RGB image, uint8 (H, W, 3); see ``PromptableModel``.

        Raises
        ------
        Cancelled
            When ``cancelled`` answers True before an encoder block.
        """
        resized = np.ascontiguousarray(self._resize.apply_image(image))
        pixels = torch.from_numpy(resized).to(self.device).permute(2, 0, 1)[None]
        encoder = self._network.image_encoder
        with autocast(self.device, self.precision), _cancellable(encoder, cancelled):
            features = encoder(self._network.preprocess(pixels))
        return Embedding({"features": features}, (image.shape[0], image.shape[1]), self.key)

    @torch.inference_mode()
    def decode(
        self,
        embedding: Embedding,
        prompts: Sequence[Prompt],
        *,
        previous_logits: torch.Tensor | None = None,
        multimask: bool | None = None,
    ) -> Masks:
        """Decode one prompt per object; see ``PromptableModel``.

        Objects whose prompts have the same layout share a batch. ``previous_logits`` take the place
        of mask prompts. Where ``multimask`` is None and only some prompts are single points, the one
        candidate of the others is repeated, so that all have three.

        Raises
        ------
        ValueError
            If the embedding comes from another network.
        """
        if embedding.model_key != self.key:
            raise ValueError(f"The embedding is of {embedding.model_key}, not of {self.key}.")
        layouts = defaultdict(list)
        for index, prompt in enumerate(prompts):
            refined = previous_logits is not None
            layouts[_layout(prompt, refined=refined, multimask=multimask)].append(index)
        count = max((3 if layout.multimask else 1 for layout in layouts), default=1)
        size = self._network.prompt_encoder.mask_input_size
        logits = torch.empty((len(prompts), count, *size), device=self.device)
        scores = torch.empty((len(prompts), count), device=self.device)
        for layout, members in layouts.items():
            for start in range(0, len(members), _OBJECTS_AT_ONCE):
                some = members[start : start + _OBJECTS_AT_ONCE]
                dense = self._dense([prompts[i] for i in some], embedding, previous_logits, some)
                masks, quality = self._decode_batch(
                    embedding, [prompts[i] for i in some], dense, layout.multimask
                )
                logits[some], scores[some] = masks.expand(-1, count, -1, -1), quality
        return Masks(logits, scores)

    @torch.inference_mode()
    def upscale(self, logits: torch.Tensor, image_shape: tuple[int, int]) -> torch.Tensor:
        """Bring (B, K, h, w) logits to (B, K, H, W) pixels of the encoded image."""
        return self._network.postprocess_masks(  # type: ignore[no-any-return]
            logits.float(), self._input_shape(image_shape), tuple(image_shape)
        )
