"""Many cells followed through a series with known truth: time, id switches and lost cells.

    python benchmarks/cells.py                                       # 50 cells, 100 frames
    python benchmarks/cells.py --cells 6 --frames 6 --size 256       # in small

The series is drawn (``images/synthetic.py``), larger than its cells by far, as a field of view is.
Cells are prompted by a box on the first frame only, and followed forward with the shipped model.
An answer is on the cell that it overlaps with an IoU of at least a half. When it is on another cell
than the last time, that is a switch; a cell is lost from the frame on from which its answer never
is on it again. Drawing the series and comparing with the truth are not timed.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from propagation_engines import Seconds, timed
from quality_prompts import padded_box

from napari_anysam import Prompt, load_model
from napari_anysam.images.conditioning import resolve_conditioning
from napari_anysam.images.planes import Planes
from napari_anysam.images.synthetic import synthetic_series
from napari_anysam.segmentation.tracking import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_anysam.segmentation.tracking_results import PropagationResult

ON = 0.5
"""IoU from which on an answer is on a cell."""


class Course:
    """Where the answers for every prompted cell were, frame by frame."""

    def __init__(self, cells: list[int], truth: NDArray[np.integer]) -> None:
        self._truth = truth
        self.on: dict[int, list[int]] = {cell: [] for cell in cells}
        self.ious: list[float] = []

    def note(self, result: PropagationResult) -> None:
        """Compare a frame with the truth."""
        truth = self._truth[result.index]
        areas = np.bincount(truth.ravel())
        for cell, mask in zip(result.object_ids, result.masks, strict=True):
            shared = np.bincount(truth[mask], minlength=len(areas))
            ious = shared / (areas + np.count_nonzero(mask) - shared)
            ious[0] = 0  # the background
            best = int(ious.argmax())
            self.on[cell].append(best if ious[best] >= ON else 0)
            self.ious.append(float(ious[cell]))

    def switches(self) -> int:
        """Count how often an answer went from one cell to another."""
        found = 0
        for course in self.on.values():
            cells = [cell for cell in course if cell]
            found += sum(one != other for one, other in pairwise(cells))
        return found

    def lost(self) -> int:
        """Count the cells that their answers have left for good."""
        return sum(course[-1] != cell for cell, course in self.on.items())


@dataclass
class Figures:
    """What a run took and found."""

    cells: int
    frames: int
    size: int
    memory: str
    threads: int
    total: Seconds
    frame: Seconds
    switches: int
    lost: int
    iou: float


def follow_cells(cells: int, frames: int, size: int, memory: str) -> Figures:
    image, truth = synthetic_series(seed=1, shape=(frames, size, size))
    there = np.unique(truth[0])[1:]
    if len(there) < cells:
        raise SystemExit(f"Only {len(there)} cells are in view at {size} pixels; ask for fewer.")
    chosen = [int(there[place]) for place in np.linspace(0, len(there) - 1, cells).astype(int)]
    prompts = [Prompt(cell, 0, box=padded_box(truth[0] == cell)) for cell in chosen]
    course = Course(chosen, truth)
    planes = Planes(image)
    model = load_model("anysam-nano", "cpu", "fp32")
    tracker = Tracker(model, planes, resolve_conditioning(planes), memory=memory)
    seconds = _walked(tracker.run(prompts, direction="forward"), course, frames)
    total = Seconds(sum(one.wall for one in seconds), sum(one.cpu for one in seconds))
    return Figures(
        cells,
        frames,
        size,
        memory,
        torch.get_num_threads(),
        total,
        Seconds.least(seconds[1:]),
        course.switches(),
        course.lost(),
        float(np.mean(course.ious)),
    )


def _walked(results: Iterator[PropagationResult], course: Course, frames: int) -> list[Seconds]:
    """Walk through a run; return what each frame took."""
    seconds = []
    for _ in range(frames):
        held: list[Any] = []
        seconds.append(timed(lambda held=held: held.append(next(results))))
        course.note(held[0])
    return seconds


def table(figures: Figures) -> str:
    lines = [
        "| cells | frames | size | memory | threads | seconds | CPU seconds | s/frame "
        "| id switches | lost | mean IoU |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        f"| {figures.cells} | {figures.frames} | {figures.size} | {figures.memory} "
        f"| {figures.threads} | {figures.total.wall:.0f} | {figures.total.cpu:.0f} "
        f"| {figures.frame.wall:.2f} | {figures.switches} | {figures.lost} | {figures.iou:.3f} |",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=50)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--size", type=int, default=1024, help="rows and columns of a frame")
    parser.add_argument("--memory", choices=("full", "fast"), default="full")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    arguments = parser.parse_args()
    figures = follow_cells(arguments.cells, arguments.frames, arguments.size, arguments.memory)
    print(table(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(figures), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
