"""What a user waits for with one model: a click, a box, a propagated plane.

    python benchmarks/latency.py                       # the shipped model
    python benchmarks/latency.py --model sam2.1-tiny   # any other

Each figure is the median over the repeats in one process, after a warm-up, contrast and resizing
included.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_anysam import Prompt, load_model, propagate
from napari_anysam.segmentation.interactive import PlanePredictor

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam.networks.protocol import PromptableModel

SIDE = 512
"""Rows and columns of the plane."""


def clock(action: Callable[[], object], repeats: int) -> float:
    """Return the median time of an action in milliseconds."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return 1000 * median(times)


def plane_times(model: PromptableModel, repeats: int) -> dict[str, float]:
    """Time one plane: encoded as a whole, decoded, and answered the way the plugin does."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    click = Prompt(1, points=[(200.0, 240.0)])
    box = Prompt(1, box=(180.0, 210.0, 230.0, 280.0))
    embedding = model.encode(pixels)

    def fresh(prompt: Prompt) -> object:
        return PlanePredictor(model).predict(lambda: pixels, "plane", (SIDE, SIDE), prompt)

    seen = PlanePredictor(model)

    def again() -> object:
        return seen.predict(lambda: pixels, "plane", (SIDE, SIDE), click)

    return {
        "encode one plane": clock(lambda: model.encode(pixels), repeats),
        "decode one prompt": clock(lambda: model.decode(embedding, [click]), repeats),
        "a box on a new plane": clock(lambda: fresh(box), repeats),
        "a click on a new plane, all its regions": clock(lambda: fresh(click), repeats),
        "a click on encoded regions": clock(again, repeats),
    }


def stack_time(model: PromptableModel, planes: int) -> float:
    """Return the median time of a propagated plane with one object in milliseconds."""
    stack = np.random.default_rng(0).normal(40, 6, (planes, SIDE, SIDE))
    rows, columns = np.ogrid[:SIDE, :SIDE]
    stack[:, (rows - 250) ** 2 + (columns - 230) ** 2 < 40**2] += 120
    prompt = Prompt(1, 0, box=(208.0, 188.0, 292.0, 272.0))
    times, start = [], time.perf_counter()
    for _ in propagate(stack.clip(0, 255).astype(np.uint8), [prompt], model):
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
    return 1000 * median(times[8:])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="anysam-nano")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--planes", type=int, default=40)
    options = parser.parse_args()
    model = load_model(options.model)
    times = plane_times(model, options.repeats)
    times["a propagated plane, one object"] = stack_time(model, options.planes)
    print(f"{options.model} on {model.device}, {torch.get_num_threads()} threads, {SIDE} px\n")
    print("| what | ms |\n|---|---|")
    for name, value in times.items():
        print(f"| {name} | {value:.0f} |")


if __name__ == "__main__":
    main()
