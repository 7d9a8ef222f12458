"""One pass of a propagation: from plane to plane in one direction, all objects together."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from napari_anysam.networks import out_of_memory
from napari_anysam.networks.batches import join_embeddings
from napari_anysam.segmentation.memory import MemoryBank
from napari_anysam.segmentation.tracking_anchors import (
    Anchor,
    anchors_in_planes,
    anchors_in_regions,
)
from napari_anysam.segmentation.tracking_batches import batches_of, most_together
from napari_anysam.segmentation.tracking_end import Ends
from napari_anysam.segmentation.tracking_guidance import Guide
from napari_anysam.segmentation.tracking_memories import (
    answers_of,
    memories_of,
    reframed,
    span_used,
)
from napari_anysam.segmentation.tracking_regions import (
    check_region,
    mask_extent,
    moved_region,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_anysam.networks.protocol import Embedding
    from napari_anysam.networks.tracking_protocol import Tracked, TrackingModel
    from napari_anysam.segmentation.regions import Region
    from napari_anysam.segmentation.tracking_end import EndRule
    from napari_anysam.segmentation.tracking_memories import MemoryUse
    from napari_anysam.segmentation.tracking_plan import Plan
    from napari_anysam.segmentation.tracking_results import Answer
    from napari_anysam.segmentation.tracking_source import PlaneSource

__all__ = ["Follower"]


class Follower:
    """Follows all objects of a plan.

    Parameters
    ----------
    model : TrackingModel
        The network.
    source : PlaneSource
        Where planes come from.
    plan : Plan
        What was asked for.
    zoom : bool
        Whether small objects get regions of their own.
    memory : {"full", "fast"}
        See ``tracking_memories.span_used``.
    memory_threshold, anchor_limit, ending
        See ``tracking.Tracker``.
    """

    def __init__(
        self,
        model: TrackingModel,
        source: PlaneSource,
        plan: Plan,
        *,
        zoom: bool,
        memory: MemoryUse = "full",
        memory_threshold: float | None = None,
        anchor_limit: int | None = None,
        ending: EndRule | None = None,
    ) -> None:
        self._model = model
        self._source = source
        self._plan = plan
        self._zoom = zoom
        self._step = plan.steps[0]
        self._anchors: dict[int, dict[int, Anchor]] = {number: {} for number in plan.anchors}
        self._banks: dict[int, MemoryBank] = {}
        self._regions: dict[int, Region] = {}
        self._guide = Guide(model)
        self._ends = Ends(ending)
        self._memory_threshold = memory_threshold
        span = span_used(model, memory)
        limit = span.anchors if anchor_limit is None else anchor_limit
        self._span = replace(span, anchors=min(span.anchors, limit))

    def anchor(self, keep: Callable[[int], bool]) -> None:
        """Answer and remember all prompts.

        Parameters
        ----------
        keep : callable
            Tells of a plane whether its embedding will be needed again.
        """
        planes = sorted({plane for prompts in self._plan.anchors.values() for plane in prompts})
        for plane in planes:
            # Objects that share a region ask for it one after the other.
            self._source.keep = self._zoom or keep(plane)
            objects = [number for number, given in self._plan.anchors.items() if plane in given]
            prompts = [self._plan.anchors[number][plane] for number in objects]
            if self._zoom:
                used = {
                    anchor.memory.region
                    for anchors in self._anchors.values()
                    for anchor in anchors.values()
                }
                found = anchors_in_regions(self._model, self._source, plane, prompts, sorted(used))
            else:
                found = anchors_in_planes(self._model, self._source, plane, prompts)
            for number, anchor in zip(objects, found, strict=True):
                self._anchors[number][plane] = anchor

    def turn(self, step: int, outset: int | None = None) -> None:
        """Start a pass: forget everything but the anchors.

        Parameters
        ----------
        step : {1, -1}
            Forward or backward.
        outset : int, optional
            The anchored plane of every object from which to go on; by default the first one of
            each in the direction.
        """
        self._step = step
        self._banks = self._new_banks()
        self._regions = {}
        self._guide.forget()
        self._ends.forget()
        for number, anchors in self._anchors.items():
            first = min(anchors) if step > 0 else max(anchors)
            self._enter(number, anchors[first if outset is None else outset].memory.region)

    def state(self) -> dict[str, Any]:
        """Return all that it will look at again; ``restore`` takes it back."""
        return {
            "step": self._step,
            "anchors": {
                number: {
                    plane: replace(anchor, answer=anchor.answer.cropped())
                    for plane, anchor in anchors.items()
                }
                for number, anchors in self._anchors.items()
            },
            "banks": {number: bank.state() for number, bank in self._banks.items()},
            "regions": dict(self._regions),
            "guide": self._guide.state(),
            "ends": self._ends.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where another follower of this plan was, instead of ``anchor`` and ``turn``."""
        self._anchors = dict(state["anchors"])
        self._step = state["step"]
        self._banks = self._new_banks()
        for number, bank in state["banks"].items():
            self._banks[number].restore(bank)
        self._regions = dict(state["regions"])
        self._guide.restore(state["guide"])
        self._ends.restore(state["ends"])

    def load(self, plane: int) -> tuple[int, int]:
        """Return how many objects a visit will follow, and in how many regions."""
        followed = [
            number
            for number in self._plan.active(plane, self._step)
            if plane not in self._anchors[number] and self._ends.known(number) is None
        ]
        return len(followed), len({self._regions[number] for number in followed})

    def visit(self, plane: int) -> dict[int, Answer]:
        """Answer a plane for every object of the pass that exists there."""
        answers: dict[int, Answer] = {}
        by_region: dict[Region, list[int]] = {}
        for number in self._plan.active(plane, self._step):
            anchor = self._anchors[number].get(plane)
            if anchor is not None:
                answers[number] = anchor.answer
                self._enter(number, anchor.memory.region)
            elif (ended := self._ends.known(number)) is not None:
                answers[number] = ended
            else:
                by_region.setdefault(self._regions[number], []).append(number)
        most = most_together(self._model.image_size)
        for batch in batches_of(by_region, most):
            answers |= self._follow(plane, batch)
        if self._zoom:
            for number in chain.from_iterable(by_region.values()):
                self._move(number, answers[number])
        for number, answer in answers.items():
            self._guide.note(number, answer)
        return answers

    def _new_banks(self) -> dict[int, MemoryBank]:
        return {
            number: MemoryBank(
                self._span,
                {plane: anchor.memory for plane, anchor in anchors.items()},
                self._step,
            )
            for number, anchors in self._anchors.items()
        }

    def _follow(self, plane: int, batch: Sequence[tuple[Region, int]]) -> Mapping[int, Answer]:
        """Find a batch of objects on one plane, each in its region."""
        regions, group = zip(*batch, strict=True)
        embedding = self._embedding(plane, regions)
        recalls = [self._banks[number].recall(plane, self._source.count) for number in group]
        tracked = out_of_memory.follow(
            self._model, embedding, recalls, plane_count=self._source.count
        )
        if self._zoom:
            tracked = self._guide.mix(embedding, regions, group, tracked)
        memories = memories_of(self._model, plane, embedding, tracked, regions, anchored=False)
        worth = self._worth_keeping(tracked)
        found = dict(zip(group, answers_of(self._model, tracked, regions), strict=True))
        answers = {
            number: answer if self._prompt_ahead(number, plane) else self._ends.note(number, answer)
            for number, answer in found.items()
        }
        for number, memory, keep in zip(group, memories, worth, strict=True):
            if keep and self._ends.known(number) is None:
                self._banks[number].add(memory)
        return answers

    def _embedding(self, plane: int, regions: Sequence[Region]) -> Embedding:
        """Encode each region once; return one embedding for all objects, or a row for each."""
        encoded = {
            region: self._source.embedding(plane, region) for region in dict.fromkeys(regions)
        }
        return join_embeddings([encoded[region] for region in regions])

    def _prompt_ahead(self, number: int, plane: int) -> bool:
        """Tell whether the pass will come to a prompt of an object, which exists until there."""
        return any((prompted - plane) * self._step > 0 for prompted in self._anchors[number])

    def _worth_keeping(self, tracked: Tracked) -> list[bool]:
        """Tell of every object whether what was found shall be remembered."""
        limit = self._memory_threshold
        if limit is None:
            return [True] * len(tracked.scores)
        kept: list[bool] = ((tracked.scores >= limit) & (tracked.object_logits > 0)).tolist()
        return kept

    def _move(self, number: int, answer: Answer) -> None:
        """Let an object's region follow it to the next plane."""
        extent = mask_extent(answer.logits > 0, answer.region)
        if extent is None:
            return
        others = [region for other, region in self._regions.items() if other != number]
        region = moved_region(
            self._regions[number], extent, self._source.shape, self._model.image_size, others
        )
        check_region(region, number)
        self._enter(number, region)

    def _enter(self, number: int, region: Region) -> None:
        """Look for an object in a region from now on, and see its memories from there."""
        if self._regions.get(number) == region:
            return
        self._regions[number] = region
        self._banks[number].replace(
            lambda memory: reframed(memory, region, self._model, self._source)
        )
