"""Stacks and time series: scenes of several planes, played in either direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Window = tuple["NDArray[np.uint8]", "NDArray[np.uint8]"]


def play(
    rng: np.random.Generator,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    length: int,
) -> Window:
    """Choose `length` planes of a stack in one of its two directions.

    Mostly neighbours or every second plane, sometimes any, which gives uneven steps. Beginning
    anywhere lets objects appear and vanish.

    Parameters
    ----------
    rng
        Source of randomness.
    images, labels
        (planes, rows, columns, 3) and (planes, rows, columns).
    length
        Number of planes wanted, at most the number that there are.

    Returns
    -------
    tuple
        Images and labels of the chosen planes.
    """
    stride = 2 if 2 * length - 1 <= len(images) and rng.random() < 0.4 else 1
    first = rng.integers(len(images) - stride * (length - 1))
    planes = first + stride * np.arange(length)
    if rng.random() < 0.2:
        planes = np.sort(rng.choice(len(images), size=length, replace=False))
    if rng.random() < 0.5:
        planes = planes[::-1]
    return images[planes], labels[planes]


def erase(
    rng: np.random.Generator,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    chance: float,
) -> Window:
    """Sometimes replace one later plane by one without any object: the stack's own blurred grey.

    It teaches the object score that a lost object may come back on the next plane.
    """
    if rng.random() >= chance or len(images) < 3:
        return images, labels
    gone = int(rng.integers(1, len(images)))
    images, labels = images.copy(), labels.copy()
    level = np.median(images[gone], axis=(0, 1))
    grain = rng.normal(0, rng.uniform(2, 25), (*images.shape[1:3], 1))
    images[gone] = np.clip(level + grain, 0, 255).astype(np.uint8)
    labels[gone] = 0
    return images, labels
