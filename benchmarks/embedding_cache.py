"""What the cache of embeddings saves, and what its rounding to 16 bits does to masks.

    python benchmarks/embedding_cache.py --most 20

For every set of `quality_sets.py` that is named: one click and one box per object, answered from
embeddings in 32 and in 16 bits; IoU between the two answers, and of both with the truth. Then the
median time of a click whose regions are encoded now, on disk, or in memory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING

import numpy as np
from quality_planes import conditioned
from quality_prompts import interior_pixel, overlap, padded_box
from quality_sets import SETS, data_folder, evenly_spaced, targets_of

from napari_anysam import Prompt, load_model
from napari_anysam.segmentation.embedding_store import EmbeddingStore
from napari_anysam.segmentation.embeddings import EmbeddingCache
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.stored_cache import StoredCache

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from quality_sets import DataSet

    from napari_anysam.networks.protocol import PromptableModel

NAMES = ("dsb2018 fluorescence", "usiigaci phase")


def rounding(model: PromptableModel, row: DataSet, most: int) -> None:
    """Print how masks from 16 bits differ from those of 32."""
    agreements, exact_ious, rounded_ious = [], [], []
    for sample in row.load(data_folder() / row.folder):
        exact = PlanePredictor(model, EmbeddingCache())
        rounded = PlanePredictor(model, StoredCache())
        for target in evenly_spaced(targets_of(sample, row.over), most):
            plane = conditioned(sample, target.plane)
            click = Prompt(1, points=[interior_pixel(target.truth)])
            box = Prompt(1, box=padded_box(target.truth))
            for prompt in (click, box):
                one, other = (answer(by, plane, target.plane, prompt) for by in (exact, rounded))
                agreements.append(overlap(one, other))
                exact_ious.append(overlap(one, target.truth))
                rounded_ious.append(overlap(other, target.truth))
    sys.stdout.write(
        f"{row.name}: {len(agreements)} prompts; IoU of the two answers mean "
        f"{mean(agreements):.5f}, least {min(agreements):.4f}, "
        f"{sum(one < 0.99 for one in agreements)} below 0.99; "
        f"with the truth {mean(exact_ious):.4f} (32 bits), {mean(rounded_ious):.4f} (16 bits)\n"
    )


def answer(
    predictor: PlanePredictor, plane: NDArray[np.uint8], key: int, prompt: Prompt
) -> NDArray[np.bool_]:
    """Return the best mask in the plane's shape."""
    shape = plane.shape[0], plane.shape[1]
    best = predictor.predict(lambda: plane, key, shape, prompt).best
    mask = np.zeros(shape, bool)
    mask[best.region.slices] = best.mask()
    return mask


def times(model: PromptableModel, repeats: int) -> None:
    """Print the time of a click by where its embeddings come from."""
    plane = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    prompt = Prompt(1, points=[(200.0, 240.0)])
    found: dict[str, list[float]] = {"encoded now": [], "on disk": [], "in memory": []}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats + 1):  # the first one warms up
            store = EmbeddingStore(Path(folder) / str(repeat), 10**10)
            caches = StoredCache(store=store), StoredCache(store=store)
            for name, cache in zip(found, (*caches, caches[1]), strict=True):
                start = time.perf_counter()
                answer(PlanePredictor(model, cache), plane, 0, prompt)
                found[name].append(1000 * (time.perf_counter() - start))
    said = ", ".join(f"{name} {median(one[1:]):.0f} ms" for name, one in found.items())
    sys.stdout.write(f"A click on a plane of 512 x 512 pixels, its regions {said}\n")


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="anysam-nano")
    parser.add_argument("--sets", nargs="+", default=NAMES)
    parser.add_argument("--most", type=int, default=20, help="objects per image")
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    model = load_model(options.model, precision="fp32")
    for row in SETS:
        if row.name in options.sets:
            rounding(model, row, options.most)
    times(model, options.repeats)


if __name__ == "__main__":
    main()
