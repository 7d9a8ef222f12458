"""A click on a plane of 100,000 x 100,000 pixels beside one on a plane of 512 x 512.

    python benchmarks/huge_plane.py

Both planes hold the same discs at the same distance, made as they are read; the huge one has a
pyramid. Every click is answered afresh, and its mask written into labels: an array in memory for
the small plane, a pyramid on disk for the huge one. Each plane is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from napari_anysam import Prompt, load_model
from napari_anysam.images.conditioning import resolve_conditioning
from napari_anysam.images.label_pyramid import LabelPyramid
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.labels import write_mask
from napari_anysam.segmentation.plane_pixels import WindowedPlane

if TYPE_CHECKING:
    from napari_anysam.segmentation.prompts import Box
    from napari_anysam.segmentation.windows import Window

SIDES = (512, 100_000)
CHUNK, PERIOD, RADIUS = 512, 128, 30
"""A disc of this radius lies in the middle of every square of PERIOD pixels."""

VIEW = 512
"""Rows and columns that the user sees around a click."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured on one plane; times in milliseconds, memory in MiB."""

    side: int
    first: float
    click: float
    writing: float
    memory: float
    iou: float


def level(side: int, scale: int) -> Any:
    """Return one level of the plane; a pixel shows the place of its centre, with some noise."""
    size = -(-side // scale)

    def make(block_info: Any) -> np.ndarray:
        (top, bottom), (left, right) = block_info[None]["array-location"]
        rows, columns = (
            (np.arange(*ends) * scale + (scale - 1) / 2) % PERIOD - PERIOD / 2
            for ends in ((top, bottom), (left, right))
        )
        inside = np.hypot(rows[:, None], columns) <= RADIUS
        noise = np.random.default_rng((scale, top, left)).normal(0, 6, inside.shape)
        return (np.where(inside, 150, 60) + noise).clip(0, 255).astype(np.uint8)

    chunks = tuple(min(CHUNK, size - start) for start in range(0, size, CHUNK))
    return da.map_blocks(make, chunks=(chunks, chunks), dtype=np.uint8, meta=np.zeros(0, np.uint8))


def levels(side: int) -> list[Any]:
    """Return the pyramid, down to about 1,000 pixels."""
    scales = [1]
    while side / scales[-1] > 1024:
        scales.append(2 * scales[-1])
    return [level(side, scale) for scale in scales]


def places(side: int, count: int) -> list[tuple[int, int]]:
    """Return middles of discs, spread over the plane."""
    discs = side // PERIOD
    chosen = np.random.default_rng(0).integers(0, discs, (count, 2)) * PERIOD + PERIOD // 2
    return [(int(row), int(column)) for row, column in chosen]


def around(place: tuple[int, int], side: int) -> Box:
    """Return the visible part of the plane, with this place near its middle."""
    top, left = (min(max(0, value - VIEW // 2), side - VIEW) for value in place)
    return float(top), float(left), float(top + VIEW), float(left + VIEW)


def overlap(window: Window | None, place: tuple[int, int]) -> float:
    """Return the IoU of a mask with the disc around a place."""
    if window is None:
        return 0.0
    rows, columns = np.ogrid[window.slices]
    truth = np.hypot(rows - place[0], columns - place[1]) <= RADIUS
    shared = np.count_nonzero(window.mask & truth)
    return shared / (np.pi * RADIUS**2 + window.area - shared)


def peak() -> float:
    """Return the most memory this process ever held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(side: int, model_name: str, clicks: int) -> Figures:
    """Click, and write every mask."""
    model = load_model(model_name, device="cpu")
    # The first pass through a network sets up memory of its own.
    PlanePredictor(model).predict(
        lambda: np.zeros((VIEW, VIEW, 3), np.uint8),
        "warm",
        (VIEW, VIEW),
        Prompt(1, points=[(9, 9)]),
    )
    planes = Planes.single(levels(side))
    before = peak()
    start = time.perf_counter()
    conditioning = resolve_conditioning(planes)
    opening = time.perf_counter() - start
    predictor = PlanePredictor(model)
    times, writes, ious = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        labels: Any = np.zeros((side, side), np.int32) if side == VIEW else None
        if labels is None:
            labels = LabelPyramid.create(Path(folder) / "labels.zarr", planes.plane_shape)
        for object_id, place in enumerate(places(side, clicks), start=1):
            start = time.perf_counter()
            predictor.cache.clear()
            best = predictor.predict(
                WindowedPlane(planes, conditioning),
                "plane",
                planes.plane_shape,
                Prompt(object_id, points=[place]),
                view=around(place, side),
            ).best
            window = best.window()
            times.append(time.perf_counter() - start)
            ious.append(overlap(window, place))
            start = time.perf_counter()
            if window is not None:
                write_mask(labels, (), window.origin, window.mask, object_id)
            writes.append(time.perf_counter() - start)
    return Figures(
        side,
        1000 * (opening + times[0]),
        1000 * median(times),
        1000 * median(writes),
        peak() - before,
        float(np.mean(ious)),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="anysam-nano")
    parser.add_argument("--clicks", type=int, default=20)
    options = parser.parse_args()
    fresh = multiprocessing.get_context("spawn")
    print("| plane | contrast and first click | a click | writing its mask | memory | IoU |")
    print("|---|---|---|---|---|---|")
    for side in SIDES:
        with fresh.Pool(1) as pool:
            found = pool.apply(measure, (side, options.model, options.clicks))
        print(
            f"| {side:,} x {side:,} | {found.first:.0f} ms | {found.click:.0f} ms | "
            f"{found.writing:.1f} ms | {found.memory:.0f} MiB | {found.iou:.3f} |"
        )


if __name__ == "__main__":
    main()
