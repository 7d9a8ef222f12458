"""Pictures whose objects are known."""

from __future__ import annotations

import numpy as np


def blobs(shape=(96, 128), centres=((40, 40, 14), (60, 95, 16)), seed=0):
    """Bright discs on a dark, slightly noisy ground, uint8 (H, W)."""
    rows, columns = np.indices(shape)
    image = np.full(shape, 40.0)
    for row, column, radius in centres:
        image[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = 190
    noise = np.random.default_rng(seed).normal(0, 4, shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def disc(shape, row, column, radius):
    rows, columns = np.indices(shape)
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def iou(one, other):
    one, other = np.asarray(one) != 0, np.asarray(other) != 0
    return float((one & other).sum() / max(1, (one | other).sum()))


def drifting_disc(planes=7, shape=(80, 96)):
    """One disc that drifts to the right through a stack, uint8 (planes, H, W)."""
    return np.stack(
        [blobs(shape, [(40, 30 + 4 * plane, 14)], seed=plane) for plane in range(planes)]
    )
