"""Planes with moving discs, and their true labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def make_discs(count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rows, columns = np.mgrid[:120, :150]
    noise = np.random.default_rng(0)
    stack = noise.normal(60, 8, (count, 120, 150))
    labels = np.zeros((count, 120, 150), np.uint8)
    for plane in range(count):
        discs = (
            (40 + 0.8 * plane, 50 + plane, 15, 150),
            (80 - 0.7 * plane, 100 - 0.5 * plane, 18, 190),
            (30, 122, 10, 130),
        )
        for number, (row, column, radius, value) in enumerate(discs, start=1):
            inside = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
            stack[plane][inside] += value - 60
            labels[plane][inside] = number
    return stack.clip(0, 255).astype(np.uint8), labels
