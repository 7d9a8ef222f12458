"""Whether a review of 200 objects on 2,000 planes stays fluid; in a real napari window.

    xvfb-run -a -s "-screen 0 1400x1000x24" python benchmarks/review_strip.py
    xvfb-run -a -s "-screen 0 1400x1000x24" python benchmarks/review_strip.py --objects 20

The masks are put into the session as a run would leave them. Then the slider is moved with the
strip folded away and with it in view, the strip is clicked, and the keys of the review are asked
for.
Each time counts from the request until the window has nothing more to do.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from window import Window, wait

from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.session import KeptMask
from napari_anysam.segmentation.windows import tight_window

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE = 128
REPEATS = 20
DOUBTFUL = 0.01


def fill(window: Window, objects: int, planes: int) -> None:
    """Give the session a run's masks, one in a hundred of them doubtful."""
    work, rng = window.control.workspace, np.random.default_rng(0)
    frame, labels = work.frame(), work.ensure_labels().layer.data
    kept = {}
    for number in range(1, objects + 1):
        row, column = divmod(number - 1, SIDE // 8)
        place = (row * 8, column * 8)
        labels[:, place[0] : place[0] + 5, place[1] : place[1] + 5] = number
        shape = tight_window(np.ones((5, 5), bool), place)
        work.session.set_prompt(
            (number, 0), Prompt(number, 0, points=[(place[0] + 2, place[1] + 2)])
        )
        doubts = rng.random(planes) < DOUBTFUL
        for plane, confidence in enumerate(rng.random(planes)):
            kept[number, plane] = KeptMask(
                shape,
                0.8,
                "anysam-nano",
                confidence=float(confidence),
                doubts=("jump",) if doubts[plane] else (),
            )
    work.prompts.show(work.session.prompts, frame)
    work.session.record_labels([], "propagation", kept)
    work.publish()
    wait(lambda: not window.control.objects.is_counting)


def settle() -> None:
    """Let Qt do all that it has to do now."""
    for _ in range(3):
        QApplication.processEvents()


def row_of(title: str, action: Callable[[int], None]) -> str:
    """Do something some times; return a row of the table."""
    times = []
    for turn in range(REPEATS):
        start = time.perf_counter()
        action(turn)
        settle()
        times.append(1000 * (time.perf_counter() - start))
    quantiles = np.quantile(times, (0.5, 0.9))
    return f"| {title} | {quantiles[0]:.0f} | {quantiles[1]:.0f} | {max(times):.0f} |"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=200)
    parser.add_argument("--planes", type=int, default=2000)
    options = parser.parse_args()
    window = Window(np.zeros((options.planes, SIDE, SIDE), np.uint8))
    fill(window, options.objects, options.planes)
    stacks, strip = window.control.stacks, window.widget.review.strip

    def scroll(turn: int) -> None:
        window.viewer.dims.set_point(0, options.planes // 4 + turn)

    def jump(turn: int) -> None:
        place = strip.place_of(1 + turn % options.objects, 7 * turn)
        QTest.mouseClick(strip, Qt.MouseButton.LeftButton, pos=place)

    print("| ms until the window is done | median | 90th percentile | longest |")
    print("|---|---|---|---|")
    window.widget.review_fold.collapse(animate=False)
    print(row_of("a step of the slider, review folded away", scroll), flush=True)
    window.widget.review_fold.expand(animate=False)
    window.widget.sections.bring_up(window.widget.review_fold)
    settle()
    print(row_of("a step of the slider, strip in view", scroll), flush=True)
    print(row_of("a click into the strip", jump), flush=True)
    print(row_of("next doubtful plane", lambda _: stacks.go_to_mark("doubtful", 1)))
    print(row_of("plane reviewed, or no more", lambda _: stacks.toggle_reviewed()))
    print(row_of("undo of that", lambda _: window.control.undo()))
    window.viewer.close()


if __name__ == "__main__":
    main()
