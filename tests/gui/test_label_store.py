"""Labels that fit no memory: asked for once, written in place, shown and painted by window."""

from __future__ import annotations

import gc

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit

from napari_anysam._napari import label_store
from napari_anysam._napari.coordinates import PlaneFrame, current_frame
from napari_anysam._napari.label_store import needs_store, store_layer, suggested_store
from napari_anysam._napari.label_target import LabelTarget, can_hold
from napari_anysam._napari.preview import Preview
from napari_anysam._napari.status import Stage
from napari_anysam._napari.visible import visible_box
from napari_anysam.errors import ImageError
from napari_anysam.images.label_pyramid import LabelPyramid
from napari_anysam.segmentation import windows
from napari_anysam.segmentation.windows import tight_window

SIDE, PERIOD, RADIUS = 100_000, 1000, 60


def level(scale, side=SIDE):
    """Return one level of a plane with a disc in the middle of every square of PERIOD pixels."""
    size = side // scale
    chunks = tuple(min(1024, size - start) for start in range(0, size, 1024))

    def make(block_info):
        (top, bottom), (left, right) = block_info[None]["array-location"]
        rows, columns = (
            (np.arange(*ends) * scale + (scale - 1) / 2) % PERIOD - PERIOD / 2
            for ends in ((top, bottom), (left, right))
        )
        inside = np.hypot(rows[:, None], columns) <= RADIUS
        return np.where(inside, 200, 60).astype(np.uint8)

    return da.map_blocks(make, chunks=(chunks, chunks), dtype=np.uint8, meta=np.zeros(0, np.uint8))


def pyramid(side=SIDE):
    return [level(2**number, side) for number in range(8)]


@pytest.fixture
def lazy_image():
    return Image(pyramid(), multiscale=True, name="slide", contrast_limits=(0, 255))


def test_a_huge_image_needs_a_store_and_an_ordinary_one_does_not(lazy_image):
    assert needs_store(lazy_image)
    assert not needs_store(Image(np.zeros((512, 512), np.uint8)))


def test_the_folder_beside_the_image_is_suggested(lazy_image):
    assert suggested_store(lazy_image).name == "slide-labels.zarr"


def test_a_store_is_found_again_and_one_of_another_image_is_refused(lazy_image, tmp_path):
    first = store_layer(lazy_image, tmp_path / "labels.zarr")
    target = LabelTarget(first, (0, 1))
    frame = PlaneFrame((0, 1), (), (SIDE, SIDE))
    target.write(5, frame, tight_window(np.ones((10, 10), bool), (50_000, 60_000)), None)
    again = store_layer(lazy_image, tmp_path / "labels.zarr")
    assert can_hold(again, lazy_image)
    assert LabelTarget(again, (0, 1)).largest_id == 5
    other = Image(np.zeros((50, 60), np.uint8), name="other")
    assert not can_hold(again, other)
    with pytest.raises(ImageError, match="another folder"):
        store_layer(other, tmp_path / "labels.zarr")


def test_a_large_mask_is_written_in_strips_as_it_would_be_in_one(monkeypatch):
    from napari.layers import Labels

    random = np.random.default_rng(0)
    first, second = (tight_window(random.random((70, 90)) < 0.5, (5, 6)) for _ in range(2))
    written = []
    for pixels in (2**22, 500):
        monkeypatch.setattr(windows, "STRIP_PIXELS", pixels)
        target = LabelTarget(Labels(np.zeros((100, 120), np.int32)), (0, 1))
        frame = PlaneFrame((0, 1), (), (100, 120))
        target.write(1, frame, first, None)
        target.layer.data[30:40, 30:40] = 0
        edits = target.write(1, frame, second, first, keep_erased=True)
        written.append((target.layer.data.copy(), len(edits)))
        for edit in reversed(edits):
            edit.undo(target.array)
        assert not target.layer.data[30:40, 30:40].any()
    np.testing.assert_array_equal(written[0][0], written[1][0])
    assert written[1][1] > written[0][1]


def look_at(desk, place, side):
    """Let the window show about so many pixels around a place."""
    camera = desk.viewer.scene.camera
    camera.center = (0, *place)
    camera.zoom = desk.canvas.native.height() / side
    desk.settle()


def open_slide(desk):
    image = desk.viewer.add_image(
        pyramid(), multiscale=True, name="slide", contrast_limits=(0, 255)
    )
    desk.wait_for_image(image)
    desk.wait(lambda: desk.widget.store.dialog is not None)
    return image


def keep_in(desk, path):
    """Answer the question that came up by itself."""
    dialog = desk.widget.store.dialog
    dialog.findChild(QLineEdit, "fileNameEdit").setText(str(path))
    dialog.accept()
    desk.wait(lambda: desk.control.labels is not None)


def test_a_slide_is_clicked_accepted_painted_and_undone(desk, tmp_path):
    image = open_slide(desk)
    keep_in(desk, tmp_path / "labels.zarr")
    store = LabelPyramid(tmp_path / "labels.zarr")
    centre = (60_500, 70_500)
    look_at(desk, centre, 600)
    frame = current_frame(desk.viewer.dims, image)
    top, left, bottom, right = visible_box(desk.proxy, image, frame)
    assert top < centre[0] < bottom
    assert 500 < bottom - top < 700
    assert left < centre[1] < right
    desk.click(image, centre)
    desk.wait_for(Stage.PREVIEW)
    assert max(desk.preview.data.shape) < 200
    desk.key(Qt.Key.Key_Return)
    around = np.s_[centre[0] - 100 : centre[0] + 100, centre[1] - 100 : centre[1] + 100]
    rows, columns = np.ogrid[-100:100, -100:100]
    truth = np.hypot(rows, columns) <= RADIUS
    mask = store[around] == 1
    assert (mask & truth).sum() / (mask | truth).sum() > 0.85
    assert desk.control.labels.multiscale

    # The dock may have grown and the canvas with it.
    top, left, bottom, right = visible_box(desk.proxy, image, frame)
    desk.press(desk.widget.store.brush_button)
    brush = next(layer for layer in desk.viewer.layers if layer.name.endswith("(brush)"))
    assert brush.data.shape == (bottom - top, right - left)
    assert (brush.data == 1).sum() == mask.sum()
    brush.selected_label = 7
    stroke = [(centre[0] + 90 - top, centre[1] + across - left) for across in (60, 90)]
    desk.drag(brush, *stroke)
    painted = store[around] == 7
    assert painted[190, 175]
    assert painted.sum() == (brush.data == 7).sum()
    brush.undo()
    assert not (store[around] == 7).any()
    brush.redo()
    assert desk.control.workspace.next_object_id() == 8

    desk.viewer.layers.selection.active = desk.control.workspace.prompts.points
    desk.settle()
    desk.press(desk.widget.undo_button)
    assert not (store[around] == 1).any()
    assert not (brush.data == 1).any()
    assert (store[around] == 7).sum() == painted.sum()


def test_strokes_are_written_after_the_dock_was_closed(desk, tmp_path):
    image = open_slide(desk)
    keep_in(desk, tmp_path / "labels.zarr")
    look_at(desk, (50_000, 50_000), 600)
    desk.press(desk.widget.store.brush_button)
    desk.press(desk.widget.store.brush_button)
    brushes = [layer for layer in desk.viewer.layers if layer.name.endswith("(brush)")]
    assert len(brushes) == 1
    brushes[0].selected_label = 3
    desk.widget.close_quietly()
    gc.collect()
    desk.drag(brushes[0], (200, 200), (240, 240))
    box = visible_box(desk.proxy, image, current_frame(desk.viewer.dims, image))
    rows, columns = (slice(int(box[axis]), int(box[axis + 2])) for axis in (0, 1))
    written = LabelPyramid(tmp_path / "labels.zarr")[rows, columns]
    assert (written == 3).any()
    np.testing.assert_array_equal(written, brushes[0].data)


def test_without_a_store_a_mask_is_not_kept_and_the_dock_says_where_to_choose_one(desk):
    image = open_slide(desk)
    desk.widget.store.dialog.reject()
    desk.settle()
    assert desk.widget.store.dialog is None
    look_at(desk, (500, 500), 600)
    desk.click(image, (500, 500))
    desk.wait_for(Stage.PREVIEW)
    desk.key(Qt.Key.Key_Return)
    assert desk.control.labels is None
    assert desk.widget.store.store_button.isVisible()
    QTest.qWait(20)
    assert desk.widget.store.dialog is None  # asked once


def test_a_brush_window_on_more_than_it_may_hold_is_refused(desk, tmp_path, monkeypatch):
    open_slide(desk)
    keep_in(desk, tmp_path / "labels.zarr")
    monkeypatch.setattr(label_store, "BRUSH_SIDE", 400)
    look_at(desk, (50_000, 50_000), 600)
    with pytest.raises(ImageError, match="zoom in"):
        desk.control.workspace.open_brush_window()


def test_a_mask_far_larger_than_the_preview_may_be_lies_in_its_place():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((1, 1), np.uint8), scale=(0.5, 0.25))
    mask = np.zeros((5001, 3000), bool)
    mask[1000:4000, 500:2500] = True
    preview = Preview(viewer)
    frame = PlaneFrame((0, 1), (), (9000, 9000))
    preview.show(image, frame, tight_window(mask, (2000, 3000)))
    drawn = preview.layer
    assert max(drawn.data.shape) <= 2048
    assert (drawn.data == 1).any()
    extent = np.asarray(drawn.extent.world)
    np.testing.assert_allclose(
        extent, [(2999.5 * 0.5, 3499.5 * 0.25), (5999.5 * 0.5, 5499.5 * 0.25)], atol=1
    )


def test_the_visible_part_is_found_in_pixels_whatever_the_scale(desk):
    image = desk.add(
        np.zeros((4, 300, 400), np.uint8), scale=(3, 0.5, 0.25), translate=(0, 10, 20), name="stack"
    )
    camera = desk.viewer.scene.camera
    camera.center = (0, 10 + 0.5 * 150, 20 + 0.25 * 100)
    camera.zoom = desk.canvas.native.height() / 20
    desk.settle()
    frame = current_frame(desk.viewer.dims, image)
    top, left, bottom, right = visible_box(desk.proxy, image, frame)
    assert (top + bottom) / 2 == pytest.approx(150, abs=2)
    assert bottom - top == pytest.approx(40, abs=3)
    assert (left + right) / 2 == pytest.approx(100, abs=2)
    ratio = desk.canvas.native.width() / desk.canvas.native.height()
    assert right - left == pytest.approx(80 * ratio, abs=3)  # whole pixels on both sides
