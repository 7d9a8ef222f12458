"""Random fields: smooth noise and the textures made of it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Field = NDArray[np.float32]
    Shape = tuple[int, int, int]


@lru_cache(maxsize=256)
def _spline_matrix(length: int, cell: float) -> Field:
    """Return cubic B-spline weights of shape (length, knots), one knot every `cell` pixels."""
    knots = int(np.ceil(length / cell)) + 3
    position = np.arange(length, dtype=np.float32)[:, None] / cell + 1.0
    distance = np.abs(position - np.arange(knots, dtype=np.float32)[None])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


def smooth_noise(
    rng: np.random.Generator, shape: Shape, cell: float, plane_cell: float = 3.0
) -> Field:
    """Draw smooth noise of zero mean and unit variance.

    Parameters
    ----------
    rng
        Source of randomness.
    shape
        (planes, rows, columns).
    cell
        Distance of independent values within a plane, in pixels.
    plane_cell
        The same along the planes.

    Returns
    -------
    array of float32
        One value per pixel.
    """
    cell = float(np.round(max(cell, 1.0), 1))
    matrices = [
        _spline_matrix(shape[0], plane_cell),
        _spline_matrix(shape[1], cell),
        _spline_matrix(shape[2], cell),
    ]
    knots = rng.standard_normal([matrix.shape[1] for matrix in matrices], dtype=np.float32)
    planes = np.tensordot(matrices[0], knots, axes=(1, 0))
    field = matrices[1] @ planes @ matrices[2].T
    return (field - field.mean()) / (field.std() + 1e-6)


def fractal(
    rng: np.random.Generator, shape: Shape, cell: float, octaves: int = 4, gain: float = 0.6
) -> Field:
    """Sum smooth noise over scales `cell`, `cell / 2`, ... with weights 1, `gain`, ..."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        total += gain**octave * smooth_noise(rng, shape, cell / 2**octave)
    return total / total.std()


def _grain(rng: np.random.Generator, shape: Shape) -> Field:
    return smooth_noise(rng, shape, rng.uniform(1.2, 5))


def _clouds(rng: np.random.Generator, shape: Shape) -> Field:
    return fractal(rng, shape, np.exp(rng.uniform(np.log(8), np.log(60))))


def _ridges(rng: np.random.Generator, shape: Shape) -> Field:
    return 1.5 - 3 * np.abs(smooth_noise(rng, shape, rng.uniform(4, 24)))


def _spots(rng: np.random.Generator, shape: Shape) -> Field:
    field = smooth_noise(rng, shape, rng.uniform(2.5, 10))
    return rng.choice([-2.5, 2.5]) * (field > rng.uniform(0.8, 1.6))


def _stripes(rng: np.random.Generator, shape: Shape) -> Field:
    _, rows, columns = np.ogrid[: shape[0], : shape[1], : shape[2]]
    angle, period = rng.uniform(0, np.pi), rng.uniform(5, 30)
    warp = smooth_noise(rng, shape, rng.uniform(30, 90)) * rng.uniform(0, 1.5)
    ramp = (rows * np.cos(angle) + columns * np.sin(angle)) * (2 * np.pi / period)
    return (1.4 * np.sin(ramp + warp)).astype(np.float32)


TEXTURES: tuple[Callable[[np.random.Generator, Shape], Field], ...] = (
    _grain,
    _grain,
    _grain,
    _clouds,
    _clouds,
    _clouds,
    _ridges,
    _spots,
    _stripes,
)


def texture(rng: np.random.Generator, shape: Shape) -> Field:
    """Draw one texture of a random kind, about zero mean and unit variance."""
    return TEXTURES[rng.integers(len(TEXTURES))](rng, shape)
