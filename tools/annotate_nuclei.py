"""Annotate one image of nuclei by mouse and keyboard alone, in a real window, and tell how it went.

The labels that people drew for the image are the eye of the annotator: they say where to click,
and whether a mask is good enough. All else happens as it does for a user: mouse and key events
reach the window, and what it does is looked at through the dock. Run it where there is a display,
or under Xvfb::

    xvfb-run -s "-screen 0 1400x1000x24" python tools/annotate_nuclei.py IMAGE LABELS OUTPUT
"""

from __future__ import annotations

import argparse
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from annotator_hands import Hands
from PIL import Image
from qtpy.QtCore import Qt
from scipy.ndimage import distance_transform_edt
from skimage.io import imread
from skimage.measure import regionprops

from napari_anysam._napari.status import Stage
from napari_anysam.segmentation.session_files import load_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_anysam._napari.segment_widget import SegmentWidget

WINDOW = (1200, 760)
GOOD_ENOUGH = 0.7
MOST_CORRECTIONS = 3
COLOURS = 256
ANSWERED = (Stage.PREVIEW, Stage.NOTHING_FOUND)
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it.

    Parameters
    ----------
    overlaps : mapping of int to float
        IoU of every object with the nucleus that it was meant for.
    seconds : float
        From the first click to the export.
    said : sequence of str
        What was done, step by step.
    """

    overlaps: dict[int, float]
    seconds: float
    said: tuple[str, ...]


def main() -> None:
    """Annotate, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("labels", type=Path, help="the true labels: where the annotator clicks")
    parser.add_argument("output", type=Path, help="folder for session, export and screenshots")
    parser.add_argument("--objects", type=int, default=8, help="nuclei that are clicked")
    options = parser.parse_args()
    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    report = annotate(viewer, options.image, options.labels, options.output, options.objects)
    print("\n".join(report.said))
    for object_id, overlap in report.overlaps.items():
        print(f"object {object_id}: IoU {overlap:.2f}")
    print(f"mean IoU {np.mean(list(report.overlaps.values())):.2f} in {report.seconds:.0f} seconds")
    viewer.close()


def annotate(
    viewer: napari.Viewer, image: Path, labels: Path, output: Path, objects: int
) -> Report:
    """Do one image from the first click to the exported labels.

    Parameters
    ----------
    viewer : napari Viewer
        With a window that is shown, and no layers.
    image, labels : Path
        A picture, and the nuclei that people drew in it, as integers.
    output : Path
        Folder that the image is copied to, so that its session lies beside it.
    objects : int
        How many nuclei are clicked; two more get a box.
    """
    output.mkdir(parents=True, exist_ok=True)
    copied = Path(shutil.copy(image, output / image.name))
    hands = Hands(viewer)
    widget = hands.open_dock()
    viewer.open(copied, plugin="napari")
    hands.wait(lambda: widget.controller.image is not None)
    return _Annotator(hands, widget, imread(labels), output).work(objects)


class _Annotator:
    """Knows the nuclei, and works through them."""

    def __init__(
        self, hands: Hands, widget: SegmentWidget, truth: NDArray[Any], output: Path
    ) -> None:
        self._hands = hands
        self._widget = widget
        self._control = widget.controller
        self._image = widget.controller.image
        self._truth = truth
        self._output = output
        self._meant: dict[int, int] = {}
        self._said: list[str] = []
        self._began = 0.0

    def work(self, objects: int) -> Report:
        """Click, correct, box, take back, delete, merge, save and export."""
        nuclei = _nuclei(self._truth)
        clicked, boxed = nuclei[:objects], nuclei[objects : objects + 2]
        self._began = time.monotonic()
        for number, nucleus in enumerate(clicked):
            self._click(nucleus)
            if number == 0:
                self._picture("1_first_click")
            self._improve(nucleus)
            self._keep(nucleus)
        self._picture("2_clicked")
        self._draw_boxes(boxed)
        self._undo_and_redo()
        self._delete_and_bring_back()
        self._merge_and_part()
        self._save_and_export()
        self._picture("4_saved")
        seconds = time.monotonic() - self._began
        return Report(self._overlaps(), seconds, tuple(self._said))

    def _click(self, nucleus: Any) -> None:
        self._hands.click(self._image, _inside(nucleus))
        self._wait_for_answer()

    def _improve(self, nucleus: Any) -> None:
        """Correct a bad mask by clicks; of a good one, see by key whether another is better."""
        first = self._overlap_of_preview(nucleus)
        if first >= GOOD_ENOUGH:
            self._take_best_candidate(nucleus)
            return
        for _ in range(MOST_CORRECTIONS):
            too_much, place = self._worst_place(nucleus)
            self._hands.click(self._image, place, CONTROL if too_much else None)
            self._wait_for_answer()
            self._tell(
                f"nucleus {nucleus.label}: a {'Ctrl-click on too much' if too_much else 'click'}, "
                f"{first:.2f} to {self._overlap_of_preview(nucleus):.2f}"
            )
            if self._overlap_of_preview(nucleus) >= GOOD_ENOUGH:
                return

    def _take_best_candidate(self, nucleus: Any) -> None:
        overlaps = []
        for _ in range(self._control.status.candidates):
            overlaps.append(self._overlap_of_preview(nucleus))
            self._hands.key(Qt.Key.Key_W)
        choice = int(np.argmax(overlaps))
        for _ in range(choice):
            self._hands.key(Qt.Key.Key_W)
        if choice:
            self._tell(
                f"nucleus {nucleus.label}: candidate {choice + 1} by key, {overlaps[0]:.2f} to "
                f"{overlaps[choice]:.2f}"
            )

    def _keep(self, nucleus: Any) -> None:
        object_id = self._control.status.object_id
        self._hands.key(Qt.Key.Key_Q)
        self._meant[object_id] = nucleus.label

    def _draw_boxes(self, nuclei: list[Any]) -> None:
        self._hands.press(self._widget.box_button)
        for nucleus in nuclei:
            top, left, bottom, right = nucleus.bbox
            self._hands.drag(self._image, (top - 0.5, left - 0.5), (bottom - 0.5, right - 0.5))
            self._wait_for_answer()
            self._keep(nucleus)
        self._hands.press(self._widget.point_button)
        self._tell(f"{len(nuclei)} boxes drawn")

    def _undo_and_redo(self) -> None:
        before = self._labels.copy()
        for _ in range(4):
            self._hands.key(Qt.Key.Key_U)
        assert (self._labels != before).any(), "undo changed nothing"
        for _ in range(4):
            self._hands.key(Qt.Key.Key_U, SHIFT)
        assert np.array_equal(self._labels, before), "redo did not bring everything back"
        self._tell("4 steps undone and redone")

    def _delete_and_bring_back(self) -> None:
        before, last = self._labels.copy(), max(self._meant)
        self._hands.click_row(self._widget, last)
        self._hands.press(self._widget.objects.delete_button)
        assert last not in self._labels, "the object was not deleted"
        self._hands.key(Qt.Key.Key_U)
        assert np.array_equal(self._labels, before), "undo did not bring the object back"
        self._tell(f"object {last} deleted and brought back")

    def _merge_and_part(self) -> None:
        before = self._labels.copy()
        one, other = sorted(self._meant)[:2]
        self._hands.click_row(self._widget, one)
        self._hands.click_row(self._widget, other, CONTROL)
        self._hands.press(self._widget.objects.merge_button)
        merged = self._labels == one
        assert np.array_equal(merged, np.isin(before, (one, other))), "they were not merged"
        self._picture("3_merged")
        self._hands.key(Qt.Key.Key_U)
        assert np.array_equal(self._labels, before), "undo did not part them"
        self._tell(f"objects {one} and {other} merged, and parted by undo")

    def _save_and_export(self) -> None:
        session = self._output / f"{Path(self._image.source.path).stem}.anysam"
        self._hands.wait((session / "session.json").exists)
        self._hands.unfold(self._widget.session.words)
        self._hands.wait(lambda: np.array_equal(load_session(session).labels, self._labels))
        self._hands.viewer.layers.selection.active = self._control.labels
        (path,) = self._hands.viewer.layers.save(
            str(self._output / "nuclei.tif"), selected=True, plugin="napari"
        )
        self._tell(f"session in {session.name}, labels in {Path(path).name}")

    @property
    def _labels(self) -> NDArray[Any]:
        labels: NDArray[Any] = self._control.labels.data
        return labels

    def _wait_for_answer(self) -> None:
        self._hands.wait(lambda: self._control.status.stage in ANSWERED)

    def _seen(self) -> NDArray[np.bool_]:
        """Return the mask that is previewed, as the annotator sees it."""
        layers = [one for one in self._hands.viewer.layers if one.name == "AnySAM preview"]
        shown = np.zeros(self._truth.shape, bool)
        for layer in layers:
            if layer.visible:
                row, column = (round(float(edge)) for edge in layer.translate[-2:])
                mask = np.asarray(layer.data) > 0
                shown[row : row + mask.shape[0], column : column + mask.shape[1]] = mask
        return shown

    def _overlap_of_preview(self, nucleus: Any) -> float:
        return _iou(self._seen(), self._truth == nucleus.label)

    def _worst_place(self, nucleus: Any) -> tuple[bool, tuple[float, float]]:
        """Return whether too much is seen or too little, and the middle of that part."""
        seen, true = self._seen(), self._truth == nucleus.label
        excess, lack = (distance_transform_edt(part) for part in (seen & ~true, true & ~seen))
        deepest = excess if excess.max() > lack.max() else lack
        row, column = np.unravel_index(int(deepest.argmax()), deepest.shape)
        return deepest is excess, (float(row), float(column))

    def _overlaps(self) -> dict[int, float]:
        return {
            object_id: _iou(self._labels == object_id, self._truth == label)
            for object_id, label in self._meant.items()
        }

    def _tell(self, words: str) -> None:
        self._said.append(f"{time.monotonic() - self._began:5.1f} s  {words}")

    def _picture(self, name: str) -> None:
        full = Image.fromarray(self._hands.screenshot())
        picture = full.quantize(COLOURS, kmeans=4, dither=Image.Dither.NONE)
        picture.save(self._output / f"annotate_{name}.png", optimize=True)


def _nuclei(truth: NDArray[Any]) -> list[Any]:
    """Return whole nuclei, the largest first."""
    height, width = truth.shape
    inside = [
        one
        for one in regionprops(truth)
        if one.bbox[0] > 1
        and one.bbox[1] > 1
        and one.bbox[2] < height - 1
        and one.bbox[3] < width - 1
    ]
    return sorted(inside, key=lambda one: -one.area)


def _inside(nucleus: Any) -> tuple[float, float]:
    """Return the middle of a nucleus, or its pixel nearest to it."""
    nearest = np.abs(nucleus.coords - np.asarray(nucleus.centroid)).sum(axis=1).argmin()
    row, column = nucleus.coords[nearest]
    return float(row), float(column)


def _iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


if __name__ == "__main__":
    main()
