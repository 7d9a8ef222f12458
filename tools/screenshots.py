"""Make the pictures of the README: a real window, the shipped model, the package's own samples.

Run it where there is a display, or under Xvfb::

    xvfb-run -s "-screen 0 1400x1000x24" python tools/screenshots.py docs/images
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from qtpy.QtWidgets import QApplication
from skimage.filters import threshold_otsu
from skimage.io import imsave
from skimage.measure import label, regionprops

from napari_anysam._napari.active_model import active_model
from napari_anysam._napari.status import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam._napari.segment_widget import SegmentWidget

WINDOW = (1200, 760)
PATIENCE = 300.0


def main() -> None:
    """Take every picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/images"))
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    segment_coins(folder / "segment_coins.png")
    propagate_stack(folder / "propagate_stack.png")
    choose_model(folder / "model_manager.png")


def segment_coins(path: Path) -> None:
    """Show a few kept coins and one that is previewed."""
    viewer, widget = open_window("coins")
    coins = coin_centres(np.asarray(widget.controller.image.data))
    *kept, last = coins[:: max(1, len(coins) // 9)]
    for centre in kept:
        click(widget, centre)
        widget.controller.accept()
    click(widget, last)
    save(viewer, path)


def propagate_stack(path: Path) -> None:
    """Show nuclei on their way through a stack."""
    viewer, widget = open_window("stack")
    truth = next(layer for layer in viewer.layers if "truth" in layer.name)
    truth.visible = False
    image = widget.controller.image
    plane = image.data.shape[0] // 2
    viewer.dims.set_point(0, float(image.data_to_world((plane, 0, 0))[0]))
    for centre in lonely_centres(truth.data[plane])[:8]:
        click(widget, (plane, *centre))
        widget.controller.accept()
    widget.stack.ask_to_propagate()
    total = widget.controller.status.total
    wait(lambda: widget.controller.status.done >= total * 2 // 3)
    viewer.dims.set_point(0, float(image.data_to_world((plane + 2, 0, 0))[0]))
    save(viewer, path)


def choose_model(path: Path) -> None:
    """Show the Model manager with an answer to what is segmented."""
    viewer = napari.Viewer()
    viewer.window.resize(1200, 960)
    dock, manager = viewer.window.add_plugin_dock_widget("napari-anysam", "Model manager")
    dock.setMinimumWidth(560)
    wait(lambda: len(manager.table.rows) > 0 and active_model().model is not None)
    manager.chooser_button.click()
    wait(lambda: "cores" in manager.chooser.device.itemText(0))
    manager.chooser.kind.setCurrentIndex(manager.chooser.kind.findData("electron"))
    manager.chooser.kind.activated.emit(manager.chooser.kind.currentIndex())
    for _ in range(50):
        QApplication.processEvents()
        time.sleep(0.01)
    manager.grab().save(str(path))
    viewer.close()


def open_window(sample: str) -> tuple[Any, SegmentWidget]:
    """Open napari with the dock and a sample."""
    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    _, widget = viewer.window.add_plugin_dock_widget("napari-anysam", "Segment")
    wait(lambda: active_model().model is not None)
    viewer.open_sample("napari-anysam", sample)
    wait(lambda: widget.controller.image is not None)
    return viewer, widget


def click(widget: SegmentWidget, place: tuple[float, ...]) -> None:
    """Add a point, and wait for its mask."""
    control = widget.controller
    control.draw_points()
    control.point_pressed(positive=True)
    control.workspace.prompts.points.add(np.asarray(place, dtype=float))
    wait(lambda: control.status.stage in (Stage.PREVIEW, Stage.NOTHING_FOUND))


def coin_centres(image: np.ndarray) -> list[tuple[float, float]]:
    """Find coins that are large and whole, row by row."""
    regions = regionprops(label(image > threshold_otsu(image)))
    whole = [region for region in regions if region.area > 600 and region.solidity > 0.85]
    return [tuple(region.centroid) for region in whole]


def lonely_centres(labels: np.ndarray) -> list[tuple[float, float]]:
    """Return the centres of objects, those first that are farthest from any other."""
    regions = [region for region in regionprops(labels) if region.area > 200]
    centres = np.array([region.centroid for region in regions])
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    return [tuple(centres[one]) for one in np.argsort(-distances.min(axis=1))]


def wait(condition: Callable[[], bool]) -> None:
    """Run the event loop until something is true."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the window did not come to the state to be pictured")
        QApplication.processEvents()
        time.sleep(0.005)


def save(viewer: Any, path: Path) -> None:
    """Write what the window shows, then close it."""
    viewer.reset_view()
    for _ in range(20):
        QApplication.processEvents()
        time.sleep(0.02)
    imsave(path, viewer.screenshot(canvas_only=False, flash=False)[..., :3], check_contrast=False)
    print(f"{path}: {path.stat().st_size // 1024} KB")
    viewer.close()


if __name__ == "__main__":
    main()
