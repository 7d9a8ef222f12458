"""What every network offers, whatever its family.

A network sees one encoded image at a time: a whole plane or a region of one. Prompts are in
(row, column) pixels of that image; each network turns them into its own (x, y) input frame, as
its official code does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from napari_anysam.errors import CapabilityError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from napari_anysam.segmentation.prompts import Prompt

__all__ = [
    "PROTOCOL_VERSION",
    "BatchedModel",
    "Capabilities",
    "Embedding",
    "Masks",
    "PromptableModel",
    "ProposalOptions",
    "ProposingModel",
]

PROTOCOL_VERSION = 1
"""Part of every key: raise it when preprocessing or the meaning of embeddings changes."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Which prompts a network takes and whether it can track.

    Parameters
    ----------
    points, boxes, masks, tracking : bool
        What it takes and can do.
    negative_points : bool
        Whether it takes clicks beside the object.
    other_sizes : bool
        Whether it can be loaded for images of another size (``load_model(image_size=...)``).
    most_places : int or None
        Most clicks of one prompt, where a box counts as two; None for any number.
    """

    points: bool = True
    boxes: bool = True
    masks: bool = True
    tracking: bool = False
    negative_points: bool = True
    other_sizes: bool = False
    most_places: int | None = None

    def check(self, name: str, prompts: Iterable[Prompt], *, refined: bool) -> None:
        """See that a network takes such prompts.

        Parameters
        ----------
        name : str
            Of the network, for the message.
        prompts : iterable of Prompt
            What it is asked.
        refined : bool
            Whether logits of an earlier answer come along, which are a mask to the network.

        Raises
        ------
        CapabilityError
            If it was not trained with one of them; the message says what it takes.
        """
        for prompt in prompts:
            self._check_kinds(name, prompt, refined)
            self._check_clicks(name, prompt)

    def _check_kinds(self, name: str, prompt: Prompt, refined: bool) -> None:
        takes = {"points": self.points, "boxes": self.boxes, "masks": self.masks}
        asked = {
            "points": bool(prompt.points),
            "boxes": prompt.box is not None,
            "masks": prompt.mask is not None or refined,
        }
        refused = [kind for kind, is_asked in asked.items() if is_asked and not takes[kind]]
        if refused:
            taken = " and ".join(kind for kind, is_taken in takes.items() if is_taken)
            raise CapabilityError(
                f"{name} takes {taken} but no {' and no '.join(refused)}; "
                f"prompt it with {taken}, or choose another model."
            )

    def _check_clicks(self, name: str, prompt: Prompt) -> None:
        if not self.negative_points and not all(prompt.polarity):
            raise CapabilityError(
                f"{name} takes no negative clicks; click on the object or draw a box around it, or "
                "choose another model."
            )
        if self.most_places is None:
            return
        most = self.most_places - 2 * (prompt.box is not None)
        if len(prompt.points) > most:
            beside = " beside a box" if prompt.box is not None else ""
            raise CapabilityError(
                f"{name} takes at most {most} clicks{beside}, not {len(prompt.points)}; "
                "remove some."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """One encoded image.

    Parameters
    ----------
    tensors : mapping of str to tensor
        The network's own features, batch 1, in its compute precision. Networks that can follow
        objects also take one row per object, of images of one shape (``batches.join_embeddings``).
    image_shape : (H, W)
        Pixels of the image that was encoded; prompts and upscaled logits are in this frame.
    model_key : str
        ``PromptableModel.key`` of the network that made it; another one refuses it.
    """

    tensors: Mapping[str, torch.Tensor]
    image_shape: tuple[int, int]
    model_key: str

    @property
    def nbytes(self) -> int:
        """Bytes of all feature tensors."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())

    def for_model(self, model: PromptableModel) -> Embedding:
        """Return the embedding on the device of a model that is about to read it.

        Raises
        ------
        CapabilityError
            If another model made it.
        """
        if self.model_key != model.key:
            raise CapabilityError(
                f"The embedding was not made by {model.name} as it is loaded now; encode the image "
                "again."
            )
        device = model.device
        moved = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        return replace(self, tensors=moved)


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """Candidate masks of a batch of objects.

    Parameters
    ----------
    logits : float32 tensor (B, K, h, w)
        Low-resolution logits in the network's own frame; positive is inside.
    scores : float32 tensor (B, K)
        Predicted IoU, or the confidence of a family that has no such head.
    object_logits : float32 tensor (B,) or None
        Positive where the object is on the plane; None for families without such a head.
    """

    logits: torch.Tensor
    scores: torch.Tensor
    object_logits: torch.Tensor | None = None


@runtime_checkable
class PromptableModel(Protocol):
    """A loaded network that segments images from prompts.

    Not re-entrant: one thread calls it.
    """

    @property
    def name(self) -> str:
        """Catalogue name, or the stem of the checkpoint's file."""

    @property
    def family(self) -> str:
        """Family as the catalogue names it: "sam", "sam2", ..."""

    @property
    def key(self) -> str:
        """Identity for caches: changes with weights, precision and preprocessing."""

    @property
    def image_size(self) -> int:
        """Side of the square network input in pixels."""

    @property
    def capabilities(self) -> Capabilities:
        """Prompts it takes, and whether it is also a TrackingModel."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    def precision(self) -> str:
        """Resolved precision: "fp32", "bf16" or "fp16"."""

    def to(self, device: torch.device) -> None:
        """Compute on another device from now on, in the same precision.

        Embeddings, memories and logits that were made before still serve: what a call is given
        follows the network.
        """

    def encode(
        self, image: NDArray[np.uint8], *, cancelled: Callable[[], bool] | None = None
    ) -> Embedding:
        """Encode one RGB image.

        Parameters
        ----------
        image : uint8 array (H, W, 3)
            A whole plane or a region of it, already conditioned.
        cancelled : callable, optional
            Asked between encoder blocks; when it answers True, ``Cancelled`` is raised.
        """

    def decode(
        self,
        embedding: Embedding,
        prompts: Sequence[Prompt],
        *,
        previous_logits: torch.Tensor | None = None,
        multimask: bool | None = None,
    ) -> Masks:
        """Decode one prompt per object, all of them on one encoded image.

        Parameters
        ----------
        embedding : Embedding
            From this network's ``encode``.
        prompts : sequence of Prompt
            One per object, in pixels of the encoded image. Its ``mask``, if any, has the encoded
            image's shape and is fed as a dense prompt. Plane and object id are ignored.
        previous_logits : tensor (B, 1, h, w), optional
            Logits of an earlier answer, to be refined.
        multimask : bool, optional
            Three candidates or one; None asks for three where the prompt is a single point, or
            where the network was trained to give three to every prompt.
        """

    def upscale(self, logits: torch.Tensor, image_shape: tuple[int, int]) -> torch.Tensor:
        """Bring (B, K, h, w) logits to (B, K, H, W) pixels of the encoded image."""


@runtime_checkable
class BatchedModel(PromptableModel, Protocol):
    """A network that answers prompts on several encoded images in one batch."""

    def decode_each(
        self,
        embeddings: Sequence[Embedding],
        prompts: Sequence[Prompt],
        previous_logits: torch.Tensor | None = None,
        multimask: bool | None = None,
    ) -> Masks:
        """Decode one prompt on each of several encoded images.

        The answers are those of ``decode`` for every image alone, within 1e-5 in fp32.

        Parameters
        ----------
        embeddings : sequence of Embedding
            One for each prompt, or one for all of them.
        prompts, previous_logits, multimask
            As for ``decode``; each prompt in pixels of its own image.
        """


@dataclass(frozen=True, slots=True)
class ProposalOptions:
    """Which proposals a network keeps, and how finely it draws them.

    The defaults are those of ``Inference.py`` of CASIA-IVA-Lab/FastSAM.

    Parameters
    ----------
    conf : float
        Least confidence of a proposal, 0 to 1.
    iou : float
        Of two proposals whose boxes overlap by more than this IoU, 0 to 1, the less confident one
        is left out.
    retina_masks : bool
        Whether masks are drawn at the resolution of the image, or at that of the network's input,
        which is quicker where the image is large.

    Raises
    ------
    SettingsError
        If a number is not between 0 and 1.
    """

    conf: float = 0.4
    iou: float = 0.9
    retina_masks: bool = True

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, value in (("conf", self.conf), ("iou", self.iou)):
            if not 0 <= value <= 1:
                raise SettingsError(f"{name} is {value:g}; give a number from 0 to 1.")


@runtime_checkable
class ProposingModel(PromptableModel, Protocol):
    """A network that proposes objects by itself; a prompt picks among its proposals."""

    options: ProposalOptions
    """May be replaced at any time; what it encodes then has another key."""

    def everything(self, embedding: Embedding) -> Iterator[Masks]:
        """Give every proposal as an object with one mask, the most confident first.

        They come in batches of bounded size. The scores are confidences.

        Parameters
        ----------
        embedding : Embedding
            From this network's ``encode``.
        """
