"""The main job on real images, with the model that came with the package.

Clicks on coins become labels, boxes on one plane of a real MR stack and of a made-up one are
followed through all planes, and all appear in napari with the Segment dock open. Run it with
``make demo``.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
from demo_pictures import montage, overlay
from scipy import ndimage as ndi
from skimage import data, filters, measure, morphology, segmentation
from tqdm import tqdm

import napari_anysam as anysam
from napari_anysam.images.conditioning import resolve_conditioning
from napari_anysam.images.label_files import write_labels
from napari_anysam.images.planes import Planes
from napari_anysam.images.synthetic import STACK_SPACING, synthetic_stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_anysam.networks.protocol import PromptableModel

FOLLOWED_NUCLEI = 6
STACK_SHAPE = (16, 256, 256)
SPREAD_PLANES = 6
WINDOW = (1360, 900)
TRUTHS = {"brain": "a threshold (a rough truth)", "nuclei": "the known truth"}


@dataclass(frozen=True)
class Result:
    """What one half of the demo made, to be shown in napari."""

    name: str
    image: NDArray[Any]
    labels: NDArray[np.integer]
    prompts: list[anysam.Prompt]
    axes: tuple[str, ...]
    scale: tuple[float, ...]


def main() -> None:
    """Run the demo."""
    options = _parser().parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    say(f"AnySAM {anysam.__version__}: loading {options.model} ...")
    model = anysam.load_model(options.model)
    say(f"{model.name} computes on {model.device} in {model.precision}.")
    steps = (segment_coins, follow_brain, follow_nuclei)
    results = [step(model, options.output) for step in steps]
    if options.window:
        show(results, options)
    say(f"\nEverything lies in {options.output.resolve()}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    parser.add_argument("--model", default="anysam-nano", help="catalogue name or checkpoint")
    parser.add_argument("--no-window", dest="window", action="store_false", help="files only")
    parser.add_argument(
        "--keep-open",
        action=argparse.BooleanOptionalAction,
        default=_is_watched(),
        help="leave napari open (default: where somebody can see it)",
    )
    return parser


def segment_coins(model: PromptableModel, folder: Path) -> Result:
    """Click once on each coin of a real photograph."""
    image = data.coins()
    truth = threshold_coins(image)
    prompts = [
        anysam.Prompt(object_id=coin.label, points=[tuple(round(c) for c in coin.centroid)])
        for coin in measure.regionprops(truth)
    ]
    start = time.perf_counter()
    labels = anysam.segment(image, prompts, model=model)
    seconds = time.perf_counter() - start
    say(f"\nCoins: {len(prompts)} clicks on a photograph of {_by(image)} pixels, {seconds:.1f} s")
    overlaps = [iou(labels == prompt.object_id, truth == prompt.object_id) for prompt in prompts]
    say(f"  mean IoU {np.mean(overlaps):.2f} against a threshold (a rough truth)")
    told("labels", write_labels(folder / "coins_labels.tif", labels))
    picture = overlay(as_seen(Planes.single(image))[0], labels, prompts)
    picture.save(folder / "coins_overlay.png")
    told("overlay", folder / "coins_overlay.png")
    return Result("coins", image, labels, prompts, ("y", "x"), (1.0, 1.0))


def threshold_coins(image: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Label the coins by classical means: flood the edges, drop what is small.

    Returns
    -------
    int32 array (H, W)
        1 to 24 from the top; 0 is background.
    """
    seeds = np.where(image < 30, 1, np.where(image > 150, 2, 0))
    coins = segmentation.watershed(filters.sobel(image), seeds) == 2
    coins = morphology.opening(ndi.binary_fill_holes(coins), morphology.disk(3))
    labels = measure.label(coins)
    sizes = np.bincount(labels.ravel())
    labels[sizes[labels] < 300] = 0
    return segmentation.relabel_sequential(labels)[0].astype(np.int32)


def follow_brain(model: PromptableModel, folder: Path) -> Result:
    """Draw one box around a brain on one plane of a real MR stack and follow it both ways."""
    stack, spacing = brain_stack()
    truth = threshold_brain(stack)
    prompt = _box_on_plane(truth, 1, len(stack) // 2)
    return _follow("brain", "a real MR stack", model, folder, stack, truth, [prompt], spacing)


def follow_nuclei(model: PromptableModel, folder: Path) -> Result:
    """Draw one box around each of some nuclei and follow them through a made-up stack."""
    stack, truth = synthetic_stack(shape=STACK_SHAPE)
    truth = _largest(truth)
    prompts = [_box_on_middle_plane(truth, number) for number in range(1, FOLLOWED_NUCLEI + 1)]
    return _follow("nuclei", "a made-up stack", model, folder, stack, truth, prompts, STACK_SPACING)


def brain_stack() -> tuple[NDArray[np.int16], tuple[float, float, float]]:
    """Return the MR stack that nibabel brings for its own tests, and its spacing in mm.

    Returns
    -------
    int16 array (24, 96, 128) and (z, y, x)
    """
    path = Path(nibabel.__file__).parent / "tests" / "data" / "example4d.nii.gz"
    image = nibabel.load(path)
    volume = np.asarray(image.dataobj)[..., 0].transpose(2, 1, 0)[:, ::-1]
    x, y, z = (float(size) for size in image.header.get_zooms()[:3])
    return np.ascontiguousarray(volume), (z, y, x)


def threshold_brain(stack: NDArray[np.int16]) -> NDArray[np.uint16]:
    """Label the brain by classical means: Otsu's threshold, holes filled, the largest body."""
    bright = stack > filters.threshold_otsu(stack)
    bodies = measure.label(np.stack([ndi.binary_fill_holes(plane) for plane in bright]))
    return (bodies == np.bincount(bodies.ravel())[1:].argmax() + 1).astype(np.uint16)


def _follow(
    name: str,
    what: str,
    model: PromptableModel,
    folder: Path,
    stack: NDArray[Any],
    truth: NDArray[np.uint16],
    prompts: list[anysam.Prompt],
    spacing: tuple[float, float, float],
) -> Result:
    start = time.perf_counter()
    labels = np.zeros(stack.shape, np.uint16)
    results = anysam.propagate(stack, prompts, model=model, stop_at_ends=True)
    # Shown on a terminal only, and gone when it is done.
    for result in tqdm(results, f"Following {name}", unit=" planes", leave=False, disable=None):
        labels[result.index] = result.labels
    seconds = time.perf_counter() - start
    boxes = "1 box" if len(prompts) == 1 else f"{len(prompts)} boxes"
    say(
        f"\n{name.capitalize()}, {what}: {boxes} followed through {_by(stack)} voxels, "
        f"{seconds:.1f} s"
    )
    overlaps = [iou(labels == prompt.object_id, truth == prompt.object_id) for prompt in prompts]
    say(f"  mean IoU {np.mean(overlaps):.2f} in 3D against {TRUTHS[name]}")
    told("labels", write_labels(folder / f"{name}_labels.tif", labels))
    _montage(stack, labels, prompts).save(folder / f"{name}_montage.png")
    told("montage", folder / f"{name}_montage.png")
    return Result(name, stack, labels, prompts, ("z", "y", "x"), spacing)


def _largest(truth: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Keep the largest objects that end inside the stack, numbered from 1."""
    sizes = np.bincount(truth.ravel())
    sizes[[0, *np.unique(truth[[0, -1]])]] = 0
    number = np.zeros(len(sizes), np.uint16)
    number[np.argsort(sizes)[::-1][:FOLLOWED_NUCLEI]] = range(1, FOLLOWED_NUCLEI + 1)
    return number[truth]


def _box_on_middle_plane(truth: NDArray[np.uint16], number: int) -> anysam.Prompt:
    planes = np.flatnonzero((truth == number).any(axis=(1, 2)))
    return _box_on_plane(truth, number, int(planes[len(planes) // 2]))


def _box_on_plane(truth: NDArray[np.uint16], number: int, plane: int) -> anysam.Prompt:
    (found,) = measure.regionprops((truth[plane] == number).astype(int))
    return anysam.Prompt(object_id=number, plane=plane, box=found.bbox)


def _montage(stack: NDArray[Any], labels: NDArray[Any], prompts: list[anysam.Prompt]) -> Any:
    seen = as_seen(Planes(stack))
    spread = np.linspace(0, len(stack) - 1, SPREAD_PLANES).round().astype(int)
    planes = sorted({*spread.tolist(), *(prompt.plane for prompt in prompts)})
    pictures = [
        overlay(seen[plane], labels[plane], [p for p in prompts if p.plane == plane], scale=2)
        for plane in planes
    ]
    return montage(pictures, [f"plane {plane}" for plane in planes])


def as_seen(planes: Planes) -> list[NDArray[np.uint8]]:
    """Return the planes as the network sees them, uint8 (H, W, 3)."""
    conditioning = resolve_conditioning(planes)
    return [conditioning.apply(planes.read(index)) for index in range(planes.count)]


def show(results: list[Result], options: argparse.Namespace) -> None:
    """Open napari on each result, save what the window looks like, and leave it open if watched."""
    import napari
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    from napari_anysam._napari.active_model import active_model

    say("\nnapari")
    active_model().request(options.model)
    viewers = [open_window(result) for result in results]
    for result, viewer in zip(results, viewers, strict=True):
        path = options.output / f"{result.name}_window.png"
        viewer.screenshot(str(path), canvas_only=False, flash=False)
        told("window", path)
    if options.keep_open:
        say("  Click into the images to segment more; close the windows to end.")
    else:
        QTimer.singleShot(0, QApplication.closeAllWindows)
    napari.run()


def open_window(result: Result) -> Any:
    """Open napari with an image, its labels and the Segment dock, and click one object anew."""
    import napari

    viewer = napari.Viewer(title=f"AnySAM: {result.name}")
    viewer.window.resize(*WINDOW)
    shared = {"scale": result.scale, "axis_labels": result.axes}
    image = viewer.add_image(result.image, name=result.name, **shared)
    prompt = result.prompts[-1]
    others = np.where(result.labels == prompt.object_id, 0, result.labels)
    labels = viewer.add_labels(others, name=f"{result.name} labels", opacity=0.5, **shared)
    viewer.layers.selection.active = image
    _, dock = viewer.window.add_plugin_dock_widget("napari-anysam", "Segment")
    dock.controller.choose_labels(labels)
    if prompt.plane is not None:
        viewer.dims.set_current_step(0, prompt.plane)
    _prompt_again(viewer, result.name, prompt)
    wait_until(lambda: dock.controller.status.score is not None)
    viewer.reset_view()
    wait_until(lambda: False, seconds=1.0)
    return viewer


def _prompt_again(viewer: Any, name: str, prompt: anysam.Prompt) -> None:
    """Put a prompt into the layers of the dock, as a click or a drag of the mouse does."""
    if prompt.box is None:
        viewer.layers[f"{name} points"].add(np.array(prompt.points))
        return
    # napari's coordinates are those of pixel centres, a box names pixel edges.
    y0, x0, y1, x1 = (edge - 0.5 for edge in prompt.box)
    corners = [(y0, x0), (y0, x1), (y1, x1), (y1, x0)]
    rectangle = np.array([(prompt.plane, *corner) for corner in corners])
    viewer.layers[f"{name} boxes"].add_rectangles([rectangle])


def wait_until(done: Callable[[], bool], seconds: float = 30.0) -> None:
    """Let the window work until it is done, or the time is over."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((first & second).sum() / (first | second).sum())


def _is_watched() -> bool:
    """Whether the display is somebody's own, and not a virtual screen."""
    if os.environ.get("ANYSAM_VIRTUAL_SCREEN") == "always":
        return False
    has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(has_display) or sys.platform != "linux"


def _by(image: NDArray[Any]) -> str:
    return " x ".join(str(size) for size in image.shape)


def told(what: str, path: Path) -> None:
    """Say where a result lies."""
    say(f"  {what:<8} {path}")


def say(words: str) -> None:
    """Write a line at once, also into a pipe."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
