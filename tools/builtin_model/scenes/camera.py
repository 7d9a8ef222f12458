"""What a camera adds: uneven light, blur, noise, and the stretch to 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from scenes.noise import smooth_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.float32]


def photograph(rng: np.random.Generator, scene: Field) -> NDArray[np.uint8]:
    """Turn brightness (planes, rows, columns[, 3]) into uint8 RGB (planes, rows, columns, 3)."""
    coloured = scene.ndim == 4
    image = scene if coloured else scene[..., None]
    image = image * _light(rng, scene.shape[:3])[..., None]
    if len(image) > 1:
        image = _along_planes(rng, image)
    if rng.random() < 0.3:
        sigma = rng.uniform(0.3, 2.0)
        image = ndimage.gaussian_filter(image, (0, sigma, sigma, 0), truncate=3.0)
    image = _stretch(image, rng.uniform(0, 0.6), rng.uniform(99.2, 100))
    image = _noise(rng, image.astype(np.float32))
    if rng.random() < 0.15:
        image = _coarse(image, int(rng.integers(2, 4)))
    image = np.clip(image, 0, 1) ** np.exp(rng.normal(0, 0.25))
    image = _stretch(image, 0.5, 99.5) if rng.random() < 0.7 else image
    if rng.random() < (0.1 if coloured else 0.3):
        image = 1 - image
    if not coloured and rng.random() < 0.08:
        image = image * rng.uniform(0, 1, 3)
    pixels = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    return np.broadcast_to(pixels, (*scene.shape[:3], 3)).copy()


def _along_planes(rng: np.random.Generator, image: Field) -> Field:
    """Let a stack fade, or blur with the distance from its focus."""
    steps = np.arange(len(image)) - rng.integers(len(image))
    if rng.random() < 0.2:
        fade = np.exp(-rng.uniform(0, 0.12) * np.abs(steps))
        image = image * fade[:, None, None, None]
    if rng.random() < 0.3:
        sigmas = rng.uniform(0.1, 0.6) * np.abs(steps)
        planes = zip(image, sigmas, strict=True)
        image = np.stack([ndimage.gaussian_filter(one, (at, at, 0)) for one, at in planes])
    return image


def _light(rng: np.random.Generator, shape: tuple[int, int, int]) -> Field:
    """Draw illumination around 1: even, a ramp, or slow clouds."""
    kind = rng.integers(4)
    if kind < 2:
        return np.ones(shape, np.float32)
    if kind == 2:
        rows, columns = np.linspace(-1, 1, shape[1]), np.linspace(-1, 1, shape[2])
        ramp = np.add.outer(rows * rng.normal(), columns)
        return np.broadcast_to(1 + rng.uniform(-0.3, 0.3) * ramp, shape).astype(np.float32)
    clouds = smooth_noise(rng, shape, rng.uniform(60, 250), plane_cell=20)
    return np.clip(1 + rng.uniform(0, 0.3) * clouds, 0.2, 2)


def _coarse(image: Field, step: int) -> Field:
    """Look as if recorded with larger pixels and enlarged."""
    small = image[:, ::step, ::step]
    zoom = (1, image.shape[1] / small.shape[1], image.shape[2] / small.shape[2], 1)
    return ndimage.zoom(small, zoom, order=1, mode="nearest", grid_mode=True)


def _noise(rng: np.random.Generator, image: Field) -> Field:
    """Add shot noise, read noise, and sometimes correlated noise."""
    if rng.random() < 0.5:
        photons = np.exp(rng.uniform(np.log(10), np.log(4000)))
        image = rng.poisson(np.clip(image, 0, None) * photons).astype(np.float32) / photons
    if rng.random() < 0.5:
        amplitude = min(rng.exponential(0.02), 0.15)
        image = image + amplitude * rng.standard_normal(image.shape, dtype=np.float32)
    if rng.random() < 0.2:
        speckle = smooth_noise(rng, image.shape[:3], rng.uniform(1, 3), plane_cell=1.0)
        image = image + rng.uniform(0, 0.08) * speckle[..., None]
    return image


def _stretch(image: Field, low: float, high: float) -> Field:
    """Put two percentiles of the whole stack at 0 and 1."""
    sample = image[:, ::4, ::4]
    bottom, top = np.percentile(sample, (low, high))
    return (image - bottom) / max(top - bottom, 1e-3)
