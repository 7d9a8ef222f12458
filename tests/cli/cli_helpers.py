"""What the tests of the command share: a model, and images with a truth."""

from __future__ import annotations

import os

import numpy as np

# The shipped model, unless somebody wants to see the same tests with another one.
MODEL = os.environ.get("ANYSAM_TEST_MODEL", "anysam-nano")


def discs(count=5, size=96, radius=22):
    """Return a stack with one bright disc in noise, that grows a little, and its truth."""
    rng = np.random.default_rng(0)
    rows, columns = np.ogrid[:size, :size]
    distance = np.hypot(rows - 44, columns - 50)
    truth = np.stack([distance < radius + index for index in range(count)])
    stack = rng.normal(200, 20, truth.shape) + 600 * truth
    return stack.astype(np.uint16), truth


def iou(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()
