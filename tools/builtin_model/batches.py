"""From scenes of the pool to what one training step needs: crops, targets, first prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from network import normalise
from sequences import erase, play
from torch.nn import functional

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pool import Pool
    from torch import Tensor

    Planes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How planes are cut and which objects are asked for.

    Attributes
    ----------
    size
        Rows and columns of the network's input.
    images, planes, objects
        Scenes per step, planes of each, and objects asked for in each.
    whole
        Chance that a whole plane is used instead of a region around an object.
    least_share
        Smallest object, as a fraction of the input's area.
    """

    size: int
    images: int
    objects: int
    planes: int = 1
    whole: float = 0.3
    least_share: float = 0.0012


class Batch(NamedTuple):
    """One step's data; N = images x objects, T planes.

    Attributes
    ----------
    images
        Normalised, (images * T, 3, size, size), planes of one scene in a row.
    targets
        Area fractions, (N, T, size / 4, size / 4).
    clicks
        A random pixel of each object on its first plane as (x, y), (N, 2).
    boxes
        Bounding box on the first plane as (x0, y0, x1, y1), half-open, (N, 4).
    outside
        What the region's border cuts off the object on its first plane, in cells of 4 x 4 pixels,
        (N,).
    """

    images: Tensor
    targets: Tensor
    clicks: Tensor
    boxes: Tensor
    outside: Tensor


class _Region(NamedTuple):
    top: int
    left: int
    height: int
    width: int


def make_batch(rng: np.random.Generator, pool: Pool, sampling: Sampling) -> Batch:
    """Draw scenes, cut regions, choose objects."""
    samples = [_sample(rng, pool, sampling) for _ in range(sampling.images)]
    images, *others = (torch.cat(parts) for parts in zip(*samples, strict=True))
    return Batch(normalise(images), *others)


def _sample(rng: np.random.Generator, pool: Pool, sampling: Sampling) -> tuple[Tensor, ...]:
    """Try scenes until one shows a large enough object."""
    while True:
        images, labels = pool.draw(rng)
        if sampling.planes > 1:
            images, labels = play(rng, images, labels, sampling.planes)
            images, labels = erase(rng, images, labels, 0.25)
        images, labels = _turn(rng, images, labels)
        regions = _regions(rng, labels, sampling)
        visible = _resize_labels(labels, regions, sampling.size)
        chosen = _choose(rng, visible[0], sampling)
        if chosen is not None:
            break
    pixels = _resize_images(images, regions, sampling.size)
    clicks, boxes = zip(*(_prompt(rng, visible[0] == label) for label in chosen), strict=True)
    return (
        _vary(rng, pixels),
        _targets(visible, chosen),
        torch.tensor(np.array(clicks), dtype=torch.float32),
        torch.tensor(np.array(boxes), dtype=torch.float32),
        _outside(labels[0], regions[0], sampling.size)[chosen],
    )


def _turn(rng: np.random.Generator, images: Planes, labels: Planes) -> tuple[Planes, Planes]:
    turns = int(rng.integers(4))
    images, labels = np.rot90(images, turns, (1, 2)), np.rot90(labels, turns, (1, 2))
    if rng.random() < 0.5:
        images, labels = images[:, :, ::-1], labels[:, :, ::-1]
    return images, labels


def _region(rng: np.random.Generator, labels: Planes, sampling: Sampling) -> _Region:
    """Cut around one object as the plugin's zoom does: mostly about twice its box."""
    height, width = labels.shape
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    candidates = np.flatnonzero(areas > 60)
    if rng.random() < sampling.whole or candidates.size == 0:
        return _Region(0, 0, height, width)
    rows, columns = np.nonzero(labels == rng.choice(candidates))
    centre = np.array([rows.min() + rows.max(), columns.min() + columns.max()]) / 2
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    if rng.random() < 0.5:
        side = extent * np.exp(rng.normal(np.log(1.5), 0.22))
    else:
        side = extent * np.exp(rng.uniform(np.log(0.6), np.log(8)))
    sides = np.clip(side * np.exp(rng.normal(0, 0.08, 2)), 20, (height, width)).astype(int)
    corner = centre - sides / 2 + rng.uniform(-0.15, 0.15, 2) * sides
    top, left = np.clip(corner, 0, (height - sides[0], width - sides[1])).astype(int)
    return _Region(int(top), int(left), int(sides[0]), int(sides[1]))


def _regions(rng: np.random.Generator, labels: Planes, sampling: Sampling) -> list[_Region]:
    """Cut every plane of a stack alike, or with a drift: of the scene, or of who follows it."""
    region = _region(rng, labels[0], sampling)
    speed = rng.exponential(0.03) if rng.random() < 0.5 else 0.0
    sides = np.array([region.height, region.width])
    steps = rng.normal(0, speed, (len(labels), 2)) * sides
    steps[0] = 0
    corners = np.array([region.top, region.left]) + np.cumsum(steps, axis=0)
    corners = np.clip(corners, 0, np.array(labels.shape[1:]) - sides).astype(int)
    return [region._replace(top=int(top), left=int(left)) for top, left in corners]


def _resize_labels(labels: Planes, regions: list[_Region], size: int) -> Planes:
    return np.stack(
        [
            plane[
                (top + ((np.arange(size) + 0.5) * height / size).astype(int))[:, None],
                left + ((np.arange(size) + 0.5) * width / size).astype(int),
            ]
            for plane, (top, left, height, width) in zip(labels, regions, strict=True)
        ]
    )


def _outside(labels: Planes, region: _Region, size: int) -> Tensor:
    """Area of every label that the region leaves out, in cells of the network's input."""
    top, left, height, width = region
    inside = labels[top : top + height, left : left + width]
    whole, seen = (np.bincount(part.ravel(), minlength=256) for part in (labels, inside))
    cells = (whole - seen) * (size / 4) ** 2 / (height * width)
    return torch.from_numpy(cells.astype(np.float32))


def _resize_images(images: Planes, regions: list[_Region], size: int) -> Tensor:
    windows = np.stack(
        [
            plane[top : top + height, left : left + width]
            for plane, (top, left, height, width) in zip(images, regions, strict=True)
        ]
    )
    pixels = torch.from_numpy(windows).permute(0, 3, 1, 2).float() / 255
    if windows.shape[1:3] == (size, size):
        return pixels
    return functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)


def _choose(
    rng: np.random.Generator, labels: Planes, sampling: Sampling
) -> NDArray[np.intp] | None:
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    candidates = np.flatnonzero(areas >= sampling.least_share * labels.size)
    if candidates.size == 0:
        return None
    chance = np.sqrt(areas[candidates])
    few = candidates.size < sampling.objects
    return rng.choice(candidates, sampling.objects, replace=few, p=chance / chance.sum())


def _prompt(
    rng: np.random.Generator, mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pick a pixel of the object and its jittered box, both in (x, y)."""
    rows, columns = np.nonzero(mask)
    pick = rng.integers(rows.size)
    box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)
    extent = np.tile(box[2:] - box[:2], 2)
    padding = rng.choice([0.0, 0.05, rng.uniform(0, 0.1)])
    box += padding * extent * np.array([-1, -1, 1, 1])
    box += rng.normal(0, 0.02, 4) * extent
    return np.array([columns[pick], rows[pick]], float), np.clip(box, 0, mask.shape[0])


def _targets(labels: Planes, chosen: NDArray[np.intp]) -> Tensor:
    """Area fraction of each object in cells of 4 x 4 pixels, (objects, planes, rows, columns)."""
    planes, size, _ = labels.shape
    cells = labels.reshape(1, planes, size // 4, 4, size // 4, 4)
    masks = cells == chosen.astype(np.uint8).reshape(-1, 1, 1, 1, 1, 1)
    return torch.from_numpy(masks.sum((3, 5), dtype=np.uint8)).float() / 16


def _vary(rng: np.random.Generator, pixels: Tensor) -> Tensor:
    """Change contrast, gamma, polarity, colour and noise, alike for all planes of a stack."""
    if rng.random() < 0.5:
        pixels = pixels.clamp(0, 1) ** float(np.exp(rng.normal(0, 0.25)))
    if rng.random() < 0.5:
        low, high = rng.uniform(-0.15, 0.2), rng.uniform(0.7, 1.2)
        pixels = low + (high - low) * pixels
    if rng.random() < 0.15:
        pixels = 1 - pixels
    if rng.random() < 0.2:
        pixels = pixels[:, torch.from_numpy(rng.permutation(3))]
    if rng.random() < 0.2:
        noise = rng.standard_normal(pixels.shape, dtype=np.float32)
        pixels = pixels + float(rng.uniform(0, 0.05)) * torch.from_numpy(noise)
    return pixels.clamp(0, 1)
