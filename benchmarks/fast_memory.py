"""What ``memory="fast"`` does to masks, on the project's labelled stacks.

    python benchmarks/fast_memory.py                 # a quarter of an hour on one core
    python benchmarks/fast_memory.py --set psc --most 2

Objects are prompted by their true mask on the plane where they are largest, and followed up to 15
planes each way, with the shipped model in ``region="auto"``. IoU with the truth is over planes
where the object is, the prompted one left out; IoU with the full memory over all followed planes.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np
from quality_prompts import overlap
from quality_sets import SETS, data_folder, evenly_spaced, targets_of

from napari_anysam import Prompt, load_model
from napari_anysam.images.conditioning import resolve_conditioning
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.embeddings import EmbeddingCache
from napari_anysam.segmentation.tracking import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from quality_sets import DataSet, Sample, Target

    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.tracking_memories import MemoryUse

    Answers = dict[tuple[int, int], NDArray[np.bool_]]

REACH = 15
CACHE_BYTES = 2**30


class Followed:
    """Some objects of a sample, followed with either memory; embeddings are shared."""

    def __init__(self, model: PromptableModel, sample: Sample, targets: list[Target]) -> None:
        self._model, self._sample, self._targets = model, sample, targets
        self._planes = Planes(sample.image, 0, sample.channel_axis)
        self._conditioning = resolve_conditioning(self._planes)
        self._cache = EmbeddingCache(CACHE_BYTES)

    def answers(self, memory: MemoryUse) -> Answers:
        """Return the masks by object and plane."""
        prompts = [Prompt(one.object_id, one.plane, mask=one.truth) for one in self._targets]
        planes = [target.plane for target in self._targets]
        tracker = Tracker(
            self._model,
            self._planes,
            self._conditioning,
            cache=self._cache,
            plane_key=lambda index: index,
            memory=memory,
        )
        results = tracker.run(
            prompts,
            start=max(0, min(planes) - REACH),
            stop=min(self._planes.count, max(planes) + REACH + 1),
        )
        return {
            (object_id, result.index): mask
            for result in results
            for object_id, mask in zip(result.object_ids, result.masks, strict=True)
        }

    def with_truth(self, answers: Answers) -> Iterator[float]:
        """Yield the IoU with the truth where there is one and nobody prompted."""
        prompted = {target.object_id: target.plane for target in self._targets}
        for (object_id, plane), mask in answers.items():
            truth = self._sample.labels[plane] == object_id
            if truth.any() and plane != prompted[object_id]:
                yield overlap(mask, truth)


def measure(model: PromptableModel, row: DataSet, most: int) -> tuple[float, float, float] | None:
    """Return the means over a set: full and fast with the truth, fast with full."""
    figures = []
    for sample in row.load(data_folder() / row.folder):
        if not sample.is_stack:
            return None
        followed = Followed(model, sample, evenly_spaced(targets_of(sample, row.over), most))
        full, fast = followed.answers("full"), followed.answers("fast")
        alike = [overlap(mask, full[key]) for key, mask in fast.items()]
        truths = [np.mean(list(followed.with_truth(answers))) for answers in (full, fast)]
        figures.append((*truths, np.mean(alike)))
    return tuple(np.mean(figures, axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", default="", help="only sets whose name holds this")
    parser.add_argument("--most", type=int, default=4, help="objects of a stack")
    arguments = parser.parse_args()
    model = load_model("anysam-nano", "cpu", "fp32")
    print("| set | full, IoU with truth | fast, IoU with truth | fast, IoU with full |")
    print("|---|---|---|---|")
    for row in SETS:
        if arguments.set in row.name and (data_folder() / row.folder).exists():
            means = measure(model, row, arguments.most)
            if means is not None:
                print(f"| {row.name} | {' | '.join(f'{mean:.3f}' for mean in means)} |", flush=True)


if __name__ == "__main__":
    main()
