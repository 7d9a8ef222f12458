"""A fresh process, as a user starts it: the window draws first, torch comes later."""

import subprocess
import sys

import pytest
import torch

from tiny_sam import tiny_sam

pytestmark = [pytest.mark.gui, pytest.mark.slow]

# The canvas must have been painted, or the driver is not loaded yet.
LOAD_AFTER_PAINTING = """
import sys
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QTimer

from napari_anysam._napari.active_model import active_model

viewer = napari.Viewer()
viewer.add_image(np.eye(64))
assert not {"torch", "triton"} & set(sys.modules)


def load():
    viewer.screenshot(canvas_only=False, flash=False)
    active = active_model()
    active.request(Path(sys.argv[1]))
    active.wait(300)
    print("active:", active.name)
    viewer.close()


QTimer.singleShot(500, load)
napari.run()
"""

CLOSE_WHILE_LOADING = LOAD_AFTER_PAINTING.replace("    active.wait(300)\n", "")

# A thread is about to import a network when the window draws for the first time.
DRAW_WHILE_IMPORTING = """
import sys
from threading import Event, Thread

import napari
import numpy as np
from qtpy.QtCore import QTimer

from napari_anysam.networks.native import without_clashing_triton

begun, drawn = Event(), Event()


def load():
    with without_clashing_triton():
        begun.set()
        drawn.wait(300)
        import torchvision


loading = Thread(target=load)
loading.start()
begun.wait(300)
viewer = napari.Viewer()
viewer.add_image(np.eye(64))


def draw():
    viewer.screenshot(canvas_only=False, flash=False)
    drawn.set()
    loading.join()
    print("imported:", "torchvision" in sys.modules)
    viewer.close()


QTimer.singleShot(500, draw)
napari.run()
"""


@pytest.fixture
def sam_file(tmp_path):
    torch.save(tiny_sam().state_dict(), tmp_path / "tiny.pth")
    return tmp_path / "tiny.pth"


def run(script, file, monkeypatch, tmp_path):
    monkeypatch.setenv("ANYSAM_CONFIG", str(tmp_path / "config"))
    return subprocess.run(
        [sys.executable, "-c", script, str(file)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_network_that_needs_torchvision_loads(sam_file, monkeypatch, tmp_path):
    done = run(LOAD_AFTER_PAINTING, sam_file, monkeypatch, tmp_path)
    assert "active: tiny" in done.stdout, done.stderr
    assert done.returncode == 0, done.stderr


def test_napari_can_be_closed_while_a_model_is_loading(sam_file, monkeypatch, tmp_path):
    done = run(CLOSE_WHILE_LOADING, sam_file, monkeypatch, tmp_path)
    assert "active:" in done.stdout, done.stderr
    assert done.returncode == 0, done.stderr


def test_the_window_may_draw_first_while_a_network_is_imported(sam_file, monkeypatch, tmp_path):
    done = run(DRAW_WHILE_IMPORTING, sam_file, monkeypatch, tmp_path)
    assert "imported: True" in done.stdout, done.stderr
    assert done.returncode == 0, done.stderr
