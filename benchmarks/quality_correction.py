"""What one correction is worth: objects followed, then repaired from one plane's true mask.

    python benchmarks/quality_correction.py --objects 3 --sets stardist ovule psc
    python benchmarks/quality.py --corrected 3                  # the same table, among the others

Every object gets a box on the plane where it is largest and is followed both ways; through a stack
until it ends (``EndRule``) and through time to the end, as in the window. Then an
annotator corrects one plane, and ``Tracker.repair`` follows the object again from there: on the
drawn plane with the lowest confidence (``PropagationResult.assessments``), as the review shows it,
or on the truly worst one, which has the most wrong pixels, as the most that choosing can give.
Where the object is not on that plane, the annotator deletes its mask there and beyond, and nothing
runs again. The true mask of the corrected plane alone is already worth something; that is "mask
only". The IoU is that of whole objects, voxel by voxel; the corrected and the prompted plane count
too.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from quality_prompts import overlap, padded_box
from quality_sets import SETS, data_folder, evenly_spaced, targets_of

from napari_anysam import Prompt, load_model
from napari_anysam.images.conditioning import resolve_conditioning
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.embeddings import EmbeddingCache
from napari_anysam.segmentation.tracking import Tracker
from napari_anysam.segmentation.tracking_end import EndRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from quality_sets import DataSet, Sample, Target

    from napari_anysam.networks.protocol import PromptableModel

    Masks = NDArray[np.bool_]


@dataclass(frozen=True)
class Corrected:
    """One object after one correction: IoU with its mask alone and after the repair."""

    mask_only: float
    iou: float
    planes: int
    seconds: float


@dataclass(frozen=True)
class Score:
    """One object: as it was followed, and after either correction."""

    before: float
    seconds: float
    doubtful: Corrected
    worst: Corrected


class Annotator:
    """Follows one object of a sample, and corrects it."""

    def __init__(
        self, model: PromptableModel, sample: Sample, target: Target, ending: EndRule | None
    ) -> None:
        planes = Planes(sample.image, 0, sample.channel_axis)
        self._tracker = Tracker(
            model, planes, resolve_conditioning(planes), cache=EmbeddingCache(), ending=ending
        )  # as in the window, a repair finds the embeddings of the run
        self._truth = sample.labels == target.object_id
        self._target = target
        self._prompt = Prompt(target.object_id, target.plane, box=padded_box(target.truth))
        self._found = np.zeros(self._truth.shape, bool)
        self._confidence: dict[int, float] = {}

    def score(self) -> Score:
        """Follow the object, and correct it in either way."""
        start = time.perf_counter()
        for result in self._tracker.run([self._prompt]):
            self._found[result.index] = result.masks[0]
            if result.masks[0].any():
                self._confidence[result.index] = result.assessments[0].confidence
        seconds = time.perf_counter() - start
        wrong = np.count_nonzero(self._found ^ self._truth, axis=(1, 2))
        wrong[self._target.plane] = 0  # it is prompted
        worst = int(wrong.argmax())
        drawn = [one for one in self._confidence if one != self._target.plane]
        doubtful = min(drawn, key=self._confidence.__getitem__, default=worst)
        before = overlap(self._found, self._truth)
        return Score(before, seconds, self._corrected(doubtful), self._corrected(worst))

    def _corrected(self, plane: int) -> Corrected:
        number, truth = self._target.object_id, self._truth[plane]
        masks = self._found.copy()
        masks[plane] = truth
        alone = overlap(masks, self._truth)
        if not truth.any():
            # The object is not there: the annotator empties the plane, and all beyond it.
            beyond = slice(plane, None) if plane > self._target.plane else slice(plane + 1)
            masks[beyond] = False
            return Corrected(alone, overlap(masks, self._truth), 0, 0.0)
        start = time.perf_counter()
        results = self._tracker.repair(
            [self._prompt, Prompt(number, plane, mask=truth)],
            number,
            plane,
            before=self._found.__getitem__,
        )
        again = set()
        for result in results:
            masks[result.index] = result.masks[0]
            again.add(result.index)
        seconds = time.perf_counter() - start
        return Corrected(alone, overlap(masks, self._truth), len(again - {plane}), seconds)


def line(name: str, scores: Sequence[Score]) -> str:
    before = np.mean([one.before for one in scores])
    seconds = np.mean([one.seconds for one in scores])
    figures = [f"{before:.3f}"]
    for corrected in ([one.doubtful for one in scores], [one.worst for one in scores]):
        means = [
            np.mean([getattr(one, name) for one in corrected])
            for name in ("mask_only", "iou", "planes", "seconds")
        ]
        figures.append("{:.3f} | {:.3f} | {:.1f} | {:.1f}".format(*means))
    return f"| {name} | {len(scores)} | {' | '.join(figures)} | {seconds:.1f} |"


def correction_table(
    model: PromptableModel, rows: Iterable[DataSet], folder: Path, most: int
) -> Iterator[str]:
    """Yield the lines of the table, each as soon as it is measured.

    Parameters
    ----------
    model : PromptableModel
        One that can follow objects.
    rows : iterable of DataSet
        Sets without stacks have no line.
    folder : Path
        Where they lie.
    most : int
        Objects of every stack, evenly spaced among all.
    """
    corrected = "mask only | repaired | planes | s"
    yield f"| set | objects | before | {corrected} | {corrected} | s of the run |"
    yield f"|{'---|' * 12}"
    for row in rows:
        ending = None if row.through_time else EndRule()
        scores = [
            Annotator(model, sample, target, ending).score()
            for sample in row.load(folder / row.folder)
            if sample.is_stack
            for target in _followable(sample, row.over, most)
        ]
        if scores:
            yield line(row.name, scores)


def _followable(sample: Sample, over: int, most: int) -> list[Target]:
    """Return objects that are on more than their prompted plane."""
    there = [
        target
        for target in targets_of(sample, over)
        if (sample.labels == target.object_id).any(axis=(1, 2)).sum() > 1
    ]
    return evenly_spaced(there, most)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="anysam-nano")
    parser.add_argument("--objects", type=int, default=3, help="objects of every stack")
    parser.add_argument("--sets", nargs="+", default=[""], help="names, or parts of names")
    options = parser.parse_args()
    rows = [row for row in SETS if any(word in row.name for word in options.sets)]
    model = load_model(options.model)
    for words in correction_table(model, rows, data_folder(), options.objects):
        print(words, flush=True)


if __name__ == "__main__":
    main()
