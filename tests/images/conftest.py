"""Arrays that tell what was read of them."""

from __future__ import annotations

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
