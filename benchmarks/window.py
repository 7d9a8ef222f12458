"""How fluid the window stays, and how long a click waits for its mask; in a real napari window.

    xvfb-run -a -s "-screen 0 1400x1000x24" python benchmarks/window.py
    xvfb-run -a -s "-screen 0 1400x1000x24" python benchmarks/window.py --seconds 60
    xvfb-run -a -s "-screen 0 1400x1000x24" python benchmarks/window.py --part runs

A timer that is due every five milliseconds notes when it is late: the event loop was away that
long. Meanwhile the slider is moved thirty times a second, as by a user who scrolls through a stack.
SAM ViT-B encodes with seeded random weights, because only its arithmetic matters here.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
import torch
from qtpy.QtCore import QEventLoop, QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_anysam._napari.active_model import active_model
from napari_anysam._napari.propagation import StackRange
from napari_anysam._napari.segment_widget import SegmentWidget
from napari_anysam._napari.status import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

TICK_MILLISECONDS = 5
SCROLL_MILLISECONDS = 33
PATIENCE_SECONDS = 60.0
STACK = (40, 512, 512)
PARTS = ("clicks", "encoding", "runs")


class StallMonitor:
    """Notes for how long the event loop was away, in milliseconds."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK_MILLISECONDS)

    def clear(self) -> None:
        """Begin anew."""
        self.gaps.clear()
        self._last = time.perf_counter()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps.append(1000 * (now - self._last))
        self._last = now

    def row(self, title: str) -> str:
        """Return a row of the table."""
        gaps = np.array(self.gaps)
        quantiles = [float(np.quantile(gaps, part)) for part in (0.5, 0.99)]
        late = int((gaps > 50).sum())
        return f"| {title} | {quantiles[0]:.0f} | {quantiles[1]:.0f} | {gaps.max():.0f} | {late} |"


class Window:
    """A napari window with the Segment dock and a stack.

    Parameters
    ----------
    planes : array (planes, rows, columns)
    """

    def __init__(self, planes: np.ndarray) -> None:
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1200, 800)
        self.widget = SegmentWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.widget, name="Segment")
        self.control = self.widget.controller
        wait(lambda: active_model().model is not None)
        self.image = self.viewer.add_image(planes, name="stack")
        wait(lambda: self.control.image is self.image and self.control.status.drawing == "points")
        self._scroll = QTimer()
        self._scroll.timeout.connect(self._move)

    def use(self, name: str | Path) -> None:
        """Make a model the active one, and wait for it."""
        active_model().request(name)
        active_model().wait(PATIENCE_SECONDS)
        QApplication.processEvents()

    def scroll(self, *, on: bool) -> None:
        """Begin or end moving the slider."""
        if on:
            self._scroll.start(SCROLL_MILLISECONDS)
        else:
            self._scroll.stop()

    def click(self, row: float, column: float) -> float:
        """Click with the mouse; return the milliseconds until the mask is drawn."""
        plane = self.viewer.dims.current_step[0]
        canvas = self.viewer.window._qt_viewer.canvas
        world = self.image.data_to_world((plane, row, column))
        x, y, *_ = canvas.view.scene.transform.map([world[2], world[1], 0, 1])
        start = time.perf_counter()
        QTest.mouseClick(canvas.native, Qt.MouseButton.LeftButton, pos=QPoint(round(x), round(y)))
        wait(lambda: self.control.status.stage in (Stage.PREVIEW, Stage.NOTHING_FOUND), pause=0.001)
        QApplication.processEvents()
        milliseconds = 1000 * (time.perf_counter() - start)
        self.control.clear()
        return milliseconds

    def propagate(self) -> None:
        """Follow the marked objects through the stack."""
        self.control.stacks.propagate(StackRange(0, 0, STACK[0] - 1))

    def cancel(self) -> float:
        """End the run; return the milliseconds until it has ended."""
        start = time.perf_counter()
        self.control.stacks.cancel()
        wait(lambda: not self.control.stacks.runs.busy, pause=0.001)
        return 1000 * (time.perf_counter() - start)

    def _move(self) -> None:
        plane = (self.viewer.dims.current_step[0] + 1) % STACK[0]
        self.viewer.dims.set_point(0, plane)


def stack() -> np.ndarray:
    """Return discs of 20 pixels on a grid, uint8 STACK."""
    rows, columns = np.indices(STACK[1:])
    discs = (rows % 64 - 32) ** 2 + (columns % 64 - 32) ** 2 < 400
    plane = np.where(discs, 190, 40)
    noise = np.random.default_rng(0).normal(0, 4, STACK)
    return np.clip(plane + noise, 0, 255).astype(np.uint8)


def write_vit_b(file: Path) -> Path:
    """Write SAM ViT-B's official layout with seeded random weights."""
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    torch.save(sam_model_registry["vit_b"]().state_dict(), file)
    return file


def wait(condition: Callable[[], Any], pause: float = 0.005) -> None:
    """Run the event loop until something is true."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the window did not come to the state to be measured")
        QApplication.processEvents()
        time.sleep(pause)


def run_event_loop(seconds: float) -> None:
    """Let Qt run by itself, as napari does."""
    loop = QEventLoop()
    QTimer.singleShot(int(1000 * seconds), loop.quit)
    loop.exec()


def measure_stalls(window: Window, seconds: float, vit_b: Path) -> None:
    """Print how long the event loop is away, idle and while ViT-B encodes."""
    print("| event loop away, ms | median | 99th percentile | longest | over 50 ms |")
    print("|---|---|---|---|---|")
    monitor = StallMonitor()
    for scrolling in (False, True):
        window.scroll(on=scrolling)
        monitor.clear()
        run_event_loop(min(seconds, 10))
        print(monitor.row("idle, " + ("scrolling" if scrolling else "still")), flush=True)
    window.scroll(on=False)
    window.use(vit_b)
    for scrolling in (False, True):
        window.viewer.dims.set_point(0, 5)
        window.control.workspace.prompts.points.add((5, 160.0, 160.0))
        window.scroll(on=scrolling)
        run_event_loop(0.2)
        monitor.clear()
        run_event_loop(seconds)
        title = "ViT-B encodes, " + ("scrolling" if scrolling else "still")
        print(monitor.row(title), flush=True)
        window.scroll(on=False)
        window.control.clear()


def measure_runs(window: Window, seconds: float) -> None:
    """Print how long the event loop is away while objects are propagated, and a cancel's wait."""
    window.use("anysam-nano")
    monitor = StallMonitor()
    cancels: list[float] = []
    print("| event loop away, ms | median | 99th percentile | longest | over 50 ms |")
    print("|---|---|---|---|---|")
    for objects in (1, 16):
        mark_objects(window, objects)
        for scrolling in (False, True):
            window.scroll(on=scrolling)
            monitor.clear()
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0.5:
                window.propagate()
                run_event_loop(min(left, 3.0))
                cancels.append(window.cancel())
            window.scroll(on=False)
            title = f"{objects} objects propagated, " + ("scrolling" if scrolling else "still")
            print(monitor.row(title.replace("1 objects", "1 object")), flush=True)
    print(f"\nfrom cancel to the end: {np.median(cancels):.0f} ms, at most {max(cancels):.0f} ms")


def mark_objects(window: Window, count: int) -> None:
    """Mark discs by a click each on the first plane, and keep them."""
    window.viewer.dims.set_point(0, 0)
    present = len(window.control.workspace.session.object_ids)
    for number in range(present, count):
        centre = (32.0 + 64 * (number % 8), 32.0 + 64 * (number // 8))
        window.control.workspace.prompts.points.add((0, *centre))
        wait(lambda: window.control.status.stage in (Stage.PREVIEW, Stage.NOTHING_FOUND))
        window.control.accept()
        QApplication.processEvents()


def measure_clicks(window: Window, count: int) -> None:
    """Print how long clicks wait with the shipped model."""
    window.use("anysam-nano")
    places = [(32 + 64 * (k % 8), 32 + 64 * (k // 8 % 8)) for k in range(count)]
    fresh = []
    for number, (row, column) in enumerate(places):
        window.viewer.dims.set_point(0, number % STACK[0])
        QApplication.processEvents()
        fresh.append(window.click(row, column))
    window.viewer.dims.set_point(0, 3)
    window.click(160, 160)
    seen = [window.click(160, 160) for _ in places]
    print("\n| click to mask, ms (anysam-nano) | median | 90th percentile |")
    print("|---|---|---|")
    for title, times in (("on a new plane", fresh), ("where it was encoded", seen)):
        print(f"| {title} | {np.median(times):.0f} | {np.quantile(times, 0.9):.0f} |")


def main() -> None:
    """Measure and print a table for each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of encoding or a run, each")
    parser.add_argument("--clicks", type=int, default=20)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this; may be repeated")
    options = parser.parse_args()
    parts = options.part or PARTS
    with TemporaryDirectory() as folder:
        # Before the window: see networks/native.py for what torchvision and OpenGL do together.
        vit_b = write_vit_b(Path(folder) / "vit_b.pth")
        window = Window(stack())
        if "clicks" in parts:
            measure_clicks(window, options.clicks)
            print()
        if "encoding" in parts:
            measure_stalls(window, options.seconds, vit_b)
            print()
        if "runs" in parts:
            measure_runs(window, options.seconds)
        window.viewer.close()


if __name__ == "__main__":
    main()
