"""Windows that are closed at random moments, whatever is under way."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import pytest
from gui_scenes import drifting_disc
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_anysam._napari.propagation import StackRange

pytestmark = [pytest.mark.gui, pytest.mark.slow]

PLACES = ((40, 38), (20, 70), (60, 20))


def click(desk, image, chance):
    plane = chance.randrange(len(image.data))
    desk.viewer.dims.set_point(0, plane)
    modifier = chance.choice([Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier])
    desk.click(image, (plane, *chance.choice(PLACES)), modifier)


def press(desk, _image, chance):
    desk.key(chance.choice([Qt.Key.Key_Q, Qt.Key.Key_N, Qt.Key.Key_U, Qt.Key.Key_W, Qt.Key.Key_H]))


def propagate(desk, image, _chance):
    desk.control.stacks.propagate(StackRange(0, 0, len(image.data) - 1))


def find_everything(desk, _image, _chance):
    desk.control.find_everything()


def look_elsewhere(desk, image, chance):
    image.contrast_limits = (chance.randrange(20), 200)


def remove_layer(desk, _image, chance):
    layers = [layer for layer in desk.viewer.layers if "labels" in layer.name]
    if layers:
        desk.viewer.layers.remove(chance.choice(layers))


ACTIONS = (click, click, click, press, press, propagate, find_everything, look_elsewhere)


def our_threads():
    """Return what belongs to a window; models are loaded and downloaded for the whole process."""
    names = (thread.name for thread in threading.enumerate())
    return [name for name in names if name.startswith("anysam-") and "load" not in name]


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_left_behind(new_desk, seed):
    """napari's own fixture looks for widgets and layers that stay alive."""
    desk, chance = new_desk, random.Random(seed)
    image = desk.add(np.concatenate([drifting_disc()] * 2), name="stack")
    for _ in range(chance.randrange(3, 12)):
        chance.choice((*ACTIONS, remove_layer))(desk, image, chance)
        end = time.monotonic() + chance.random() * 0.3
        while time.monotonic() < end:
            QApplication.processEvents()
    desk.viewer.close()
    assert not desk.thread.is_alive()
    end = time.monotonic() + 10
    while our_threads() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)
    assert our_threads() == []
