"""Everything that is measured on one set."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from quality_classical import best_setting
from quality_follow import KINDS, Follower, FollowScore, summarise_followed
from quality_planes import PlaneScore, measure_planes, summarise_planes
from quality_sets import evenly_spaced, targets_in_first_frame, targets_of

from napari_anysam.networks.tracking_protocol import TrackingModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from quality_picture import View
    from quality_sets import DataSet, Sample, Target

    from napari_anysam.networks.protocol import PromptableModel

__all__ = ["Limits", "SetScores", "measure_set"]

FRAMES = 12
"""Frames through which an object of a series is followed from the first one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many objects of every image, and of every stack that is followed."""

    planes: int
    followed: int


@dataclass
class SetScores:
    """All scores of one set; ``followed`` is by measure, such as "followed from box"."""

    planes: list[PlaneScore] = field(default_factory=list)
    followed: dict[str, list[FollowScore]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the seconds that something takes."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def values(self, measure: str) -> list[float]:
        """Return the IoU of every object: "click", "box", or a key of ``followed``."""
        if measure == "click":
            return [one.after(1) for one in self.planes]
        if measure == "box":
            return [one.box for one in self.planes]
        return [one.iou for one in self.followed[measure]]

    def classical(self, measure: str) -> list[float]:
        """Return the classical answers to the same; a box on one plane has none."""
        if measure == "click":
            method = best_setting([one.classical for one in self.planes])
            return [one.classical[method] for one in self.planes]
        if measure == "box":
            return []
        return [one.copied_iou for one in self.followed[measure]]

    def summary(self) -> dict[str, Any]:
        """Return the figures of the set, and the seconds that every object took."""
        counts = {name: len(ones) for name, ones in self.followed.items()}
        counts["planes"] = len(self.planes)
        return {
            "planes": summarise_planes(self.planes),
            "followed": {name: summarise_followed(ones) for name, ones in self.followed.items()},
            "seconds per object": {name: self.seconds[name] / counts[name] for name in counts},
        }

    def objects(self) -> dict[str, Any]:
        """Return the figures of every object."""
        return {
            "planes": [one.plain() for one in self.planes],
            "followed": {
                name: [one.plain() for one in ones] for name, ones in self.followed.items()
            },
        }

    def views(self) -> dict[str, Sequence[View]]:
        """Return what there is to show, by kind of prompt."""
        views: dict[str, Sequence[View]] = {
            kind: [one.views[kind] for one in self.planes] for kind in ("1 click", "box")
        }
        if "followed from box" in self.followed:
            views["followed from box"] = [one.view for one in self.followed["followed from box"]]
        return views


def measure_set(model: PromptableModel, row: DataSet, folder: Path, limits: Limits) -> SetScores:
    """Measure planes, and what is followed where the set has stacks and the model can track."""
    scores = SetScores()
    tracks = isinstance(model, TrackingModel) and model.capabilities.tracking
    for sample in row.load(folder / row.folder):
        targets = targets_of(sample, row.over)
        with scores.timed("planes"):
            chosen = evenly_spaced(targets, limits.planes)
            scores.planes += measure_planes(model, sample, chosen)
        if sample.is_stack and tracks:
            follower = Follower(model, sample)
            _follow_both_ways(scores, follower, targets, limits.followed)
            if row.series:
                _follow_from_first_frame(scores, follower, sample, limits.planes)
    return scores


def _follow_both_ways(
    scores: SetScores, follower: Follower, targets: Sequence[Target], most: int
) -> None:
    chosen = evenly_spaced(follower.followable(targets), most)
    for kind in KINDS if chosen else ():
        name = f"followed from {kind}"
        with scores.timed(name):
            scores.followed.setdefault(name, []).extend(follower.follow(chosen, kind))


def _follow_from_first_frame(
    scores: SetScores, follower: Follower, sample: Sample, most: int
) -> None:
    chosen = evenly_spaced(follower.followable(targets_in_first_frame(sample), FRAMES), most)
    name = "first frame, box"
    with scores.timed(name):
        found = follower.follow(chosen, "box", forward_until=FRAMES)
        scores.followed.setdefault(name, []).extend(found)
