"""The door between threads, and what happens when nobody needs it any more."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.gui

FORGOTTEN = """
import gc
from qtpy.QtWidgets import QApplication
from napari_anysam._napari.delivery import QtDelivery
application = QApplication([])
for _ in range(20):
    for _ in range(500):
        delivery = QtDelivery()
        delivery.circle = delivery
    gc.collect()
"""


def test_the_garbage_collector_may_take_them():
    """In a process of its own, which a fault would end."""
    command = [sys.executable, "-c", FORGOTTEN]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_is_called_once_its_owner_is_gone(qapp):
    from qtpy.QtCore import QObject

    from napari_anysam._napari.delivery import QtDelivery

    called, owner = [], QObject()
    delivery = QtDelivery(owner)
    delivery(lambda: called.append("before"))
    qapp.processEvents()
    delivery(lambda: called.append("on its way"))
    del owner
    delivery(lambda: called.append("after"))
    qapp.processEvents()
    assert called == ["before"]
