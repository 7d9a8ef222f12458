"""An object followed through planes that fit no memory, in the window, into a label store."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from gui_scenes import iou
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit

from napari_anysam._napari.status import Stage
from napari_anysam.images.label_pyramid import LabelPyramid

pytestmark = pytest.mark.gui

PLANES, SIDE, CHUNK = 3, 40_000, 1000
ROW, COLUMN, RADIUS = 24_500, 30_500, 50


def inside(plane, rows, columns):
    """A disc that drifts by 5 pixels a plane."""
    return np.hypot(rows - ROW - 5 * plane, columns - COLUMN) <= RADIUS


def level(scale, read):
    """One level of the stack, drawn chunk by chunk as it is read; notes how many pixels were."""
    size = SIDE // scale

    def make(block_info):
        (plane, _), (top, bottom), (left, right) = block_info[None]["array-location"]
        read.append((bottom - top) * (right - left))
        rows, columns = (
            np.arange(*ends) * scale + (scale - 1) / 2 for ends in ((top, bottom), (left, right))
        )
        drawn = np.where(inside(plane, rows[:, None], columns), 200, 60)
        return drawn.astype(np.uint8)[None]

    chunks = tuple(min(CHUNK, size - start) for start in range(0, size, CHUNK))
    return da.map_blocks(
        make,
        chunks=((1,) * PLANES, chunks, chunks),
        dtype=np.uint8,
        meta=np.zeros((0, 0, 0), np.uint8),
    )


def test_a_small_object_is_followed_through_huge_planes(desk, tmp_path):
    read = []
    image = desk.viewer.add_image(
        [level(2**number, read) for number in range(7)],
        multiscale=True,
        name="slides",
        contrast_limits=(0, 255),
    )
    desk.wait_for_image(image)
    desk.wait(lambda: desk.widget.store.dialog is not None)
    dialog = desk.widget.store.dialog
    dialog.findChild(QLineEdit, "fileNameEdit").setText(str(tmp_path / "labels.zarr"))
    dialog.accept()
    desk.wait(lambda: desk.control.labels is not None)
    desk.viewer.dims.set_point(0, 1)
    camera = desk.viewer.scene.camera
    camera.center = (0, ROW, COLUMN)
    camera.zoom = desk.canvas.native.height() / 600
    desk.settle()
    desk.click(image, (1, ROW, COLUMN))
    desk.wait_for(Stage.PREVIEW)
    read.clear()
    desk.press(desk.widget.stack.run_button)
    desk.wait(lambda: desk.status.stage is not Stage.PROPAGATING)
    assert sum(read) < 60 * CHUNK**2  # of 4800 chunks

    store = LabelPyramid(tmp_path / "labels.zarr")
    rows, columns = slice(ROW - 100, ROW + 100), slice(COLUMN - 100, COLUMN + 100)
    for plane in range(PLANES):
        truth = inside(plane, *np.ogrid[rows, columns])
        assert iou(store[plane, rows, columns] == 1, truth) > 0.8
    assert len(list(store.written_chunks())) <= 4 * PLANES

    desk.key(Qt.Key.Key_U)
    assert store[1, rows, columns].any()
    assert not store[0, rows, columns].any()
    assert not store[2, rows, columns].any()
