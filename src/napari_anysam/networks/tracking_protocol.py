"""What a network that can follow objects through planes offers beyond ``PromptableModel``.

The network answers and encodes memories; which memories an object has, and which of them count on
a plane, is decided above it (``segmentation/memory.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch

from napari_anysam.networks.protocol import PromptableModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_anysam.networks.protocol import Embedding
    from napari_anysam.segmentation.prompts import Prompt

__all__ = ["MemorySpan", "Recall", "Tracked", "TrackingModel"]

NO_OBJECT_LOGIT = -1024.0
"""Logit of every pixel where the object is not on the plane, as in ``sam2_base.py``."""


@dataclass(frozen=True, slots=True)
class MemorySpan:
    """How much a network remembers.

    Parameters
    ----------
    recent : int
        Tracked planes whose spatial memories count, the nearest ones.
    pointers : int
        Planes whose object pointers count, the current one included.
    anchors : int
        Prompted planes that count at once, chosen by nearness.
    past_pointers_only : bool
        Whether only anchors behind the current plane give their pointers.
    signed_distances : bool
        Whether pointers of anchors ahead have negative distances.
    """

    recent: int
    pointers: int
    anchors: int
    past_pointers_only: bool
    signed_distances: bool


@dataclass(frozen=True, slots=True, eq=False)
class Recall:
    """What one object remembers on one plane, in the order in which the network reads it.

    Parameters
    ----------
    features : tuple of tensor (n, c)
        Spatial memories: anchors first, then recent planes from the oldest to the nearest. Their
        n tokens are the plane's h * w, or what the network presses them into.
    ages : tuple of int
        One per spatial memory: 0 for an anchor, else how many planes ago.
    pointers : tuple of tensor (C,)
        Object pointers: anchors first, then recent planes from the nearest to the oldest.
    distances : tuple of int
        One per pointer: how many planes ago.
    """

    features: tuple[torch.Tensor, ...]
    ages: tuple[int, ...]
    pointers: tuple[torch.Tensor, ...]
    distances: tuple[int, ...]

    @property
    def layout(self) -> tuple[int, int]:
        """Numbers of memories and pointers; only objects of equal layout share a batch."""
        return len(self.features), len(self.pointers)


@dataclass(frozen=True, slots=True, eq=False)
class Tracked:
    """Answers for a batch of objects on one plane.

    Parameters
    ----------
    logits : float32 tensor (B, 1, h, w)
        Low-resolution mask logits as the decoder gave them.
    scores : float32 tensor (B,)
        Predicted IoU.
    object_logits : float32 tensor (B,)
        Positive where the object is on the plane.
    pointers : tensor (B, C)
        What the network keeps of each object's look.
    """

    logits: torch.Tensor
    scores: torch.Tensor
    object_logits: torch.Tensor
    pointers: torch.Tensor

    @property
    def gated(self) -> torch.Tensor:
        """Logits (B, 1, h, w) with every pixel outside where the object is not on the plane."""
        present = self.object_logits[:, None, None, None] > 0
        return torch.where(present, self.logits, NO_OBJECT_LOGIT)


@runtime_checkable
class TrackingModel(PromptableModel, Protocol):
    """A network with a memory. Not re-entrant: one thread calls it."""

    @property
    def memory_span(self) -> MemorySpan:
        """How much it remembers."""

    @property
    def guidance(self) -> float:
        """Weight, 0 to 1, of its answer to the last mask beside that of its memory."""

    def anchor(self, embedding: Embedding, prompts: Sequence[Prompt]) -> Tracked:
        """Answer prompts without any memory.

        Parameters
        ----------
        embedding : Embedding
            From this network's ``encode``.
        prompts : sequence of Prompt
            One per object, in pixels of the encoded image, each a mask or points and box. A mask
            is its own answer.
        """

    def follow(
        self, embedding: Embedding, recalls: Sequence[Recall], *, plane_count: int
    ) -> Tracked:
        """Find objects again from what they remember.

        Parameters
        ----------
        embedding : Embedding
            The next plane, from this network's ``encode``; or one row per object.
        recalls : sequence of Recall
            One per object; layouts may differ.
        plane_count : int
            Planes of the whole stack, by which pointer distances are scaled.
        """

    def remember(
        self, embedding: Embedding, tracked: Tracked, *, anchored: bool
    ) -> tuple[torch.Tensor, ...]:
        """Encode answers into spatial memories (n, c), one per object.

        Parameters
        ----------
        embedding : Embedding
            The plane that was answered; or one row per object.
        tracked : Tracked
            The answers.
        anchored : bool
            Whether they came from prompts.
        """
