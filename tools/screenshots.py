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
from PIL import Image
from qtpy.QtWidgets import QApplication
from skimage.filters import threshold_otsu
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
    review_stack(folder / "review_stack.png", folder / "review_strip.png")
    show_keys(folder / "keys.png")
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
    plane = begin_propagation(viewer, widget, objects=8)
    total = widget.controller.status.total
    wait(lambda: widget.controller.status.done >= total * 2 // 3)
    show_plane(viewer, widget, plane + 2)
    save(viewer, path)


def review_stack(path: Path, strip: Path) -> None:
    """Show a plane that is doubtful after a run, and another one that was reviewed."""
    viewer, widget = open_window("stack")
    begin_propagation(viewer, widget, objects=5)
    wait(lambda: widget.controller.status.stage is not Stage.PROPAGATING)
    widget.controller.stacks.go_to_mark("doubtful", 1)
    widget.controller.stacks.toggle_reviewed()
    widget.controller.stacks.go_to_mark("doubtful", 1)
    widget.stack_fold.collapse(animate=False)
    widget.objects_fold.collapse(animate=False)
    let_window_draw()
    widget.sections.bring_up(widget.review_fold)
    let_window_draw()
    widget.review.grab().save(str(strip))
    save(viewer, path)


def show_keys(path: Path) -> None:
    """Show the panel of all keys."""
    viewer, widget = open_window("coins")
    widget.help_button.click()
    let_window_draw()
    widget.help.grab().save(str(path))
    viewer.close()


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
    let_window_draw()
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


def begin_propagation(viewer: Any, widget: SegmentWidget, objects: int) -> int:
    """Click nuclei on the plane in the middle and begin to follow them; return that plane."""
    truth = next(layer for layer in viewer.layers if "truth" in layer.name)
    truth.visible = False
    plane = widget.controller.image.data.shape[0] // 2
    show_plane(viewer, widget, plane)
    for centre in lonely_centres(truth.data[plane])[:objects]:
        click(widget, (plane, *centre))
        widget.controller.accept()
    widget.stack.ask_to_propagate()
    return plane


def show_plane(viewer: Any, widget: SegmentWidget, plane: int) -> None:
    """Move the slider."""
    viewer.dims.set_point(0, float(widget.controller.image.data_to_world((plane, 0, 0))[0]))


def click(widget: SegmentWidget, place: tuple[float, ...]) -> None:
    """Add a point, and wait for its mask."""
    control = widget.controller
    control.use_tool("point")
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


def let_window_draw() -> None:
    """Run the event loop until the window has drawn what has changed."""
    for _ in range(50):
        QApplication.processEvents()
        time.sleep(0.01)


def save(viewer: Any, path: Path) -> None:
    """Write what the window shows, then close it."""
    viewer.reset_view()
    let_window_draw()
    pixels = viewer.screenshot(canvas_only=False, flash=False)[..., :3]
    Image.fromarray(pixels).quantize(256, kmeans=4).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1024} KB")
    viewer.close()


if __name__ == "__main__":
    main()
