"""What the results of following cost: CPU seconds a frame, and the peak of arrays.

    python benchmarks/result_memory.py                               # 8 objects in 2048 x 2048
    python benchmarks/result_memory.py --region plane
    python benchmarks/result_memory.py --cells 50 --frames 5 --size 1024
    python benchmarks/result_memory.py --side 40000 --frames 3       # planes that fit no memory

The series is drawn as for ``cells.py``, and blown up where it is to be larger than 1024 pixels;
with ``--side`` it lies in the middle of planes of that side, made as they are read. Every object is
given by a box on the first frame, and followed with the shipped model on one thread. ``--take
labels`` asks every result for its plane of labels, as a script does; ``--take windows`` for what is
written into a label store. Arrays are those that numpy holds (``tracemalloc``), measured in a
second run.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import torch
from quality_prompts import padded_box

from napari_anysam import Prompt, load_model
from napari_anysam.images.conditioning import Conditioning
from napari_anysam.images.planes import Planes
from napari_anysam.images.synthetic import synthetic_series
from napari_anysam.segmentation.lifetimes import living_windows
from napari_anysam.segmentation.tracking import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_anysam.segmentation.tracking_results import PropagationResult

DRAWN = 512
"""Rows and columns that are drawn and blown up where a series is larger than 1024 pixels."""


class Placed:
    """A series in the middle of larger planes."""

    def __init__(self, series: NDArray[np.uint8], side: int) -> None:
        self.shape, self.ndim, self.dtype = (len(series), side, side), 3, series.dtype
        self._series = series
        self.start = (side - series.shape[1]) // 2

    def __getitem__(self, key: tuple[int, slice, slice]) -> NDArray[np.uint8]:
        """Read a window of a plane."""
        plane, *parts = key
        size = self._series.shape[1]
        read = [
            np.arange(*part.indices(side)) for part, side in zip(parts, self.shape[1:], strict=True)
        ]
        pixels = np.zeros([len(places) for places in read], self.dtype)
        known = [(places >= self.start) & (places < self.start + size) for places in read]
        inner = [places[there] - self.start for places, there in zip(read, known, strict=True)]
        pixels[np.ix_(*known)] = self._series[plane][np.ix_(*inner)]
        return pixels


def scene(cells: int, frames: int, size: int, side: int) -> tuple[Placed, list[Prompt]]:
    drawn = size if size <= 1024 else DRAWN
    image, truth = synthetic_series(seed=1, shape=(frames, drawn, drawn))
    low, high = np.percentile(image, (0.5, 99.5))
    image = ((image - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)
    block = np.ones((1, size // drawn, size // drawn), np.uint8)
    placed = Placed(np.kron(image, block), max(side, size))
    first = np.kron(truth[0], block[0])
    there = np.unique(first)[1:]
    chosen = there[np.linspace(0, len(there) - 1, cells).astype(int)]
    boxes = (padded_box(first == cell) for cell in chosen)
    moved = (tuple(edge + placed.start for edge in box) for box in boxes)
    return placed, [Prompt(int(cell), 0, box=box) for cell, box in zip(chosen, moved, strict=True)]


def walk(results: Iterator[PropagationResult], take: str) -> list[float]:
    """Take all results; return the CPU seconds of each."""
    seconds = []
    while True:
        start = time.process_time()
        result = next(results, None)
        if result is None:
            return seconds
        if take == "labels":
            assert result.labels.any()
        else:
            assert any(window for _, window in living_windows(result))
        seconds.append(time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--size", type=int, default=2048, help="rows and columns of the series")
    parser.add_argument("--side", type=int, default=0, help="rows and columns of its planes")
    parser.add_argument("--region", choices=("auto", "plane"), default="auto")
    parser.add_argument("--take", choices=("labels", "windows"), default="windows")
    given = parser.parse_args()
    torch.set_num_threads(1)
    placed, prompts = scene(given.cells, given.frames, given.size, given.side)
    model = load_model("anysam-nano", "cpu", "fp32")
    tracker = Tracker(model, Planes(placed), Conditioning(((0, 255),)), region=given.region)
    seconds = walk(tracker.run(prompts, direction="forward"), given.take)
    tracemalloc.start()
    walk(tracker.run(prompts, direction="forward"), given.take)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    print("| objects | plane | region | taken | CPU s/frame | arrays |\n|---|---|---|---|---|---|")
    side = placed.shape[1]
    print(
        f"| {given.cells} | {side} x {side} | {given.region} | {given.take} "
        f"| {np.median(seconds[1:]):.2f} | {peak:.1f} MiB |"
    )


if __name__ == "__main__":
    main()
