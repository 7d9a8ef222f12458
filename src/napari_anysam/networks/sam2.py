"""SAM 2, SAM 2.1 and the shipped model: official modules of the ``sam2`` package, own driving.

Images are answered as ``sam2/sam2_image_predictor.py`` does: antialiased bilinear resize to a
square, ImageNet statistics, ``no_mem_embed`` added before decoding, masks not gated by the object
score. Following objects through planes is in ``sam2_tracking.py``, building and loading in
``sam2_build.py``.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from omegaconf import DictConfig

from napari_anysam.errors import Cancelled
from napari_anysam.networks.batches import embedding_rows, join_embeddings, join_masks
from napari_anysam.networks.device import autocast, compute_type
from napari_anysam.networks.protocol import Capabilities, Embedding, Masks
from napari_anysam.networks.sam2_build import (
    build_network,
    forget_constants,
    official_configuration,
    read_configuration,
)
from napari_anysam.networks.sam2_prompts import layout_of, mask_tensor, point_tensors
from napari_anysam.networks.sam2_tracking import Sam2Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from sam2.modeling.sam2_base import SAM2Base

    from napari_anysam.networks.tracking_protocol import MemorySpan, Recall, Tracked
    from napari_anysam.segmentation.prompts import Prompt

__all__ = ["Sam2Model", "build_sam2", "official_configuration"]

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_CAST_MODULES = (torch.nn.Linear, torch.nn.Conv2d, torch.nn.ConvTranspose2d)
_LOGIT_LIMIT = 32.0
_MASK_SCALE, _MASK_BIAS = 20.0, -10.0


def build_sam2(
    tensors: Mapping[str, torch.Tensor],
    configuration: DictConfig | Path | str,
    *,
    name: str,
    key: str,
    device: torch.device | str = "cpu",
    precision: str = "fp32",
) -> Sam2Model:
    """Build a model from the tensors of a checkpoint.

    Parameters
    ----------
    tensors : mapping of str to tensor
        The network's whole state.
    configuration : DictConfig or path
        ``official_configuration(version, size)``, or a YAML file of that layout.
    name : str
        Catalogue name, or the stem of the checkpoint's file.
    key : str
        Identity of the weights, such as the file's hash.
    device : torch.device or str
        Where to compute.
    precision : {"fp32", "bf16", "fp16"}
        How to compute.

    Raises
    ------
    CheckpointError
        If the tensors do not fit the configuration.
    """
    device = torch.device(device)
    if not isinstance(configuration, DictConfig):
        configuration = read_configuration(configuration)
    network = build_network(tensors, configuration, name, device)
    guidance = float(configuration.get("guidance", 0.0))
    return Sam2Model(
        network, name=name, key=key, device=device, precision=precision, guidance=guidance
    )


class Sam2Model:
    """A SAM 2 network behind ``PromptableModel`` and ``TrackingModel``.

    Parameters
    ----------
    network : SAM2Base
        In evaluation mode, on its device, in float32.
    name, key : str
        See ``build_sam2``.
    device : torch.device
        Where the network is.
    precision : {"fp32", "bf16", "fp16"}
        Below "fp32", every step runs under autocast, and the weights that it would cast each time
        are cast here, once and for all.
    guidance : float
        See ``TrackingModel.guidance``; the official networks were not trained for it.
    """

    family = "sam2"
    capabilities = Capabilities(tracking=True, other_sizes=True)
    memory_type: type[Sam2Memory] = Sam2Memory

    def __init__(
        self,
        network: SAM2Base,
        *,
        name: str,
        key: str,
        device: torch.device,
        precision: str,
        guidance: float = 0.0,
    ) -> None:
        self.network = network
        self.guidance = guidance
        self._name = name
        self._device = device
        self._precision = precision
        self._key = f"{key}:{precision}:{network.image_size}"
        if precision != "fp32":
            _cast_weights(network, compute_type(precision))
        self._memory = self.memory_type(network)

    @property
    def name(self) -> str:
        """Catalogue name, or the stem of the checkpoint's file."""
        return self._name

    @property
    def key(self) -> str:
        """Identity for caches."""
        return self._key

    @property
    def image_size(self) -> int:
        """Side of the square network input in pixels."""
        return int(self.network.image_size)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._device

    @property
    def precision(self) -> str:
        """How it computes: "fp32", "bf16" or "fp16"."""
        return self._precision

    def to(self, device: torch.device) -> None:
        """Compute on another device from now on; see ``PromptableModel.to``."""
        self.network.to(device)
        forget_constants(self.network)
        self._device = device
        self._memory = self.memory_type(self.network)

    def encode(
        self, image: NDArray[np.uint8], *, cancelled: Callable[[], bool] | None = None
    ) -> Embedding:
        """Encode one RGB image, uint8 (H, W, 3); see ``PromptableModel.encode``."""
        with self._step(), _cancelling(self.network.image_encoder.trunk.blocks, cancelled):
            found = self.network.forward_image(self._input(image))
            maps = found["backbone_fpn"][-self.network.num_feature_levels :]
            dtype = compute_type(self._precision)
            tensors = {"image": maps[-1].to(dtype)}
            tensors |= {f"fine{i}": fine.to(dtype) for i, fine in enumerate(maps[:-1])}
        height, width = image.shape[:2]
        return Embedding(tensors, (height, width), self._key)

    def decode(
        self,
        embedding: Embedding,
        prompts: Sequence[Prompt],
        *,
        previous_logits: torch.Tensor | None = None,
        multimask: bool | None = None,
    ) -> Masks:
        """Decode one prompt per object; see ``PromptableModel.decode``.

        Objects share a batch only with others of the same number of points, because padding points
        change the answer. Where some objects of a call get three candidates and others one, the
        one is repeated. ``previous_logits`` take the place of masks.
        """
        return self.decode_each([embedding], prompts, previous_logits, multimask)

    def decode_each(
        self,
        embeddings: Sequence[Embedding],
        prompts: Sequence[Prompt],
        previous_logits: torch.Tensor | None = None,
        multimask: bool | None = None,
    ) -> Masks:
        """Decode a prompt on each of several encoded images; see ``BatchedModel.decode_each``."""
        embeddings = [embedding.for_model(self) for embedding in embeddings]
        answers: list[Masks | None] = [None] * len(prompts)
        groups: dict[tuple[int, bool], list[int]] = {}
        for number, prompt in enumerate(prompts):
            groups.setdefault(layout_of(prompt), []).append(number)
        for numbers in groups.values():
            previous = None if previous_logits is None else previous_logits[numbers]
            group = [prompts[number] for number in numbers]
            if len(embeddings) == 1:
                encoded = [embedding_rows(embeddings[0], numbers)]
            else:
                encoded = [embeddings[number] for number in numbers]
            with self._step():
                masks = self._decode_group(encoded, group, previous, multimask)
            for place, number in enumerate(numbers):
                answers[number] = _one(masks, place)
        return join_masks([answer for answer in answers if answer is not None])

    def upscale(self, logits: torch.Tensor, image_shape: tuple[int, int]) -> torch.Tensor:
        """Bring (B, K, h, w) logits to (B, K, H, W) pixels of the encoded image."""
        with torch.inference_mode():
            return F.interpolate(logits.float(), image_shape, mode="bilinear", align_corners=False)

    @property
    def memory_span(self) -> MemorySpan:
        """How much it remembers."""
        return self._memory.span

    def anchor(self, embedding: Embedding, prompts: Sequence[Prompt]) -> Tracked:
        """Answer prompts without any memory; see ``TrackingModel.anchor``."""
        embedding = embedding.for_model(self)
        with self._step():
            return self._memory.anchor(embedding, prompts)

    def follow(
        self, embedding: Embedding, recalls: Sequence[Recall], *, plane_count: int
    ) -> Tracked:
        """Find objects again from what they remember; see ``TrackingModel.follow``."""
        embedding = embedding.for_model(self)
        with self._step():
            return self._memory.follow(embedding, recalls, plane_count)

    def remember(
        self, embedding: Embedding, tracked: Tracked, *, anchored: bool
    ) -> tuple[torch.Tensor, ...]:
        """Encode answers into spatial memories; see ``TrackingModel.remember``."""
        embedding = embedding.for_model(self)
        with self._step():
            return self._memory.remember(embedding, tracked, anchored=anchored)

    def _decode_group(
        self,
        embeddings: Sequence[Embedding],
        prompts: Sequence[Prompt],
        previous: torch.Tensor | None,
        multimask: bool | None,
    ) -> Masks:
        """Decode prompts of one layout, on one encoded image or on one each."""
        network = self.network
        points, masked = layout_of(prompts[0])
        if multimask is None:
            multimask = points == 1 and not masked and previous is None
        sparse, dense = network.sam_prompt_encoder(
            points=point_tensors(
                prompts, [one.image_shape for one in embeddings], self.image_size, self._device
            ),
            boxes=None,
            masks=self._mask_prompt(prompts, previous),
        )
        joined = join_embeddings(embeddings)
        image = joined.tensors["image"]
        if network.directly_add_no_mem_embed:
            image = image + network.no_mem_embed.reshape(1, -1, 1, 1)
        logits, scores, _, object_logits = network.sam_mask_decoder(
            image_embeddings=image,
            image_pe=self._memory.constants.dense_positions(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            repeat_image=len(image) == 1,
            high_res_features=self._memory.fine_maps(joined, len(image)),
        )
        return Masks(logits.float(), scores.float(), object_logits.float()[:, 0])

    def _mask_prompt(
        self, prompts: Sequence[Prompt], previous: torch.Tensor | None
    ) -> torch.Tensor | None:
        """Return dense prompts (B, 1, h, w) as logits in the decoder's own resolution."""
        if previous is not None:
            previous = previous.to(self._device, torch.float32)
            return previous.clamp(-_LOGIT_LIMIT, _LOGIT_LIMIT)
        masks = mask_tensor(prompts, self.image_size, self._device)
        if masks is None:
            return None
        size = self.network.sam_prompt_encoder.mask_input_size
        small = F.interpolate(masks, size, mode="bilinear", align_corners=False, antialias=True)
        return small * _MASK_SCALE + _MASK_BIAS

    def _input(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """Return the network's input (1, 3, S, S)."""
        # torch.tensor copies: planes may be read-only views of a file.
        pixels = torch.tensor(image, device=self._device).permute(2, 0, 1)[None].float() / 255
        size = (self.image_size, self.image_size)
        if pixels.shape[-2:] != size:
            pixels = F.interpolate(
                pixels, size, mode="bilinear", align_corners=False, antialias=True
            )
        mean = pixels.new_tensor(_MEAN)[:, None, None]
        return (pixels - mean) / pixels.new_tensor(_STD)[:, None, None]

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Enter the modes of one step; never held across a yield of a caller."""
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            stack.enter_context(autocast(self._device, self._precision))
            yield


def _cast_weights(network: SAM2Base, dtype: torch.dtype) -> None:
    for module in network.modules():
        if isinstance(module, _CAST_MODULES):
            module.to(dtype)


@contextmanager
def _cancelling(
    blocks: Iterable[torch.nn.Module], cancelled: Callable[[], bool] | None
) -> Iterator[None]:
    """Ask before every block; raise Cancelled when the answer is True."""
    if cancelled is None:
        yield
        return

    def ask(*_: object) -> None:
        if cancelled():
            raise Cancelled("The encoding was cancelled.")

    handles = [block.register_forward_pre_hook(ask) for block in blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _one(masks: Masks, place: int) -> Masks:
    """Return the answer to one prompt of a batch."""
    objects = masks.object_logits
    return Masks(
        masks.logits[place : place + 1],
        masks.scores[place : place + 1],
        None if objects is None else objects[place : place + 1],
    )
