"""How long it takes to refine all nuclei of an image from their labels.

    python benchmarks/label_refinement.py

The image is the 2D example of StarDist, four times (1024 x 1024 pixels, 500 nuclei). The labels are
the truth moved by two pixels, so that there is something to refine.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import numpy as np
from quality_prompts import overlap
from quality_sets import data_folder
from skimage import io  # type: ignore[attr-defined]

import napari_anysam as anysam

if TYPE_CHECKING:
    from napari_anysam.segmentation.label_prompts import LabelKind

TILES, MOVED = 2, 2


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Return the image and its labels, every nucleus with an id of its own."""
    folder = data_folder() / "stardist_nuclei2d"
    image, labels = io.imread(folder / "img2d.tif"), io.imread(folder / "mask2d.tif").astype(int)
    offsets = np.arange(TILES**2).reshape(TILES, TILES) * labels.max()
    tiles = [[np.where(labels, labels + offset, 0) for offset in row] for row in offsets]
    return np.tile(image, (TILES, TILES)), np.block(tiles)


def mean_iou(found: np.ndarray, truth: np.ndarray) -> float:
    ids = [number for number in np.unique(truth) if number]
    return float(np.mean([overlap(found == number, truth == number) for number in ids]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="anysam-nano")
    options = parser.parse_args()
    model = anysam.load_model(options.model, device="cpu")
    image, truth = scene()
    rough = np.roll(truth, (MOVED, MOVED), (0, 1))
    print("| labels become | objects | seconds | seconds per object | IoU before | IoU after |")
    print("|---|---|---|---|---|---|")
    kinds: tuple[LabelKind, ...] = ("box", "mask", "points")
    for kind in kinds:
        start = time.perf_counter()
        prompts = anysam.prompts_from_labels(rough, kind)
        found = anysam.segment(image, prompts, model=model)
        seconds = time.perf_counter() - start
        each, before = seconds / len(prompts), mean_iou(rough, truth)
        print(
            f"| {kind} | {len(prompts)} | {seconds:.1f} | {each:.3f} | {before:.3f} | "
            f"{mean_iou(found, truth):.3f} |"
        )


if __name__ == "__main__":
    main()
