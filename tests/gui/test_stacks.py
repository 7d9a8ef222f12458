"""Stacks and series: the plane that is shown, and propagation through the others."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from gui_scenes import blobs, disc, drifting_disc, iou
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from napari_anysam._napari.status import Stage

pytestmark = pytest.mark.gui

PLANE = (80, 96)


def truth(plane):
    return disc(PLANE, 40, 30 + 4 * plane, 14)


@pytest.fixture
def stack(desk):
    """A desk with a stack of 7 planes, anisotropic and away from the origin."""
    image = desk.viewer.add_image(
        drifting_disc(5), name="stack", scale=(3, 0.5, 0.5), translate=(10, -4, 7)
    )
    desk.wait_for_image(image)
    desk.viewer.dims.set_point(0, 10 + 3 * 2)
    return image


def mark(desk, image, data):
    desk.click(image, data)
    desk.wait_for(Stage.PREVIEW)


def finish(desk):
    desk.wait(lambda: desk.status.stage is not Stage.PROPAGATING)


def test_a_click_is_answered_on_the_plane_that_is_shown(desk, stack):
    mark(desk, stack, (2, 40, 38))
    assert desk.preview.data.shape[0] == 1
    desk.key(Qt.Key.Key_Return)
    assert np.flatnonzero(desk.labels.any(axis=(1, 2))).tolist() == [2]
    assert iou(desk.labels[2], truth(2)) > 0.6
    layer = desk.control.labels
    assert np.allclose(layer.scale, stack.scale)
    assert np.allclose(layer.translate, stack.translate)


def test_the_button_propagates_and_one_undo_takes_it_back(desk, stack):
    assert "Mark an object first" in desk.widget.stack.run_button.toolTip()
    mark(desk, stack, (2, 40, 38))
    desk.press(desk.widget.stack.run_button)
    assert desk.status.stage is Stage.PROPAGATING
    finish(desk)
    assert all(iou(desk.labels[plane], truth(plane)) > 0.5 for plane in range(5))
    desk.key(Qt.Key.Key_U)
    assert np.flatnonzero(desk.labels.any(axis=(1, 2))).tolist() == [2]
    desk.key(Qt.Key.Key_U)
    assert not desk.labels.any()


def test_cancel_keeps_the_finished_planes(desk):
    image = desk.start_propagation()
    desk.wait(lambda: desk.status.done >= 2)  # one more than the plane of the click
    desk.press(desk.widget.stack.cancel_button)
    finish(desk)
    filled = np.flatnonzero(desk.labels.any(axis=(1, 2))).tolist()
    assert filled == list(range(2, 2 + len(filled)))
    assert len(filled) < image.data.shape[0] - 2
    assert desk.widget.stack.run_button.isEnabled()
    desk.key(Qt.Key.Key_U)
    assert np.flatnonzero(desk.labels.any(axis=(1, 2))).tolist() == [2]


def test_clicks_on_other_planes_belong_to_the_same_object(desk, stack):
    mark(desk, stack, (2, 40, 38))
    desk.viewer.dims.set_point(0, 10 + 3 * 4)
    mark(desk, stack, (4, 40, 46))
    assert desk.status.object_id == 1
    assert desk.status.prompted_planes == 2
    desk.key(Qt.Key.Key_Return)
    assert np.flatnonzero((desk.labels == 1).any(axis=(1, 2))).tolist() == [2, 4]


def test_a_time_series_of_stacks_is_propagated_along_the_chosen_slider(desk):
    stack = drifting_disc(3)
    image = desk.viewer.add_image(np.stack([stack, stack[::-1], stack]), name="tzyx")
    desk.wait_for_image(image)
    desk.viewer.dims.set_point(0, 1)
    desk.viewer.dims.set_point(1, 2)
    mark(desk, image, (1, 2, 40, 30))
    assert desk.widget.stack.axis.count() == 2
    desk.press(desk.widget.stack.run_button)
    finish(desk)
    written = desk.labels.any(axis=(2, 3))
    assert written[1].all()
    assert not written[[0, 2]].any()


def test_a_dask_array_works_like_one_in_memory(desk):
    stack = drifting_disc(3)
    image = desk.viewer.add_image(da.from_array(stack, chunks=(1, 40, 96)), name="dask")
    desk.wait_for_image(image)
    desk.viewer.dims.set_point(0, 1)
    mark(desk, image, (1, 40, 34))
    desk.key(Qt.Key.Key_G)
    finish(desk)
    assert all(iou(desk.labels[plane], truth(plane)) > 0.5 for plane in range(3))


def test_an_rgb_stack_is_propagated_as_it_looks(desk):
    grey = drifting_disc(3)
    image = desk.viewer.add_image(np.stack([grey, grey // 4 * 3, grey // 2], -1), name="rgb")
    desk.wait_for_image(image)
    assert desk.control.workspace.prompts.points.ndim == 3
    desk.viewer.dims.set_point(0, 1)
    mark(desk, image, (1, 40, 34))
    desk.press(desk.widget.stack.run_button)
    finish(desk)
    assert desk.labels.shape == grey.shape
    assert all(iou(desk.labels[plane], truth(plane)) > 0.4 for plane in range(3))


def test_rolled_axes_are_segmented_as_they_are_shown(desk):
    volume = np.stack([blobs((60, 70), [(30, 35, 12)], seed=one) for one in range(50)], axis=1)
    image = desk.viewer.add_image(volume, name="volume")
    desk.wait_for_image(image)
    desk.viewer.dims.order = (1, 2, 0)
    desk.viewer.reset_view()
    desk.viewer.dims.set_point(1, 20)
    desk.settle()
    mark(desk, image, (30, 20, 35))
    desk.key(Qt.Key.Key_Return)
    assert desk.labels.shape == volume.shape
    assert np.flatnonzero(desk.labels.any(axis=(0, 2))).tolist() == [20]
    assert iou(desk.labels[:, 20], disc((60, 70), 30, 35, 12)) > 0.5


def test_the_3d_view_says_how_to_go_back(desk, stack):
    desk.viewer.dims.ndisplay = 3
    desk.settle()
    assert "2D view" in desk.widget.hint.text()


@pytest.mark.filterwarnings("ignore:Non-orthogonal")
def test_an_image_that_is_rotated_across_the_slider_is_refused_in_words(desk):
    image = desk.viewer.add_image(drifting_disc(3), name="tilted", rotate=(0, 30, 0))
    desk.wait(lambda: desk.control.image is image)
    assert "rotated or sheared" in desk.widget.hint.text()
    assert not notification_manager.records or "Error" not in str(
        notification_manager.records[-1].severity
    )
