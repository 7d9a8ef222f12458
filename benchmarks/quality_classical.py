"""What a user could have had without a network.

For a click: flood fill with one tolerance, or a random walker between the click and the border of a
square around it. Both have a setting, and the best setting for a whole set is taken, which is more
than a user would know. For propagation: the starting mask, copied to every plane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from quality_prompts import overlap
from skimage.filters import gaussian
from skimage.segmentation import flood, random_walker
from skimage.transform import resize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Grey = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["best_setting", "classical_answers", "flooded", "smooth_grey", "walked"]

TOLERANCES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
"""Of the range from black to white."""

SIDES = (32, 64, 128, 256)
"""Of the square in which the random walker works, in pixels."""

WALKED_PIXELS = 64
"""A larger square is shrunk to so many pixels across, which keeps the random walker fast."""

DOT = 2
"""The click is a dot of so many pixels around its middle: from a single one nothing flows far."""

BETA = 500
"""How much edges hinder the random walker; with the dot the best of 130, 500 and 2000 over five
sets."""


def smooth_grey(rgb: NDArray[np.uint8]) -> Grey:
    """Return the mean of the colours, slightly smoothed, from 0 to 1."""
    return np.asarray(gaussian(rgb.mean(axis=2) / 255, sigma=1))


def classical_answers(
    grey: Grey, seed: tuple[int, int], truth: Mask, tolerances: Sequence[float] = TOLERANCES
) -> dict[str, float]:
    """Return the IoU of every method and setting for one click."""
    floods = {f"flood {value:g}": flooded(grey, seed, value) for value in tolerances}
    walks = {f"walker {side}": walked(grey, seed, side) for side in SIDES}
    return {name: overlap(mask, truth) for name, mask in (floods | walks).items()}


def best_setting(answers: Sequence[Mapping[str, float]]) -> str:
    """Return the method and setting with the best mean over all objects."""
    return max(answers[0], key=lambda name: float(np.mean([one[name] for one in answers])))


def flooded(grey: Grey, seed: tuple[int, int], tolerance: float) -> Mask:
    """Return what is connected to a pixel and differs from it by no more than a tolerance."""
    return np.asarray(flood(grey, seed, tolerance=tolerance), bool)


def walked(grey: Grey, seed: tuple[int, int], side: int) -> Mask:
    """Return what a random walker gives to a pixel rather than to the border of its square."""
    window = _square(seed, side, grey.shape)
    crop = grey[window]
    shape = tuple(min(length, WALKED_PIXELS) for length in crop.shape)
    small = resize(crop, shape, anti_aliasing=True) if shape != crop.shape else crop
    row, column = (
        (place - part.start) * length // (part.stop - part.start)
        for place, part, length in zip(seed, window, shape, strict=True)
    )
    mask = np.zeros(grey.shape, bool)
    if np.ptp(small) == 0:  # nothing to walk along
        mask[seed] = True
        return mask
    markers = _markers(shape, row, column)
    # The direct solver: the iterative ones stop far from the answer where edges are strong.
    found = random_walker(small, markers, beta=BETA, mode="bf") == 1
    mask[window] = resize(found, crop.shape, order=0, anti_aliasing=False)
    return mask


def _markers(shape: tuple[int, ...], row: int, column: int) -> NDArray[np.int32]:
    """Mark a dot as 1 and the border as 2; the middle of the dot is 1 wherever it lies."""
    markers = np.zeros(shape, np.int32)
    markers[max(row - DOT, 0) : row + DOT + 1, max(column - DOT, 0) : column + DOT + 1] = 1
    markers[[0, -1]] = markers[:, [0, -1]] = 2
    markers[row, column] = 1
    return markers


def _square(seed: tuple[int, int], side: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    starts = [
        min(max(place - side // 2, 0), max(length - side, 0))
        for place, length in zip(seed, shape, strict=True)
    ]
    rows, columns = (
        slice(start, min(start + side, length)) for start, length in zip(starts, shape, strict=True)
    )
    return rows, columns
