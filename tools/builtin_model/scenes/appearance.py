"""What the objects of a scene look like: one function per way of imaging.

Each takes a source of randomness and a layout, and returns brightness of about 0 to 1, either
(planes, rows, columns) or with three colour channels behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from scenes.layouts import borders
from scenes.noise import fractal, smooth_noise, texture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scenes.layouts import Labels, Layout

    Field = NDArray[np.float32]


def _per_object(
    rng: np.random.Generator, labels: Labels, centre: float, spread: float
) -> NDArray[np.float64]:
    """Draw one value per label; index it with the labels."""
    return rng.normal(centre, spread, int(labels.max()) + 1)


def _blur(field: Field, sigma: float) -> Field:
    """Blur within the planes only."""
    return ndimage.gaussian_filter(field, (0, sigma, sigma), truncate=3.0)


def _depth(labels: Labels) -> Field:
    """Distance of every pixel to the nearest change of label, in pixels."""
    planes = [ndimage.distance_transform_edt(~borders(plane, 1)) for plane in labels]
    return np.stack(planes).astype(np.float32)


def _object_textures(rng: np.random.Generator, labels: Labels, amplitude: float) -> Field:
    """Fill objects with one of two textures, each object with an amplitude of its own."""
    strength = np.abs(_per_object(rng, labels, amplitude, amplitude / 2))
    strength[0] = 0
    first, second = texture(rng, labels.shape), texture(rng, labels.shape)
    choice = rng.uniform(size=strength.size) < rng.choice([0.0, 0.5])
    return strength[labels] * np.where(choice[labels], first, second)


def _surroundings(
    rng: np.random.Generator, layout: Layout, spread: float, amplitude: float
) -> Field:
    """Give each class of unlabelled tissue a brightness and a texture."""
    tissue = layout.tissue
    field = _per_object(rng, tissue, 0.0, spread)[tissue]
    strength = np.abs(_per_object(rng, tissue, amplitude, amplitude / 2))[tissue]
    return field + strength * texture(rng, tissue.shape)


def _seams(labels: Labels, width: float) -> Field:
    """Return 1 where two objects touch, falling to 0 over about `width` pixels."""
    seams = []
    for plane in labels:
        small = np.where(plane > 0, plane, 255)
        touching = (ndimage.maximum_filter(plane, 3) != ndimage.minimum_filter(small, 3)) & (
            ndimage.minimum_filter(plane, 3) > 0
        )
        distance = ndimage.distance_transform_edt(~touching) if touching.any() else np.inf
        seams.append(np.broadcast_to(np.exp(-((distance / width) ** 2)), plane.shape))
    return np.stack(seams).astype(np.float32)


def fluorescence(rng: np.random.Generator, layout: Layout) -> Field:
    """Bright stained objects of very different brightness on a dark, sometimes hazy background."""
    labels = layout.bodies
    base = rng.uniform(0.3, 1.0)
    value = base * np.exp(_per_object(rng, labels, 0.0, rng.uniform(0.05, 0.7)))
    if rng.random() < 0.2:
        value[rng.uniform(size=value.size) < 0.08] *= rng.uniform(2, 6)
    value[0] = 0
    image = value[labels]
    inside = labels > 0
    grain = 1 + rng.uniform(0, 0.35) * texture(rng, labels.shape)
    if rng.random() < 0.3:
        spots = smooth_noise(rng, labels.shape, rng.uniform(3, 8)) > rng.uniform(0.8, 1.8)
        grain = grain + rng.uniform(-0.5, 1.0) * spots
    image = image * np.clip(grain, 0.2, None)
    if rng.random() < 0.5:
        reach = rng.uniform(3, 25)
        dome = 1 - np.exp(-_depth(labels) / reach)
        image = image * (dome if rng.random() < 0.7 else 1.15 - 0.8 * dome)
    if rng.random() < 0.8:
        change = rng.uniform(0.2, 0.8) if rng.random() < 0.85 else -rng.uniform(0.2, 0.6)
        image = image * (1 - change * _seams(labels, rng.uniform(0.8, 3)))
    image = _blur(image.astype(np.float32), np.exp(rng.uniform(np.log(0.3), np.log(4))))
    if rng.random() < 0.5:
        image += rng.uniform(0, 0.5) * _blur(image, rng.uniform(8, 30))
    haze = np.clip(fractal(rng, labels.shape, rng.uniform(20, 100)), -1.5, 3) + 1.5
    level = rng.uniform(0, 0.5) * base if rng.random() < 0.25 else 0
    return level + image + rng.uniform(0, 0.12) * base * haze * np.where(inside, 0.5, 1)


def solid(rng: np.random.Generator, layout: Layout) -> Field:
    """Lit bodies with relief (coins, pills, beads) on an uneven, textured ground."""
    labels = layout.bodies
    ground = rng.uniform(0.1, 0.5)
    contrast = rng.uniform(0.15, 0.5)
    value = _per_object(rng, labels, ground + contrast, 0.25 * contrast)
    value[0] = ground
    image = value[labels] + _object_textures(rng, labels, rng.uniform(0.02, 0.16))
    background = _surroundings(rng, layout, rng.uniform(0, 0.05), rng.uniform(0.005, 0.06))
    image += background * (labels == 0)
    depth = _depth(labels)
    rim = np.exp(-depth / rng.uniform(1.5, 6)) * (labels > 0)
    image += rng.uniform(-0.25, 0.3) * rim
    image += _relief(rng, np.where(labels > 0, np.minimum(depth, rng.uniform(2, 8)), 0))
    if rng.random() < 0.5:
        shift = rng.integers(-5, 6, 2)
        shadow = np.roll(labels > 0, tuple(shift), axis=(1, 2)) & (labels == 0)
        image -= rng.uniform(0.05, 0.25) * _blur(shadow.astype(np.float32), rng.uniform(1, 4))
    return _blur(image.astype(np.float32), rng.uniform(0.3, 1.2))


def _relief(rng: np.random.Generator, height: Field) -> Field:
    """Light a height map from one side."""
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.gradient(_blur(height.astype(np.float32), 1.0), axis=(1, 2))
    return rng.uniform(0, 0.25) * (rows * np.sin(angle) + columns * np.cos(angle))


def relief(rng: np.random.Generator, layout: Layout) -> Field:
    """Differential interference contrast: grey bodies, lit from one side."""
    labels = layout.bodies
    height = np.minimum(_depth(labels), rng.uniform(4, 14)) * (labels > 0)
    height = height + rng.uniform(0, 1.5) * texture(rng, labels.shape) * (labels > 0)
    height = height + rng.uniform(0, 0.4) * texture(rng, labels.shape)
    light = _relief(rng, height.astype(np.float32))
    light = light / (np.abs(light).std() + 1e-6) * rng.uniform(0.08, 0.2)
    value = _per_object(rng, labels, rng.uniform(-0.15, 0.15), 0.04)
    value[0] = 0
    return _blur((0.5 + light + value[labels]).astype(np.float32), rng.uniform(0.3, 1.2))


def membranes(rng: np.random.Generator, layout: Layout) -> Field:
    """Stained cell borders, bright on darker cells."""
    labels = layout.bodies
    cells = np.abs(_per_object(rng, labels, rng.uniform(0.0, 0.4), rng.uniform(0.01, 0.25)))
    image = cells[labels] + _object_textures(rng, labels, rng.uniform(0.0, 0.1))
    if rng.random() < 0.3:
        image = image + rng.uniform(-0.4, 0.4) * np.exp(
            -((_depth(labels).max() - _depth(labels)) ** 2) / rng.uniform(10, 200)
        )
    width = rng.uniform(0.8, 7)
    wall = np.exp(-((_depth(labels) / width) ** 2)).astype(np.float32)
    uneven = np.clip(1 + rng.uniform(0, 0.5) * smooth_noise(rng, labels.shape, 15), 0.15, 2)
    image += rng.uniform(0.3, 0.9) * wall * uneven
    return _blur(image.astype(np.float32), rng.uniform(0.3, 2.5))


def electron(rng: np.random.Generator, layout: Layout) -> Field:
    """Electron microscopy: dark membranes, dark organelles, busy grey cytoplasm."""
    labels = layout.bodies
    grey = _per_object(rng, labels, 0.68, rng.uniform(0.01, 0.07))
    image = grey[labels] + rng.uniform(0.02, 0.09) * fractal(rng, labels.shape, 6, octaves=3)
    image += _object_textures(rng, labels, rng.uniform(0.0, 0.08))
    spots = smooth_noise(rng, labels.shape, rng.uniform(6, 16)) > rng.uniform(1.2, 2.2)
    depth = _depth(labels)
    spots &= depth > 3
    image -= rng.uniform(0.1, 0.35) * _blur(spots.astype(np.float32), 0.8)
    wall = np.exp(-((depth / rng.uniform(0.8, 2.2)) ** 2))
    return _blur((image - rng.uniform(0.25, 0.5) * wall).astype(np.float32), rng.uniform(0.3, 1.0))


def phase(rng: np.random.Generator, layout: Layout) -> Field:
    """Phase contrast: cells about as grey as the ground, a bright halo around, granules inside."""
    labels = layout.bodies
    inside = (labels > 0).astype(np.float32)
    value = _per_object(rng, labels, rng.uniform(-0.2, 0.12), 0.06)
    value[0] = 0
    image = 0.45 + value[labels] + _object_textures(rng, labels, rng.uniform(0.02, 0.12))
    image += (labels == 0) * _surroundings(rng, layout, 0.01, rng.uniform(0.005, 0.04))
    near, far = _blur(inside, rng.uniform(0.6, 2)), _blur(inside, rng.uniform(3, 10))
    image += rng.uniform(0.15, 0.8) * np.clip(far - near, 0, None)
    image -= rng.uniform(0, 0.3) * np.clip(near - far, 0, None)
    depth = _depth(labels)
    line = np.exp(-((depth - rng.uniform(0, 1.5)) ** 2) / rng.uniform(1, 5))
    image += rng.uniform(-0.3, 0.35) * line
    if rng.random() < 0.5:
        image += _nuclei(rng, labels, _centrality(labels, depth))
    return _blur(image.astype(np.float32), rng.uniform(0.3, 1.3))


def outlined(rng: np.random.Generator, layout: Layout) -> Field:
    """Phase contrast of thin cells: rings along the outline, granules inside, flat grey ground."""
    labels = layout.bodies
    inside = labels > 0
    depth = _depth(labels)
    signed = np.where(inside, depth, -depth)
    strength = np.clip(_per_object(rng, labels, 0.25, rng.uniform(0.03, 0.15)), 0.05, 0.6)
    nearest = np.stack([_nearest_label(plane) for plane in labels])
    period, reach = rng.uniform(3, 14), rng.uniform(1, 7)
    rings = np.cos(2 * np.pi * (signed - rng.uniform(-1, 1) * period / 2) / period)
    image = strength[nearest] * rings * np.exp(-np.abs(signed) / reach)
    spots = smooth_noise(rng, labels.shape, rng.uniform(1.5, 5))
    spots = np.where(np.abs(spots) > rng.uniform(0.5, 1.6), spots, 0)
    busy = np.abs(_per_object(rng, labels, rng.uniform(0.0, 0.12), 0.05))
    centre = _centrality(labels, depth)
    crowded = 1 + rng.uniform(0, 2) * (centre - 0.5) if rng.random() < 0.5 else 1
    image = image + inside * busy[labels] * spots * crowded
    if rng.random() < 0.5:
        image = image + _nuclei(rng, labels, centre)
    shade = _per_object(rng, labels, rng.uniform(-0.06, 0.06), rng.uniform(0.0, 0.06))
    image = image + inside * shade[labels]
    debris = smooth_noise(rng, labels.shape, rng.uniform(2, 6)) > rng.uniform(2.2, 3.5)
    image = image + rng.uniform(-0.3, 0.3) * debris
    image = image + rng.uniform(0, 0.03) * smooth_noise(rng, labels.shape, rng.uniform(1.5, 30))
    return 0.5 + _blur(image.astype(np.float32), rng.uniform(0.3, 1.2))


def _centrality(labels: Labels, depth: Field) -> Field:
    """Return 0 at the outline of every object, rising to 1 at its innermost pixel."""
    innermost = ndimage.maximum(depth, labels, np.arange(int(labels.max()) + 1))
    return np.where(labels > 0, depth / np.maximum(np.atleast_1d(innermost), 1.0)[labels], 0)


def _nuclei(rng: np.random.Generator, labels: Labels, centre: Field) -> Field:
    """Draw what lies in the middle of cells and is not their outline: a nucleus with nucleoli."""
    border = rng.uniform(0.35, 0.8)
    inner = centre > border
    edge = np.exp(-(((centre - border) / rng.uniform(0.03, 0.15)) ** 2))
    spots = smooth_noise(rng, labels.shape, rng.uniform(3, 8)) > rng.uniform(1.2, 2.2)
    field = rng.uniform(-0.15, 0.15) * edge + rng.uniform(-0.12, 0.12) * inner
    field = field + rng.uniform(-0.3, 0.3) * (spots & inner)
    shows = rng.uniform(size=int(labels.max()) + 1) < rng.uniform(0.3, 1.2)
    return field * shows[labels]


def _nearest_label(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Continue the labels into the ground around them."""
    if not plane.any():
        return plane
    rows, columns = ndimage.distance_transform_edt(
        plane == 0, return_distances=False, return_indices=True
    )
    return plane[rows, columns]


def scan(rng: np.random.Generator, layout: Layout) -> Field:
    """CT and MR: soft tissues of similar grey, fine noise, dark air around the body."""
    labels, tissue = layout.bodies, layout.tissue
    spread = rng.uniform(0.05, 0.3)
    value = _per_object(rng, labels, rng.uniform(0.3, 0.7), spread)
    grey = _per_object(rng, tissue, rng.uniform(0.25, 0.65), spread)
    grey[0] = rng.uniform(0, 0.1)
    close = np.abs(value - grey[1 % grey.size]) < 0.05
    value[close] += rng.choice([-0.1, 0.1], close.sum())
    image = np.where(labels > 0, value[labels], grey[tissue])
    image = image + _object_textures(rng, labels, rng.uniform(0.0, 0.06))
    image = image + rng.uniform(0, 0.05) * texture(rng, labels.shape) * (tissue > 0)
    if rng.random() < 0.3:
        wall = np.stack([borders(plane, int(rng.integers(1, 5))) for plane in labels])
        image = image + rng.uniform(-0.3, 0.4) * wall
    image = _blur(image.astype(np.float32), rng.uniform(0.5, 2.5))
    return image + rng.uniform(0, 0.05) * smooth_noise(rng, labels.shape, rng.uniform(1, 2.5))


def soft_tissue(rng: np.random.Generator, layout: Layout) -> Field:
    """CT and MR of an abdomen: organs of nearly the same grey, a thin line of fat between them."""
    labels, tissue = layout.bodies, layout.tissue
    contrast = np.exp(rng.uniform(np.log(0.015), np.log(0.2)))
    middle = rng.uniform(0.3, 0.7)
    value = _per_object(rng, labels, middle, contrast)
    bright = rng.uniform(size=value.size) < 0.12
    value[bright] = rng.uniform(0.8, 1.3, bright.sum())
    dark = rng.uniform(size=value.size) < 0.08
    value[dark] = rng.uniform(0, 0.25, dark.sum())
    fat = middle + rng.choice([-1, 1]) * rng.uniform(0.03, 0.35)
    grey = np.array([rng.uniform(0, 0.1), fat, fat + rng.normal(0, 0.03)])
    grey = np.append(grey, _per_object(rng, tissue, middle, contrast))
    image = np.where(labels > 0, value[labels], grey[np.minimum(tissue, grey.size - 1)])
    image = image + _object_textures(rng, labels, rng.uniform(0.0, 1.0) * contrast)
    image = image + rng.uniform(0, 0.5) * contrast * texture(rng, labels.shape) * (tissue > 0)
    image = _blur(image.astype(np.float32), rng.uniform(0.4, 2.5))
    grain = smooth_noise(rng, labels.shape, rng.uniform(1, 3))
    return image + rng.uniform(0, 0.5) * contrast * grain


def stain(rng: np.random.Generator, layout: Layout) -> Field:
    """Show transmitted light through coloured stains: dark nuclei in paler tissue, white gaps."""
    labels = layout.bodies
    nucleus = np.array([0.45, 0.3, 0.6]) + rng.normal(0, 0.1, 3)
    ground = np.array([0.85, 0.6, 0.75]) + rng.normal(0, 0.1, 3)
    if rng.random() < 0.3:
        nucleus, ground = rng.uniform(0.15, 0.6, 3), rng.uniform(0.55, 0.95, 3)
    density = np.clip(_per_object(rng, labels, 1.0, rng.uniform(0.05, 0.3)), 0.35, None)
    density[0] = 0
    mixture = density[labels] * (1 + rng.uniform(0, 0.35) * texture(rng, labels.shape))
    mixture = _blur(mixture.astype(np.float32), rng.uniform(0.5, 1.8))[..., None]
    white = _blur((layout.tissue == 1).astype(np.float32), rng.uniform(1, 3))[..., None]
    white = white * rng.uniform(0, 1)
    tissue = ground + (0.95 - ground) * white
    clouds = fractal(rng, labels.shape, rng.uniform(6, 30))[..., None]
    tissue = tissue + rng.uniform(0.01, 0.1) * clouds
    return (tissue * (1 - mixture) + nucleus * mixture).astype(np.float32)


def natural(rng: np.random.Generator, layout: Layout) -> Field:
    """Coloured, textured, shaded bodies in front of a coloured scene."""
    labels, tissue = layout.bodies, layout.tissue
    count = int(labels.max()) + 1
    colour = rng.uniform(0.05, 0.95, (count, 3))
    ground = rng.uniform(0.05, 0.95, (int(tissue.max()) + 1, 3))
    image = np.where(labels[..., None] > 0, colour[labels], ground[tissue])
    tint = rng.uniform(-0.2, 0.2, 3)
    image = image + _object_textures(rng, labels, rng.uniform(0.02, 0.15))[..., None] * (1 + tint)
    back = _surroundings(rng, layout, 0.0, rng.uniform(0.01, 0.12)) * (labels == 0)
    image = image + back[..., None]
    shade = np.minimum(_depth(labels), 20) / 20 * (labels > 0)
    image = image + (rng.uniform(-0.2, 0.3) * shade)[..., None]
    image = image + _relief(rng, 8 * shade.astype(np.float32))[..., None]
    light = smooth_noise(rng, labels.shape, rng.uniform(60, 200))
    image = image * (1 + rng.uniform(0, 0.25) * light[..., None])
    return ndimage.gaussian_filter(image, (0, *[rng.uniform(0.2, 1.2)] * 2, 0)).astype(np.float32)
