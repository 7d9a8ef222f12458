"""Where objects end: whole objects followed without and with the rule that ends them.

    python benchmarks/ends.py --objects 8 --sets nuclei fib25 psc

Every object gets a box on the plane where it is largest and is followed both ways. The IoU is that
of whole objects, voxel by voxel.
"""

from __future__ import annotations

import argparse
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
    from quality_sets import Sample, Target

    from napari_anysam.networks.protocol import PromptableModel

SAME = 0.01
"""An IoU that changes by less is the same."""


def followed(model: PromptableModel, sample: Sample, target: Target) -> tuple[float, float]:
    """Return the IoU of one object without and with the rule."""
    planes = Planes(sample.image, 0, sample.channel_axis)
    conditioning, cache = resolve_conditioning(planes), EmbeddingCache()
    prompt = Prompt(target.object_id, target.plane, box=padded_box(target.truth))
    truth = sample.labels == target.object_id
    ious = []
    for ending in (None, EndRule()):
        tracker = Tracker(model, planes, conditioning, cache=cache, ending=ending)
        found = np.zeros(truth.shape, bool)
        for result in tracker.run([prompt]):
            found[result.index] = result.masks[0]
        ious.append(overlap(found, truth))
    return ious[0], ious[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="anysam-nano")
    parser.add_argument("--objects", type=int, default=8, help="objects of every stack")
    parser.add_argument("--sets", nargs="+", default=[""], help="names, or parts of names")
    options = parser.parse_args()
    model, folder = load_model(options.model), data_folder()
    print("| set | objects | without | with | better, worse |")
    print(f"|{'---|' * 5}")
    for row in SETS:
        if not any(word in row.name for word in options.sets):
            continue
        ious = [
            followed(model, sample, target)
            for sample in row.load(folder / row.folder)
            if sample.is_stack
            for target in evenly_spaced(targets_of(sample, row.over), options.objects)
        ]
        if ious:
            without, ended = np.array(ious).T
            better = int((ended > without + SAME).sum())
            worse = int((ended < without - SAME).sum())
            figures = f"{without.mean():.3f} | {ended.mean():.3f} | {better}, {worse}"
            print(f"| {row.name} | {len(ious)} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
