"""Runs both engines on the same planes and measures how far apart they are."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_anysam.images.conditioning import Conditioning
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.embeddings import EmbeddingCache
from napari_anysam.segmentation.tracking import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_anysam.networks.sam2 import Sam2Model

AS_IT_IS = Conditioning(((0, 255),))
_STEPS = {"forward": (1,), "backward": (-1,), "both": (1, -1)}


@dataclass
class Distance:
    """The worst of a run, over the planes that were tracked."""

    iou: float
    logits: float
    planes: int


class Oracle:
    """What the official predictor says about prompts that all lie on one plane; asked once."""

    def __init__(self, model: Sam2Model, official, predictor, stack, prompts, direction):
        self.model = model
        self.stack = stack
        self.direction = direction
        self.cache = EmbeddingCache()
        images = torch.cat([model._input(AS_IT_IS.apply(plane)) for plane in stack])
        self.run = official.official_run(
            predictor, images, stack.shape[1:], prompts, _STEPS[direction]
        )

    def distance(self, prompts) -> Distance:
        """Track prompts with our engine and compare every plane but the prompted one."""
        anchor = prompts[0].plane
        forward = list(range(anchor + 1, len(self.stack)))
        backward = list(range(anchor - 1, -1, -1))
        steps = _STEPS[self.direction]
        planes = [plane for step in steps for plane in (forward if step > 0 else backward)]
        tracker = Tracker(
            self.model,
            Planes(self.stack),
            AS_IT_IS,
            region="plane",
            cache=self.cache,
            plane_key=lambda index: index,
        )
        with noting_answers(self.model, planes) as noted:
            results = {one.index: one for one in tracker.run(prompts, direction=self.direction)}
        compared = [self._compare(results[plane], noted[plane]) for plane in planes]
        return Distance(
            min(iou for iou, _ in compared), max(gap for _, gap in compared), len(planes)
        )

    def _compare(self, result, ungated) -> tuple[float, float]:
        ious, gaps = [], []
        for place, object_id in enumerate(result.object_ids):
            ours = torch.from_numpy(result.masks[place])
            theirs = self.run.masks[object_id, result.index]
            union = int((ours | theirs).sum())
            ious.append(int((ours & theirs).sum()) / union if union else 1.0)
            gap = ungated[place, 0] - self.run.ungated[object_id, result.index]
            gaps.append(float(gap.abs().max()))
        return min(ious), max(gaps)


@contextmanager
def noting_answers(model: Sam2Model, planes: list[int]) -> Iterator[dict]:
    """Note what the network answers for each plane before the object score gates it."""
    noted: dict = {}
    follow = model.follow
    visited = iter(planes)

    def noting(embedding, recalls, *, plane_count):
        tracked = follow(embedding, recalls, plane_count=plane_count)
        noted[next(visited)] = tracked.logits.clone()
        return tracked

    model.follow = noting
    try:
        yield noted
    finally:
        del model.follow
