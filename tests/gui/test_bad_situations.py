"""Layers and windows that go away while work is going on; none of it may hurt."""

from __future__ import annotations

import time

import pytest
from gui_scenes import blobs
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt, QTimer

from napari_anysam._napari.status import Stage
from napari_anysam.errors import Cancelled

pytestmark = pytest.mark.gui


class SlowModel:
    """The shipped model with an encoder that takes a while, and can be cancelled meanwhile."""

    key = "slow"

    def __init__(self, model, seconds) -> None:
        self._model = model
        self._seconds = seconds
        self.encoded = 0

    def __getattr__(self, name):
        return getattr(self._model, name)

    def encode(self, image, *, cancelled=None):
        end = time.monotonic() + self._seconds
        while True:
            embedding = self._model.encode(image)
            if cancelled is not None and cancelled():
                raise Cancelled("no longer wanted")
            if time.monotonic() >= end:
                self.encoded += 1
                return embedding

    def decode(self, embedding, prompts, **options):
        return self._model.decode(embedding, prompts, **options)


@pytest.fixture
def slow(loaded_model):
    """Make the desk's model slow; everybody else's stays as it was."""

    def use(desk, seconds=0.6):
        model = SlowModel(loaded_model, seconds)
        desk.control._on_loaded(model)
        return model

    return use


def messages():
    return [record.message for record in notification_manager.records]


@pytest.fixture(autouse=True)
def _no_old_messages():
    notification_manager.records.clear()


def test_the_window_stays_alive_while_the_encoder_is_slow(desk, slow):
    image = desk.add(blobs())
    slow(desk, 0.5)
    ticks = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.monotonic()))
    timer.start(5)
    desk.click(image, (40, 40))
    assert desk.status.stage is Stage.WORKING
    began = len(ticks)
    desk.wait_for(Stage.PREVIEW)
    timer.stop()
    assert len(ticks) - began > 20


def test_the_latest_click_wins(desk, slow):
    image = desk.add(blobs())
    slow(desk, 0.3)
    for row in (36, 40, 44):
        desk.click(image, (row, 40))
    desk.wait_for(Stage.PREVIEW)
    assert len(desk.control._clicking.running.answer.request.prompt.points) == 3


def test_an_image_that_is_removed_while_it_is_encoded_is_forgotten(desk, slow):
    image = desk.add(blobs())
    slow(desk)
    desk.click(image, (40, 40))
    desk.viewer.layers.remove(image)
    desk.settle()
    assert desk.status.stage is Stage.NO_IMAGE
    assert desk.widget.point_button.toolTip().startswith("Choose an image first.")
    again = desk.add(blobs(), name="again")
    desk.click(again, (40, 40))
    desk.wait_for(Stage.PREVIEW)


def test_a_points_layer_that_is_removed_takes_its_prompts_and_undo_brings_them_back(desk):
    image = desk.add(blobs())
    desk.click(image, (40, 40))
    desk.wait_for(Stage.PREVIEW)
    desk.viewer.layers.remove(desk.control.workspace.prompts.points)
    desk.settle()
    assert not desk.status.has_prompts
    assert desk.preview is None
    desk.press(desk.widget.undo_button)
    assert len(desk.control.workspace.prompts.points.data) == 1
    desk.wait_for(Stage.PREVIEW)


def test_a_removed_preview_layer_comes_back_with_the_next_mask(desk):
    image = desk.add(blobs())
    desk.click(image, (40, 40))
    desk.wait_for(Stage.PREVIEW)
    desk.viewer.layers.remove(desk.preview)
    desk.widget.point_button.click()
    desk.click(image, (44, 40))
    desk.wait(lambda: desk.preview is not None)


def test_labels_that_are_removed_end_the_propagation_with_one_message(desk):
    desk.start_propagation()
    desk.viewer.layers.remove(desk.control.labels)
    desk.wait(lambda: desk.status.stage is not Stage.PROPAGATING)
    assert [text for text in messages() if "was removed" in text] == [
        "'stack labels' was removed, so the propagation has ended."
    ]
    assert desk.control.labels is None
    assert desk.control.workspace.prompts.points in desk.viewer.layers


def test_an_image_that_is_removed_during_a_propagation_leaves_its_labels(desk):
    image = desk.start_propagation()
    labels = desk.control.labels
    desk.viewer.layers.remove(image)
    desk.wait(lambda: desk.control.stacks.runs.propagation is None)
    assert desk.status.stage is Stage.NO_IMAGE
    assert labels in desk.viewer.layers
    assert labels.data[2].any()


def test_switching_the_image_during_a_propagation_keeps_the_finished_planes(desk):
    desk.start_propagation()
    labels = desk.control.labels
    other = desk.viewer.add_image(blobs((50, 40)), name="other size")
    desk.control.choose_image(other)
    desk.wait(lambda: desk.control.stacks.runs.propagation is None)
    assert labels.data[2].any()
    assert desk.control.image is other
    assert labels not in desk.control.labels_choices()


def test_images_of_different_size_have_layers_of_their_own(desk):
    first = desk.add(blobs(), name="first")
    second = desk.viewer.add_image(blobs((50, 60), [(25, 30, 12)]), name="second")
    desk.click(first, (40, 40))
    desk.control.choose_image(second)
    desk.settle()
    assert desk.preview is None
    desk.click(second, (25, 30))
    desk.wait_for(Stage.PREVIEW)
    desk.key(Qt.Key.Key_Return)
    assert desk.labels.shape == (50, 60)
    desk.control.choose_image(first)
    assert desk.status.positive + desk.status.negative <= 1
    assert desk.control.labels is None


def test_closing_the_dock_while_it_works_stops_the_thread_and_frees_the_keys(desk):
    image = desk.start_propagation()
    points, labels = desk.control.workspace.prompts.points, desk.control.labels
    desk.viewer.window.remove_dock_widget(desk.widget)
    assert not desk.thread.is_alive()
    assert image in desk.viewer.layers
    assert points in desk.viewer.layers
    assert labels.data[2].any()
    assert desk.preview is None
    assert not points.keymap
    assert not [one for one in points.mouse_drag_callbacks if "napari_anysam" in one.__module__]
    points.add((0, 1, 1))
    desk.viewer.window.add_dock_widget(desk.widget)


def test_a_reopened_dock_finds_its_layers_again(desk):
    image = desk.add(blobs(), name="discs")
    desk.click(image, (40, 40))
    desk.wait_for(Stage.PREVIEW)
    desk.key(Qt.Key.Key_Return)
    desk.viewer.window.remove_dock_widget(desk.widget)
    count = len(desk.viewer.layers)
    again = type(desk)(desk.proxy)
    again.wait_for_image(image)
    assert len(desk.viewer.layers) == count
    assert again.control.labels.data[40, 40] == 1
    assert again.status.object_id == 2
    again.click(image, (60, 95))
    again.wait_for(Stage.PREVIEW)
    desk.viewer.window.remove_dock_widget(again.widget)
    desk.viewer.window.add_dock_widget(desk.widget)
