"""Single planes: clicks that correct each other, and a box, as the plugin answers them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from quality_classical import best_setting, classical_answers, smooth_grey
from quality_picture import View, view_of
from quality_prompts import (
    clicks_needed,
    interior_pixel,
    next_click,
    overlap,
    padded_box,
)

from napari_anysam import Prompt
from napari_anysam.images.conditioning import resolve_conditioning
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.interactive import PlanePredictor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from quality_sets import Sample, Target

    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.candidates import Prediction

    Mask = NDArray[np.bool_]

__all__ = ["MOST_CLICKS", "PlaneScore", "conditioned", "measure_planes", "summarise_planes"]

MOST_CLICKS = 10
THRESHOLDS = (0.8, 0.9)


@dataclass
class PlaneScore:
    """One object on one plane.

    Parameters
    ----------
    sample, object_id, plane
        Which object.
    area : int
        Its pixels.
    clicks : list of float
        IoU after 1, 2, ... clicks; the last one stands for all that would follow.
    box : float
        IoU from the padded box.
    classical : dict
        IoU of every classical method and setting after one click.
    views : dict
        What was seen after one click and from the box.
    """

    sample: str
    object_id: int
    plane: int
    area: int
    clicks: list[float]
    box: float
    classical: dict[str, float]
    views: dict[str, View] = field(repr=False)

    def after(self, count: int) -> float:
        """Return the IoU after so many clicks."""
        return self.clicks[min(count, len(self.clicks)) - 1]

    def plain(self) -> dict[str, Any]:
        """Return all but the views, for JSON."""
        values = asdict(self)
        del values["views"]
        return values


def measure_planes(
    model: PromptableModel, sample: Sample, targets: Sequence[Target]
) -> list[PlaneScore]:
    """Prompt every object on its plane; objects of one plane share embeddings."""
    predictor = PlanePredictor(model)
    scores = []
    for plane in dict.fromkeys(target.plane for target in targets):
        pixels = conditioned(sample, plane)
        grey = smooth_grey(pixels)
        here = [target for target in targets if target.plane == plane]
        scores += [_Session(predictor, pixels, target).score(sample.name, grey) for target in here]
        predictor.cache.clear()
    return scores


def conditioned(sample: Sample, plane: int) -> NDArray[np.uint8]:
    """Return one plane as ``segment`` shows it to the network, taken as an image of its own."""
    image = sample.image[plane] if sample.is_stack else sample.image
    planes = Planes.single(image, sample.channel_axis)
    return resolve_conditioning(planes).apply(planes.read(0))


class _Session:
    """A user who works on one object."""

    def __init__(
        self, predictor: PlanePredictor, pixels: NDArray[np.uint8], target: Target
    ) -> None:
        self._predictor = predictor
        self._pixels = pixels
        self._target = target
        self._views: dict[str, View] = {}

    def score(self, sample: str, grey: NDArray[np.float64]) -> PlaneScore:
        truth = self._target.truth
        first = interior_pixel(truth)
        return PlaneScore(
            sample,
            self._target.object_id,
            self._target.plane,
            int(np.count_nonzero(truth)),
            self._click(),
            self._box(),
            classical_answers(grey, first, truth),
            self._views,
        )

    def _click(self) -> list[float]:
        """Click until the best threshold and the fifth click are reached, or nothing is wrong."""
        truth = self._target.truth
        points: list[tuple[int, int]] = [interior_pixel(truth)]
        polarity = [True]
        ious: list[float] = []
        previous = None
        while True:
            previous = self._ask(Prompt(points=points, polarity=polarity), previous)
            answer = _mask(previous, truth.shape)
            ious.append(overlap(answer, truth))
            if len(ious) == 1:
                self._views["1 click"] = view_of(self._pixels, truth, answer)
            enough = len(ious) >= 5 and max(ious) >= max(THRESHOLDS)
            correction = next_click(answer, truth)
            if enough or len(ious) == MOST_CLICKS or correction is None:
                return ious
            points.append(correction.point)
            polarity.append(correction.positive)

    def _box(self) -> float:
        truth = self._target.truth
        answer = _mask(self._ask(Prompt(box=padded_box(truth))), truth.shape)
        self._views["box"] = view_of(self._pixels, truth, answer)
        return overlap(answer, truth)

    def _ask(self, prompt: Prompt, previous: Prediction | None = None) -> Prediction:
        """Ask as the window does: all clicks so far, refining the answer to those before."""
        return self._predictor.predict(
            lambda: self._pixels,
            "plane",
            self._target.truth.shape,
            prompt,
            region="auto",
            previous=previous,
        )


def _mask(prediction: Prediction, plane_shape: tuple[int, ...]) -> Mask:
    mask = np.zeros(plane_shape, bool)
    mask[prediction.best.region.slices] = prediction.best.mask()
    return mask


def summarise_planes(scores: Sequence[PlaneScore]) -> dict[str, Any]:
    """Return the figures of one set: means over its objects, and the best classical answer."""
    method = best_setting([one.classical for one in scores])
    figures: dict[str, Any] = {f"click {count}": _mean(scores, count) for count in (1, 3, 5)}
    figures["box"] = float(np.mean([one.box for one in scores]))
    for wanted in THRESHOLDS:
        counts = [clicks_needed(one.clicks, wanted, MOST_CLICKS) for one in scores]
        reached = [max(one.clicks) >= wanted for one in scores]
        figures[f"clicks to {wanted}"] = float(np.mean(counts))
        figures[f"reached {wanted}"] = float(np.mean(reached))
    figures["classical click 1"] = float(np.mean([one.classical[method] for one in scores]))
    return {"objects": len(scores), **figures, "classical method": method}


def _mean(scores: Sequence[PlaneScore], count: int) -> float:
    return float(np.mean([one.after(count) for one in scores]))
