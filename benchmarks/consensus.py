"""One axis against three: what the consensus of z, y and x gains over propagation along z.

    python benchmarks/consensus.py
    python benchmarks/consensus.py --objects 4 --sets hippocampus stardist

Stacks of ``quality_sets.py`` with true labels and the shipped model. Every object is prompted with
a box on the plane where it is largest; IoU is that of the whole object, voxel by voxel, against the
truth. Voxels are taken as long as the file says, in the sets that do not say as long as wide.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from quality_prompts import padded_box
from quality_sets import SETS, data_folder, evenly_spaced, targets_of

from napari_anysam import Prompt, load_model, propagate
from napari_anysam.segmentation.consensus import consensus

SPACINGS = {
    "brain tumour": (6.5, 0.78, 0.78),
    "deeplesion": (5.0, 0.977, 0.977),
}
NAMES = (
    "stardist 3D",
    "plantseg ovule",
    "plantseg nuclei 1135",
    "fib25 EM",
    "hippocampus",
    "spinal cord",
    "totalseg CT organs",
    "totalseg MR organs",
    "brain tumour",
    "deeplesion",
)


def overlap(one, other):
    return np.count_nonzero(one & other) / max(1, np.count_nonzero(one | other))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=8, help="of each stack")
    parser.add_argument("--sets", nargs="+", default=NAMES)
    parser.add_argument("--model", default="anysam-nano")
    options = parser.parse_args()
    model = load_model(options.model)
    print("| set | objects | IoU along z | IoU of three | better, worse | s along z | s of three |")
    print("|---|---|---|---|---|---|---|")
    for data_set in SETS:
        if data_set.name not in NAMES or not any(word in data_set.name for word in options.sets):
            continue
        single, voted, seconds = [], [], [0.0, 0.0]
        for sample in data_set.load(data_folder() / data_set.folder):
            targets = evenly_spaced(targets_of(sample, data_set.over), options.objects)
            prompts = [
                Prompt(one.object_id, one.plane, box=padded_box(one.truth)) for one in targets
            ]
            began = time.perf_counter()
            along = np.zeros(sample.labels.shape, np.int32)
            for result in propagate(sample.image, prompts, model):
                along[result.index] = result.labels
            between = time.perf_counter()
            spacing = SPACINGS.get(data_set.name, (1, 1, 1))
            three = consensus(sample.image, prompts, model, spacing=spacing)
            seconds[0] += between - began
            seconds[1] += time.perf_counter() - between
            for one in targets:
                truth = sample.labels == one.object_id
                single.append(overlap(along == one.object_id, truth))
                voted.append(overlap(three == one.object_id, truth))
        change = np.subtract(voted, single)
        print(
            f"| {data_set.name} | {len(single)} | {np.mean(single):.3f} | {np.mean(voted):.3f} "
            f"| {(change > 0.01).sum()}, {(change < -0.01).sum()} "
            f"| {seconds[0]:.1f} | {seconds[1]:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
