"""Stacks and series: objects prompted once and followed, as ``propagate`` does.

Planes count where the object is, the prompted one left out; what is painted on planes where the
object is not is reported beside, relative to the object's area on its prompted plane.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from quality_picture import View, view_of
from quality_prompts import interior_pixel, overlap, padded_box

from napari_anysam import Prompt
from napari_anysam.images.conditioning import resolve_conditioning
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.embeddings import EmbeddingCache
from napari_anysam.segmentation.tracking import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from quality_sets import Sample, Target

    from napari_anysam.networks.protocol import PromptableModel

    Mask = NDArray[np.bool_]

__all__ = ["KINDS", "FollowScore", "Follower", "summarise_followed", "survived"]

Kind = Literal["click", "box", "mask"]
KINDS: tuple[Kind, ...] = ("click", "box", "mask")

LOST = 0.5
"""An object is lost on the first plane on which its IoU falls under this."""


@dataclass
class FollowScore:
    """One object, prompted once and followed.

    Parameters
    ----------
    sample, object_id, prompted
        Which object, and the plane of its prompt.
    prompted_iou : float
        IoU on the prompted plane.
    planes : dict
        Plane to IoU, where the object is, without the prompted plane.
    copied : dict
        The same for the mask of the prompted plane, copied.
    survived : int
        Planes until it was lost, in both directions together.
    painted : list of float
        Pixels painted on each plane where the object is not, over its area on the prompted plane.
    view : View
        The object on the plane of its median IoU.
    """

    sample: str
    object_id: int
    prompted: int
    prompted_iou: float
    planes: dict[int, float]
    copied: dict[int, float]
    survived: int
    painted: list[float]
    view: View = field(repr=False)

    @property
    def iou(self) -> float:
        """Mean IoU per plane."""
        return float(np.mean(list(self.planes.values())))

    @property
    def copied_iou(self) -> float:
        """Mean IoU per plane of the copied mask."""
        return float(np.mean(list(self.copied.values())))

    def plain(self) -> dict[str, Any]:
        """Return all but the view, for JSON."""
        values = asdict(self)
        del values["view"]
        return values


class Follower:
    """Follows objects of one sample; different prompts share embeddings."""

    def __init__(self, model: PromptableModel, sample: Sample) -> None:
        self._sample = sample
        self._planes = Planes(sample.image, 0, sample.channel_axis)
        self._conditioning = resolve_conditioning(self._planes)
        cache = EmbeddingCache()
        self._tracker = Tracker(model, self._planes, self._conditioning, cache=cache)

    def followable(self, targets: Iterable[Target], stop: int | None = None) -> list[Target]:
        """Return the objects that are on more than their prompted plane, before plane ``stop``."""
        return [target for target in targets if self._is_elsewhere(target, stop)]

    def follow(
        self, targets: Sequence[Target], kind: Kind, *, forward_until: int | None = None
    ) -> list[FollowScore]:
        """Prompt every object on its plane and follow all of them in one run.

        Parameters
        ----------
        targets : sequence of Target
            From ``followable``, at least one.
        kind : {"click", "box", "mask"}
            How they are prompted.
        forward_until : int, optional
            Follow only forward, and stop before this plane; both ways through the stack if left
            out.
        """
        prompts = [_prompt(target, kind) for target in targets]
        direction: Literal["both", "forward"] = "both" if forward_until is None else "forward"
        answers: dict[tuple[int, int], NDArray[np.uint8]] = {}
        for result in self._tracker.run(prompts, direction=direction, stop=forward_until):
            for object_id, mask in zip(result.object_ids, result.masks, strict=True):
                answers[object_id, result.index] = np.packbits(mask)
        return [self._score(target, answers) for target in targets]

    def _is_elsewhere(self, target: Target, stop: int | None) -> bool:
        there = (self._sample.labels[:stop] == target.object_id).any(axis=(1, 2))
        there[target.plane] = False
        return bool(there.any())

    def _score(
        self, target: Target, packed: Mapping[tuple[int, int], NDArray[np.uint8]]
    ) -> FollowScore:
        answers = {
            plane: self._unpacked(bits)
            for (object_id, plane), bits in packed.items()
            if object_id == target.object_id
        }
        start = answers[target.plane]
        area = int(np.count_nonzero(target.truth))
        found: dict[int, float] = {}
        copied: dict[int, float] = {}
        painted: list[float] = []
        for plane, answer in answers.items():
            truth = self._sample.labels[plane] == target.object_id
            if plane == target.plane:
                continue
            if truth.any():
                found[plane] = overlap(answer, truth)
                copied[plane] = overlap(start, truth)
            else:
                painted.append(int(np.count_nonzero(answer)) / area)
        return FollowScore(
            self._sample.name,
            target.object_id,
            target.plane,
            overlap(start, target.truth),
            found,
            copied,
            survived(found, target.plane),
            painted,
            self._view(target.object_id, found, answers),
        )

    def _unpacked(self, bits: NDArray[np.uint8]) -> Mask:
        height, width = self._planes.plane_shape
        return np.unpackbits(bits, count=height * width).astype(bool).reshape(height, width)

    def _view(self, object_id: int, ious: Mapping[int, float], answers: Mapping[int, Mask]) -> View:
        plane = sorted(ious, key=ious.__getitem__)[len(ious) // 2]
        pixels = self._conditioning.apply(self._planes.read(plane))
        return view_of(pixels, self._sample.labels[plane] == object_id, answers[plane])


def _prompt(target: Target, kind: Kind) -> Prompt:
    if kind == "click":
        return Prompt(target.object_id, target.plane, points=[interior_pixel(target.truth)])
    if kind == "box":
        return Prompt(target.object_id, target.plane, box=padded_box(target.truth))
    return Prompt(target.object_id, target.plane, mask=target.truth)


def survived(ious: Mapping[int, float], prompted: int) -> int:
    """Count the planes of an object, going away from its prompt, until it is lost on either side.

    Parameters
    ----------
    ious : dict
        Plane to IoU, where the object is.
    prompted : int
        The plane from which both ways are gone.
    """
    after = sorted(plane for plane in ious if plane > prompted)
    before = sorted((plane for plane in ious if plane < prompted), reverse=True)
    count = 0
    for way in (after, before):
        for plane in way:
            if ious[plane] < LOST:
                break
            count += 1
    return count


def summarise_followed(scores: Sequence[FollowScore]) -> dict[str, Any]:
    """Return the figures of one set and kind of prompt: means over its objects."""
    absent = [value for one in scores for value in one.painted]
    return {
        "objects": len(scores),
        "prompted iou": _mean(one.prompted_iou for one in scores),
        "iou": _mean(one.iou for one in scores),
        "copied iou": _mean(one.copied_iou for one in scores),
        "survived planes": _mean(one.survived for one in scores),
        "survived share": _mean(one.survived / len(one.planes) for one in scores),
        "painted where absent": _mean(absent) if absent else None,
        "absent planes with paint": _mean(value > 0 for value in absent) if absent else None,
    }


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
