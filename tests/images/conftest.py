"""Arrays that tell what was read of them."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest


class CountingArray:
    """Shape, dtype and subscript, and a list of every key that was read."""

    def __init__(self, array):
        self._array = np.asarray(array)
        self.shape = self._array.shape
        self.ndim = self._array.ndim
        self.dtype = self._array.dtype
        self.keys = []

    def __getitem__(self, key):
        self.keys.append(key)
        return self._array[key]


@pytest.fixture
def counting():
    return CountingArray


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 300 kB, where this machine lets us."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
