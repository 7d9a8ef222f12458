"""The first Segment Anything Model (SAM, ViT-B/L/H) on segment-anything's own modules.

Every step does what ``segment_anything.SamPredictor`` does: the image is resized with PIL so that
its longest side fills the square input, normalised and padded at its lower right; coordinates are
scaled alike and the prompt encoder adds half a pixel; low-resolution logits are enlarged to the
square, cropped to the image and enlarged again. Models of the same architecture that were trained
on other pixels, such as MedSAM, bring their own ``Preprocessing``.

A boolean mask prompt, which the official predictor does not take, becomes low-resolution logits:
resized like the image to a longest side of 256, +10 inside and -10 outside and in the padding. SAM
was never trained on a mask alone, so a mask without points or box brings its bounding box along.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F

from napari_anysam.errors import Cancelled
from napari_anysam.networks.device import autocast, compute_type
from napari_anysam.networks.preprocessing import SAM, Preprocessing
from napari_anysam.networks.protocol import Capabilities, Embedding, Masks
from napari_anysam.networks.sam_parts import (
    assemble,
    described,
    fill_sam,
    image_encoder,
    mask_decoder,
    shapes_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from segment_anything.modeling import Sam

    from napari_anysam.segmentation.prompts import Prompt

__all__ = ["SamModel", "build_sam"]

# The decoder repeats the image's features for every object: 4 MB each, and attention on top.
_OBJECTS_AT_ONCE = 16

# sam2_base.py _use_mask_as_output gives the same logits to a mask that is certain.
_CERTAIN = 10.0


class SamModel:
    """SAM behind ``PromptableModel``.

    A family that differs in a step overrides it: ``_features`` encodes pixels, ``_boxes`` scales
    boxes, ``_masks`` runs the mask decoder.

    Parameters
    ----------
    network : segment_anything.modeling.Sam
        With its weights, on its device, in evaluation mode. Its encoder may be any module with
        ``img_size``, ``blocks`` and ``neck`` that turns (1, 3, S, S) into (1, C, h, w).
    name : str
        Catalogue name, or the stem of the checkpoint's file.
    key : str
        Identity of the weights; the precision is added to it.
    precision : str
        "fp32", "bf16" or "fp16": of the image encoder. Prompts and masks are computed in fp32,
        which costs little and keeps coordinates exact.
    preprocessing : Preprocessing
        How images, coordinates and masks are brought to the network's frame and back.
    capabilities : Capabilities
        The prompts that the weights were trained with.
    """

    family = "sam"

    multimask_candidates = 3
    """How many candidates a prompt gets that shall have several."""

    always_multimask = False
    """Whether every prompt gets several candidates by default, not only a single point."""

    def __init__(
        self,
        network: Sam,
        *,
        name: str,
        key: str,
        precision: str,
        preprocessing: Preprocessing = SAM,
        capabilities: Capabilities = Capabilities(),  # noqa: B008 - frozen
    ) -> None:
        self._network = network
        self._preprocessing = preprocessing
        self.capabilities = capabilities
        self.name = name
        self.key = f"{key}:{precision}:{preprocessing.name}"
        self.precision = precision

    @property
    def image_size(self) -> int:
        """Side of the square network input in pixels."""
        return int(self._network.image_encoder.img_size)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return torch.device(self._network.device)

    def to(self, device: torch.device) -> None:
        """Compute on another device from now on; see ``PromptableModel``."""
        self._network.to(device)

    @torch.inference_mode()
    def encode(
        self, image: NDArray[np.uint8], *, cancelled: Callable[[], bool] | None = None
    ) -> Embedding:
        """Encode one RGB image, uint8 (H, W, 3); see ``PromptableModel``.

        Raises
        ------
        Cancelled
            When ``cancelled`` answers True before an encoder block.
        ImageError
            If the image is too narrow for the network's square.
        """
        pixels = self._preprocessing.pixels(image, self.image_size, self.device)
        encoder = self._network.image_encoder
        with autocast(self.device, self.precision), _cancellable(encoder, cancelled):
            features = self._features(pixels)
        dtype = compute_type(self.precision)  # the last normalisation widens its answer to float32
        tensors = {name: tensor.to(dtype) for name, tensor in features.items()}
        return Embedding(tensors, (image.shape[0], image.shape[1]), self.key)

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

        Objects whose prompts have the same layout share a batch. ``previous_logits`` take the
        place of mask prompts. Where ``multimask`` is None and only some prompts are single points,
        the one candidate of the others is repeated, so that all have three.

        Raises
        ------
        CapabilityError
            If the network was not trained with such a prompt, or the embedding is another one's.
        """
        self.capabilities.check(self.name, prompts, refined=previous_logits is not None)
        embedding = embedding.for_model(self)
        if multimask is None and self.always_multimask:
            multimask = True
        layouts = [_layout(prompt, previous_logits is not None, multimask) for prompt in prompts]
        several = any(layout.multimask for layout in layouts)
        count = self.multimask_candidates if several else 1
        size = self._network.prompt_encoder.mask_input_size
        logits = torch.empty((len(prompts), count, *size), device=self.device)
        scores = torch.empty((len(prompts), count), device=self.device)
        for layout, members in _batches(layouts):
            previous = None if previous_logits is None else previous_logits[members]
            batch = [prompts[index] for index in members]
            masks, quality = self._decode_batch(embedding, batch, layout, previous)
            logits[members] = masks.expand(-1, count, -1, -1)
            scores[members] = quality.expand(-1, count)
        return Masks(logits, scores)

    @torch.inference_mode()
    def upscale(self, logits: torch.Tensor, image_shape: tuple[int, int]) -> torch.Tensor:
        """Bring (B, K, h, w) logits to (B, K, H, W) pixels of the encoded image."""
        return self._preprocessing.upscale(logits, self.image_size, image_shape)

    def _features(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Encode the network's input, under autocast: what the mask decoder needs of the image."""
        return {"features": self._network.image_encoder(pixels)}

    def _decode_batch(
        self,
        embedding: Embedding,
        prompts: Sequence[Prompt],
        layout: _Layout,
        previous: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Decode prompts of one layout: logits (B, K, h, w) and scores (B, K)."""
        shape = embedding.image_shape
        with autocast(self.device, "fp32"):
            sparse, dense = self._network.prompt_encoder(
                points=self._points(prompts, shape) if layout.points else None,
                boxes=self._boxes(prompts, shape) if layout.box else None,
                masks=self._dense(prompts, previous) if layout.dense else None,
            )
            tensors = {k: v.float() for k, v in embedding.tensors.items()}
            return self._masks(tensors, sparse, dense, layout.multimask)

    def _masks(
        self,
        tensors: Mapping[str, torch.Tensor],
        sparse: torch.Tensor,
        dense: torch.Tensor,
        multimask: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the mask decoder on encoded prompts: logits (B, K, h, w) and scores (B, K).

        What an embedding holds beside the features is handed to the decoder under its name.
        """
        further = {name: tensor for name, tensor in tensors.items() if name != "features"}
        masks, quality = self._network.mask_decoder(
            image_embeddings=tensors["features"],
            image_pe=self._network.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            **further,
        )
        return masks, quality

    def _points(
        self, prompts: Sequence[Prompt], shape: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Coordinates (B, N, 2) as (x, y) in the input frame, and labels (B, N)."""
        points = np.array([prompt.points for prompt in prompts], dtype=float)[..., ::-1]
        labels = np.array([prompt.polarity for prompt in prompts], dtype=int)
        scaled = self._preprocessing.coordinates(points, shape, self.image_size)
        return self._tensor(scaled), torch.as_tensor(labels, dtype=torch.int, device=self.device)

    def _boxes(self, prompts: Sequence[Prompt], shape: tuple[int, int]) -> torch.Tensor:
        """Boxes (B, 4) as (x0, y0, x1, y1) in the input frame."""
        boxes = np.array([prompt.box or _bounding_box(prompt.mask) for prompt in prompts])
        corners = boxes[:, [1, 0, 3, 2]].reshape(-1, 2, 2)
        scaled = self._preprocessing.coordinates(corners, shape, self.image_size)
        return self._tensor(scaled.reshape(-1, 4))

    def _dense(self, prompts: Sequence[Prompt], previous: torch.Tensor | None) -> torch.Tensor:
        """Low-resolution logits (B, 1, h, w) as the prompt encoder takes them."""
        if previous is not None:
            return previous.to(self.device).float()
        return torch.cat([self._mask_logits(prompt.mask) for prompt in prompts])

    def _mask_logits(self, mask: NDArray[np.bool_] | None) -> torch.Tensor:
        """Turn a mask (H, W) into logits (1, 1, h, w)."""
        side = self._network.prompt_encoder.mask_input_size[0]
        inside = self._tensor(np.asarray(mask, dtype=np.float32))[None, None]
        shape = self._preprocessing.fitted((inside.shape[-2], inside.shape[-1]), side)
        small = F.interpolate(inside, shape, mode="bilinear", antialias=True)
        padded = F.pad(small, (0, side - shape[1], 0, side - shape[0]))
        return _CERTAIN * (2 * padded - 1)

    def _tensor(self, values: NDArray[Any]) -> torch.Tensor:
        return torch.as_tensor(
            np.ascontiguousarray(values), dtype=torch.float32, device=self.device
        )


@dataclass(frozen=True, slots=True)
class _Layout:
    """What decides whether two objects can share a batch."""

    points: int
    box: bool
    dense: bool
    multimask: bool


def _layout(prompt: Prompt, refined: bool, multimask: bool | None) -> _Layout:
    points, masked = len(prompt.points), prompt.mask is not None
    box = prompt.box is not None or (masked and not points)
    if multimask is None:
        multimask = points == 1 and not (box or masked or refined)
    return _Layout(points, box, masked or refined, multimask)


def _batches(layouts: Sequence[_Layout]) -> Iterator[tuple[_Layout, list[int]]]:
    """Group the indices of equal layouts, a bounded number at a time."""
    groups: dict[_Layout, list[int]] = {}
    for index, layout in enumerate(layouts):
        groups.setdefault(layout, []).append(index)
    for layout, members in groups.items():
        for start in range(0, len(members), _OBJECTS_AT_ONCE):
            yield layout, members[start : start + _OBJECTS_AT_ONCE]


def _bounding_box(mask: NDArray[np.bool_] | None) -> tuple[float, float, float, float]:
    rows, columns = np.nonzero(np.asarray(mask))
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


@contextmanager
def _cancellable(encoder: Any, cancelled: Callable[[], bool] | None) -> Iterator[None]:
    """Ask before every block of the encoder whether to go on."""
    if cancelled is None:
        yield
        return

    def ask(*_: object) -> None:
        if cancelled():
            raise Cancelled("Encoding was cancelled.")

    hooks = [block.register_forward_pre_hook(ask) for block in (*encoder.blocks, encoder.neck)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def build_sam(
    tensors: Mapping[str, torch.Tensor],
    *,
    name: str,
    key: str,
    device: torch.device,
    precision: str,
    preprocessing: Preprocessing = SAM,
    capabilities: Capabilities = Capabilities(),  # noqa: B008 - frozen
) -> SamModel:
    """Build the network that the tensors' shapes describe, and fill it with them.

    Parameters
    ----------
    tensors : mapping of str to tensor
        A complete SAM state dict without prefixes.
    name, key, precision, preprocessing, capabilities
        As ``SamModel`` has them.
    device : torch.device
        Where the network shall compute.

    Raises
    ------
    CheckpointError
        If a tensor is missing, unexpected or of another shape.
    """
    with described(name, "SAM"):
        shapes = shapes_of(tensors)
        network = assemble(shapes, image_encoder(shapes), mask_decoder(shapes))
    fill_sam(network, tensors, name, device)
    return SamModel(
        network,
        name=name,
        key=key,
        precision=precision,
        preprocessing=preprocessing,
        capabilities=capabilities,
    )
