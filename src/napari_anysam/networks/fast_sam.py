"""FastSAM: a YOLO network proposes every object of an image, and a prompt picks among them.

As ``Inference.py`` of CASIA-IVA-Lab/FastSAM and ``FastSAMPredictor`` of ultralytics
(``models/fastsam/predict.py``) do it. There is no mask decoder: an embedding holds the proposals.
The score of a mask is the confidence of its proposal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_anysam.errors import Cancelled
from napari_anysam.networks.device import autocast
from napari_anysam.networks.fast_sam_build import build_network
from napari_anysam.networks.fast_sam_prompts import pick
from napari_anysam.networks.letterbox import Letterbox
from napari_anysam.networks.proposals import OUTSIDE, Proposals, most_confident
from napari_anysam.networks.protocol import Capabilities, Embedding, Masks, ProposalOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_anysam.segmentation.prompts import Prompt

__all__ = ["FastSamModel", "build_fast_sam"]

# Inference.py --imgsz; no tensor tells it.
_IMAGE_SIZE = 1024


class FastSamModel:
    """FastSAM behind ``PromptableModel`` and ``ProposingModel``.

    Parameters
    ----------
    network : ultralytics.nn.tasks.SegmentationModel
        From ``build_network``.
    name : str
        Catalogue name, or the stem of the checkpoint's file.
    key : str
        Identity of the weights.
    device : torch.device
        Where the network is.
    precision : str
        "fp32", "bf16" or "fp16": of all layers but the last one, whose boxes would be off by
        pixels.
    options : ProposalOptions
        Which proposals are kept.
    """

    family = "fast_sam"
    image_size = _IMAGE_SIZE
    capabilities = Capabilities(masks=False)

    def __init__(
        self,
        network: Any,
        *,
        name: str,
        key: str,
        device: torch.device,
        precision: str,
        options: ProposalOptions,
    ) -> None:
        self._network = network
        self._weights_key = key
        self.name = name
        self.device = device
        self.precision = precision
        self.options = options

    @property
    def key(self) -> str:
        """Identity for caches; ``retina_masks`` does not count, as embeddings do not differ."""
        kept = f"conf{self.options.conf:g}:iou{self.options.iou:g}"
        return f"{self._weights_key}:{self.precision}:{kept}"

    def to(self, device: torch.device) -> None:
        """Compute on another device from now on; see ``PromptableModel``."""
        self._network.to(device)
        self.device = device

    @torch.inference_mode()
    def encode(
        self, image: NDArray[np.uint8], *, cancelled: Callable[[], bool] | None = None
    ) -> Embedding:
        """Find the proposals for one RGB image, uint8 (H, W, 3); see ``PromptableModel``.

        Raises
        ------
        Cancelled
            When ``cancelled`` answers True before a layer.
        """
        shape = (image.shape[0], image.shape[1])
        pixels = torch.from_numpy(Letterbox.fit(shape, self.image_size).pixels(image))
        inputs = pixels.to(self.device).permute(2, 0, 1)[None].float() / 255
        predictions, prototypes = self._run(inputs, cancelled)
        tensors = most_confident(predictions[0], self.options.conf, self.options.iou)
        return Embedding({**tensors, "prototypes": prototypes}, shape, self.key)

    @torch.inference_mode()
    def decode(
        self,
        embedding: Embedding,
        prompts: Sequence[Prompt],
        *,
        previous_logits: torch.Tensor | None = None,
        multimask: bool | None = None,
    ) -> Masks:
        """Pick proposals for one prompt per object; see ``PromptableModel`` and ``pick``.

        Logits are in pixels of the image with ``retina_masks``, else of the network's input. A
        prompt that no proposal fits gets an empty mask with score 0. Where some objects have more
        candidates than others, the last one of those is repeated.

        Raises
        ------
        CapabilityError
            If a prompt holds a mask, or an earlier answer shall be refined, or if the embedding
            comes from another network or was made with other options.
        """
        self.capabilities.check(self.name, prompts, refined=previous_logits is not None)
        proposals = self._proposals(embedding)
        answers = [_answer(proposals, pick(proposals, one, multimask)) for one in prompts]
        count = max((len(scores) for _, scores in answers), default=1)
        places = [[min(k, len(scores) - 1) for k in range(count)] for _, scores in answers]
        pairs = list(zip(answers, places, strict=True))
        if not pairs:
            empty = proposals.prototypes.new_empty
            return Masks(empty((0, 1, *proposals.frame)), empty((0, 1)))
        return Masks(
            torch.stack([logits[place] for (logits, _), place in pairs]),
            torch.stack([scores[place] for (_, scores), place in pairs]),
        )

    @torch.inference_mode()
    def everything(self, embedding: Embedding) -> Iterator[Masks]:
        """Give every proposal that has a pixel; see ``ProposingModel``.

        Raises
        ------
        CapabilityError
            If the embedding comes from another network, or was made with other options.
        """
        proposals = self._proposals(embedding)
        numbers = torch.arange(len(proposals.scores), device=self.device)
        for batch in proposals.batches(numbers):
            logits, scores = proposals.logits(batch), proposals.scores[batch]
            drawn = (logits > 0).flatten(1).any(1)
            yield Masks(logits[drawn][:, None], scores[drawn][:, None])

    @torch.inference_mode()
    def upscale(self, logits: torch.Tensor, image_shape: tuple[int, int]) -> torch.Tensor:
        """Bring (B, K, h, w) logits to (B, K, H, W) pixels of the encoded image."""
        if tuple(logits.shape[-2:]) == tuple(image_shape):
            return logits
        return Letterbox.fit(image_shape, self.image_size).to_image(logits)

    def _run(
        self, inputs: torch.Tensor, cancelled: Callable[[], bool] | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run layer after layer: each names, as ``f``, those whose output it takes."""
        outputs: list[torch.Tensor] = []
        *layers, head = self._network.model
        given = inputs
        with autocast(self.device, self.precision):
            for layer in layers:
                _stop_if(cancelled)
                given = layer(_sources(layer.f, given, outputs))
                outputs.append(given)
        _stop_if(cancelled)
        with autocast(self.device, "fp32"):
            predictions, prototypes = head([outputs[number].float() for number in head.f])
        return predictions, prototypes

    def _proposals(self, embedding: Embedding) -> Proposals:
        embedding = embedding.for_model(self)
        tensors = {name: one[0] for name, one in embedding.tensors.items()}
        return Proposals(
            **tensors,
            letterbox=Letterbox.fit(embedding.image_shape, self.image_size),
            native=self.options.retina_masks,
        )


def _sources(
    numbers: int | list[int], before: torch.Tensor, outputs: Sequence[torch.Tensor]
) -> torch.Tensor | list[torch.Tensor]:
    """Return what a layer takes: the output before it (-1), or of layers by their numbers."""
    if isinstance(numbers, int):
        return before if numbers == -1 else outputs[numbers]
    return [before if number == -1 else outputs[number] for number in numbers]


def _stop_if(cancelled: Callable[[], bool] | None) -> None:
    if cancelled is not None and cancelled():
        raise Cancelled("Encoding was cancelled.")


def _answer(
    proposals: Proposals, candidates: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw candidates, each of one or several proposals: logits (K, h, w) and scores (K,)."""
    if not candidates:
        nothing = proposals.prototypes.new_full((1, *proposals.frame), OUTSIDE)
        return nothing, proposals.scores.new_zeros(1)
    logits = [proposals.union(numbers) for numbers in candidates]
    scores = [proposals.scores[numbers].max() for numbers in candidates]
    return torch.stack(logits), torch.stack(scores)


def build_fast_sam(
    tensors: Mapping[str, torch.Tensor],
    *,
    name: str,
    key: str,
    device: torch.device,
    precision: str,
    options: ProposalOptions = ProposalOptions(),  # noqa: B008 - frozen
) -> FastSamModel:
    """Build the network that the tensors' shapes describe, and fill it with them.

    Parameters
    ----------
    tensors, name, device
        See ``build_network``.
    key, precision, options
        As ``FastSamModel`` has them.

    Raises
    ------
    CapabilityError
        If ultralytics is not installed.
    CheckpointError
        If a tensor is missing, unexpected or of another shape.
    """
    network = build_network(tensors, name, device)
    return FastSamModel(
        network, name=name, key=key, device=device, precision=precision, options=options
    )
