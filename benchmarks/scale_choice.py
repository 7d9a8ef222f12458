"""How to choose between the answers that one click has at several scales.

    python benchmarks/scale_choice.py --most 12

Every row is one weighing (`segmentation/candidates.py`), every column a set of `quality_sets.py`;
the figures are mean IoU after one click. "Best there is" picks the best candidate by the truth: no
choice can surpass it.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import numpy as np
from quality_planes import conditioned
from quality_prompts import interior_pixel, overlap
from quality_sets import SETS, data_folder, evenly_spaced, targets_of

from napari_anysam import Prompt, load_model
from napari_anysam.segmentation import candidates
from napari_anysam.segmentation.interactive import PlanePredictor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quality_sets import DataSet, Target

    from napari_anysam.segmentation.candidates import Candidate

NAMES = (
    "dsb2018 fluorescence", "stardist 2D", "dsb2018 stained", "dsb2018 smear", "usiigaci phase",
    "plantseg ovule", "totalseg CT organs", "totalseg MR organs", "psc", "livecyte",
)  # fmt: skip
WEIGHINGS = tuple(
    (stability, scale) for stability in (0.0, 0.3, 0.6) for scale in (0.0, 0.02, 0.04, 0.06)
)
BEST = "best there is"


def measure(predictor: PlanePredictor, row: DataSet, most: int) -> Iterator[dict[str, float]]:
    """Yield the IoU of every weighing, object by object."""
    for sample in row.load(data_folder() / row.folder):
        for target in evenly_spaced(targets_of(sample, row.over), most):
            plane = conditioned(sample, target.plane)
            shape = plane.shape[0], plane.shape[1]
            prompt = Prompt(1, points=[interior_pixel(target.truth)])
            key = (sample.name, target.plane)
            ious: dict[str, float] = {}
            for weighing in WEIGHINGS:
                candidates.STABILITY_WEIGHT, candidates.SCALE_PENALTY = weighing
                found = predictor.predict(lambda pixels=plane: pixels, key, shape, prompt)
                ious[_name(weighing)] = _iou(found.best, target)
            ious[BEST] = max(_iou(one, target) for one in found.candidates)
            yield ious


def _name(weighing: tuple[float, float]) -> str:
    return "stability {:.1f}, scale {:.2f}".format(*weighing)


def _iou(candidate: Candidate, target: Target) -> float:
    mask = np.zeros(target.truth.shape, bool)
    mask[candidate.region.slices] = candidate.mask()
    return overlap(mask, target.truth)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="anysam-nano")
    parser.add_argument("--most", type=int, default=12, help="objects per image")
    options = parser.parse_args()
    predictor = PlanePredictor(load_model(options.model))
    columns: dict[str, dict[str, list[float]]] = {}
    for row in (one for one in SETS if one.name in NAMES):
        print(row.name, file=sys.stderr)
        column = columns.setdefault(row.name, {})
        for ious in measure(predictor, row, options.most):
            for name, value in ious.items():
                column.setdefault(name, []).append(value)
    print("| weighing | mean | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 2) + "|")
    for name in [*map(_name, WEIGHINGS), BEST]:
        means = [float(np.mean(column[name])) for column in columns.values()]
        print(f"| {name} | {np.mean(means):.3f} | " + " | ".join(f"{v:.2f}" for v in means) + " |")


if __name__ == "__main__":
    main()
