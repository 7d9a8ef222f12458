"""What clicks on a plane that a run has drawn are worth, with and without the drawn mask.

    python benchmarks/quality_clicks.py --objects 3 --sets nuclei organs psc

Every object gets a box on the plane where it is largest and is followed both ways over the planes
on which it is. Then the simulated user corrects its worst plane by clicks, each in the largest
error. They go to the network alone, with the drawn mask, or with the mask and a box around it, as
in the window (``segmentation/correcting.py``). Planes count on which the object has at least a
fifth of its largest area and something is drawn.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from quality_prompts import next_click, overlap, padded_box
from quality_sets import SETS, data_folder, evenly_spaced, targets_of

from napari_anysam import Prompt, load_model
from napari_anysam.images.conditioning import resolve_conditioning
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.correcting import corrected_mask
from napari_anysam.segmentation.embeddings import EmbeddingCache
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.plane_pixels import WindowedPlane
from napari_anysam.segmentation.prompts import merge_prompts
from napari_anysam.segmentation.tracking import Tracker
from napari_anysam.segmentation.windows import tight_window

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from quality_sets import Sample, Target

    from napari_anysam.networks.protocol import PromptableModel

    Mask = NDArray[np.bool_]

WAYS = ("clicks alone", "with the mask", "with mask and box")
CLICKS = 3
SMALLEST_PART = 0.2


class Clicker:
    """Follows objects of a sample, and corrects each by clicks on one plane."""

    def __init__(self, model: PromptableModel, sample: Sample) -> None:
        self._model = model
        self._sample = sample
        self._planes = Planes(sample.image, 0, sample.channel_axis)
        self._conditioning = resolve_conditioning(self._planes)

    def score(self, target: Target) -> list[float] | None:
        """Return the IoU before, then after each click in each way; None if nothing counts."""
        truth = self._sample.labels == target.object_id
        drawn = self._followed(target, truth)
        wrong = np.count_nonzero(drawn ^ truth, axis=(1, 2))
        areas = np.count_nonzero(truth, axis=(1, 2))
        wrong[(areas < SMALLEST_PART * areas.max()) | ~drawn.any(axis=(1, 2))] = 0
        wrong[target.plane] = 0
        if not wrong.any():
            return None
        plane = int(wrong.argmax())
        found = [overlap(drawn[plane], truth[plane])]
        for way in WAYS:
            found += self._clicked(plane, drawn[plane], truth[plane], way)
        return found

    def _followed(self, target: Target, truth: Mask) -> Mask:
        there = np.flatnonzero(truth.any(axis=(1, 2)))
        prompt = Prompt(target.object_id, target.plane, box=padded_box(target.truth))
        tracker = Tracker(self._model, self._planes, self._conditioning)
        drawn = np.zeros(truth.shape, bool)
        for result in tracker.run([prompt], start=int(there[0]), stop=int(there[-1]) + 1):
            drawn[result.index] = result.masks[0]
        return drawn

    def _clicked(self, plane: int, drawn: Mask, truth: Mask, way: str) -> list[float]:
        """Return the IoU after each click; it stays 1 where there is nothing left to click."""
        predictor = PlanePredictor(self._model, EmbeddingCache())
        pixels = WindowedPlane(self._planes, self._conditioning.at(plane), plane)
        said: list[Prompt] = []
        previous, mask = None, drawn
        ious = [1.0] * CLICKS
        for count in range(CLICKS):
            click = next_click(mask, truth)
            if click is None:
                break
            clicks = Prompt(1, plane, points=[click.point], polarity=[click.positive])
            beside = _beside(way, clicks, drawn) if previous is None else None
            said += [clicks] if beside is None else [beside, clicks]
            prompt = merge_prompts(said)[1, plane]
            previous = predictor.predict(pixels, plane, truth.shape, prompt, previous=previous)
            window = previous.best.window()
            mask = np.zeros_like(truth) if window is None else window.whole(truth.shape)
            ious[count] = overlap(mask, truth)
        return ious


def _beside(way: str, clicks: Prompt, drawn: Mask) -> Prompt | None:
    """Return what goes to the network with the first click."""
    window = tight_window(drawn)
    beside = None if window is None else corrected_mask(clicks, window, drawn.shape)
    if way == "clicks alone" or beside is None:
        return None
    return beside if way == "with mask and box" else replace(beside, box=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="anysam-nano")
    parser.add_argument("--objects", type=int, default=3, help="objects of every stack")
    parser.add_argument("--sets", nargs="+", default=[""], help="names, or parts of names")
    options = parser.parse_args()
    model, folder = load_model(options.model), data_folder()
    columns = [f"{way}: {count}" for way in WAYS for count in range(1, CLICKS + 1)]
    print(f"| set | objects | before | {' | '.join(columns)} |")
    print(f"|{'---|' * (3 + len(columns))}")
    means = []
    for row in SETS:
        if not any(word in row.name for word in options.sets):
            continue
        scores = [
            Clicker(model, sample).score(target)
            for sample in row.load(folder / row.folder)
            if sample.is_stack
            for target in evenly_spaced(targets_of(sample, row.over), options.objects)
        ]
        counted = [score for score in scores if score is not None]
        if counted:
            means.append(np.mean(counted, axis=0))
            figures = " | ".join(f"{value:.3f}" for value in means[-1])
            print(f"| {row.name} | {len(counted)} | {figures} |", flush=True)
    if means:
        figures = " | ".join(f"{value:.3f}" for value in np.mean(means, axis=0))
        print(f"| mean of the sets | | {figures} |")


if __name__ == "__main__":
    main()
