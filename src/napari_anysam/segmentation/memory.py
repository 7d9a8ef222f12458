"""What an object remembers while it is followed: its anchors, a ring of recent planes, pointers.

The choice of memories is that of ``SAM2Base._prepare_memory_conditioned_features`` at a temporal
stride of one; unlike in ``SAM2VideoPredictor``, nothing that can no longer be chosen is kept.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_anysam.networks.tracking_protocol import Recall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import torch

    from napari_anysam.networks.tracking_protocol import MemorySpan, Tracked
    from napari_anysam.segmentation.regions import Region

__all__ = ["Memory", "MemoryBank", "nearest_anchors"]


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What one object left on one plane.

    Parameters
    ----------
    plane : int
        Index along the stack's axis.
    features : tensor (n, c)
        Spatial memory, in the frame of ``region``.
    pointer : tensor (C,)
        The object's look.
    region : Region
        The window of the plane that the features show.
    answer : Tracked
        The answer for this object alone, to be encoded again when its region moves.
    answered : Region
        The window of the plane that the answer shows.
    anchored : bool
        Whether the answer came from a prompt.
    """

    plane: int
    features: torch.Tensor
    pointer: torch.Tensor
    region: Region
    answer: Tracked
    answered: Region
    anchored: bool


class MemoryBank:
    """The memories of one object in one direction; bounded, whatever the length of the stack.

    Parameters
    ----------
    span : MemorySpan
        How much the network remembers.
    anchors : mapping of int to Memory
        By plane.
    step : {1, -1}
        Direction in which planes are visited.
    """

    def __init__(self, span: MemorySpan, anchors: Mapping[int, Memory], step: int) -> None:
        self._anchors = dict(anchors)
        self._recent: deque[Memory] = deque(maxlen=span.recent)
        self._pointers: deque[tuple[int, torch.Tensor]] = deque(maxlen=max(span.pointers - 1, 0))
        self._span = span
        self._step = step

    def add(self, memory: Memory) -> None:
        """Keep the memory of a plane that was just tracked; the oldest one goes."""
        self._recent.append(memory)
        self._pointers.append((memory.plane, memory.pointer))

    def replace(self, renew: Callable[[Memory], Memory]) -> None:
        """Put what ``renew`` makes of each spatial memory in its place."""
        self._anchors = {plane: renew(memory) for plane, memory in self._anchors.items()}
        self._recent = deque(map(renew, self._recent), maxlen=self._recent.maxlen)

    def state(self) -> dict[str, Any]:
        """Return what it holds; ``restore`` takes it back."""
        return {
            "anchors": dict(self._anchors),
            "recent": list(self._recent),
            "pointers": list(self._pointers),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Hold what another bank of this network and direction held."""
        self._anchors = dict(state["anchors"])
        self._recent = deque(state["recent"], maxlen=self._recent.maxlen)
        self._pointers = deque(state["pointers"], maxlen=self._pointers.maxlen)

    def recall(self, plane: int, plane_count: int) -> Recall:
        """Choose what counts on a plane of a stack of so many planes."""
        chosen = nearest_anchors(plane, self._anchors, self._span.anchors)
        others = [memory for index, memory in self._anchors.items() if index not in chosen]
        spatial = [(0, self._anchors[index]) for index in chosen]
        spatial += self._recent_features(plane, [*self._recent, *others])
        pointers = self._anchor_pointers(plane, chosen)
        pointers += self._recent_pointers(plane, others, plane_count)
        return Recall(
            features=tuple(memory.features for _, memory in spatial),
            ages=tuple(age for age, _ in spatial),
            pointers=tuple(pointer for _, pointer in pointers),
            distances=tuple(distance for distance, _ in pointers),
        )

    def _recent_features(self, plane: int, memories: Iterable[Memory]) -> list[tuple[int, Memory]]:
        """Return spatial memories that are not too old, the oldest first."""
        aged = [(self._age(plane, memory.plane), memory) for memory in memories]
        near = [(age, memory) for age, memory in aged if 1 <= age <= self._span.recent]
        return sorted(near, key=lambda item: -item[0])

    def _anchor_pointers(self, plane: int, chosen: Iterable[int]) -> list[tuple[int, torch.Tensor]]:
        if not self._span.pointers:
            return []
        past_only, signed = self._span.past_pointers_only, self._span.signed_distances
        aged = [(self._age(plane, index), self._anchors[index].pointer) for index in chosen]
        return [
            (age if signed else abs(age), pointer)
            for age, pointer in aged
            if age >= 0 or not past_only
        ]

    def _recent_pointers(
        self, plane: int, others: Iterable[Memory], plane_count: int
    ) -> list[tuple[int, torch.Tensor]]:
        """Return pointers that are not too old, the nearest first."""
        limit = min(plane_count, self._span.pointers)
        known = [*self._pointers, *((memory.plane, memory.pointer) for memory in others)]
        aged = [(self._age(plane, index), pointer) for index, pointer in known]
        return sorted((one for one in aged if 1 <= one[0] < limit), key=lambda item: item[0])

    def _age(self, plane: int, other: int) -> int:
        return (plane - other) * self._step


def nearest_anchors(plane: int, anchors: Iterable[int], limit: int) -> tuple[int, ...]:
    """Choose the anchors that count on a plane.

    As ``sam2_utils.select_closest_cond_frames``: the nearest one before, the nearest one at or
    after, then the nearest of the others up to ``limit``.
    """
    planes = list(anchors)
    if len(planes) <= limit:
        return tuple(planes)
    before = max((index for index in planes if index < plane), default=None)
    after = min((index for index in planes if index >= plane), default=None)
    chosen = [index for index in (before, after) if index is not None]
    others = sorted(
        (index for index in planes if index not in chosen), key=lambda index: abs(index - plane)
    )
    return tuple(chosen + others[: limit - len(chosen)])
