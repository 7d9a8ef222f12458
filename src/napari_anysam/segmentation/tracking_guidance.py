"""The mask of the plane before as a prompt: a second opinion beside the memory.

A small network's memory knows an object's look better than its outline, and goes on painting where
the object has ended. The same network answers a mask and its box well. So the logits of both are
mixed, by the weight that the network names (``TrackingModel.guidance``); 0 leaves the memory alone,
as the official predictor does. Measured in ``docs/benchmarks.md``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.networks import out_of_memory
from napari_anysam.networks.batches import embedding_rows
from napari_anysam.segmentation.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_anysam.networks.protocol import Embedding
    from napari_anysam.networks.tracking_protocol import Tracked, TrackingModel
    from napari_anysam.segmentation.regions import Region
    from napari_anysam.segmentation.tracking_results import Answer, PackedAnswer

__all__ = ["Guide"]

PADDING = 0.05
"""The box is wider than the mask by this part of its sides, each way: objects grow and move."""

FEWEST_PIXELS = 4
"""A smaller mask says nothing."""


class Guide:
    """Remembers the last mask of every object, and prompts with it.

    Parameters
    ----------
    model : TrackingModel
        Whose ``guidance`` counts.
    """

    def __init__(self, model: TrackingModel) -> None:
        self._model = model
        self._last: dict[int, Answer] = {}

    def forget(self) -> None:
        """Start a new pass."""
        self._last.clear()

    def note(self, number: int, answer: Answer) -> None:
        """Keep an object's answer, unless it was not found."""
        if (answer.logits > 0).any():
            self._last[number] = answer

    def state(self) -> dict[int, PackedAnswer]:
        """Return the last masks; ``restore`` takes them back."""
        return {number: answer.packed() for number, answer in self._last.items()}

    def restore(self, state: Mapping[int, PackedAnswer]) -> None:
        """Remember the masks that another guide did."""
        self._last = {number: packed.unpacked() for number, packed in state.items()}

    def mix(
        self,
        embedding: Embedding,
        regions: Sequence[Region],
        group: Sequence[int],
        tracked: Tracked,
    ) -> Tracked:
        """Mix the answers to the last masks into those of the memory.

        Parameters
        ----------
        embedding : Embedding
            The plane that is being answered; or one row per object.
        regions : sequence of Region
            The window of the plane that was encoded for each object, all of one shape.
        group : sequence of int
            The objects, in the order of ``tracked``.
        tracked : Tracked
            What the memory says.
        """
        weight = self._model.guidance
        if not weight:
            return tracked
        placed = enumerate(zip(group, regions, strict=True))
        prompts = {place: self._prompt(number, region) for place, (number, region) in placed}
        known = {place: prompt for place, prompt in prompts.items() if prompt is not None}
        if not known:
            return tracked
        rows = list(known)
        part = embedding_rows(embedding, rows)
        masks = out_of_memory.decode(self._model, part, list(known.values()), multimask=False)
        logits = tracked.logits.clone()
        logits[rows] = (1 - weight) * logits[rows] + weight * masks.logits[:, :1].to(logits)
        return replace(tracked, logits=logits)

    def _prompt(self, number: int, region: Region) -> Prompt | None:
        """Return an object's last mask and its box in a region's pixels, if it reaches into it."""
        answer = self._last.get(number)
        if answer is None:
            return None
        mask = np.zeros(region.shape, bool)
        here, there = region.overlap(answer.region)
        mask[here] = answer.logits[there] > 0
        if np.count_nonzero(mask) < FEWEST_PIXELS:
            return None
        return Prompt(number, mask=mask, box=_padded_box(mask))


def _padded_box(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    y0, x0, y1, x1 = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    high, wide = PADDING * (y1 - y0), PADDING * (x1 - x0)
    return float(y0 - high), float(x0 - wide), float(y1 + high), float(x1 + wide)
