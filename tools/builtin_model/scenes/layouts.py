"""Where the objects of a scene lie: label stacks without any appearance.

Every layout has shape (planes, rows, columns). Along the planes the objects are either cut at
rising depth or move with time, so a single image is simply a stack of one plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from scenes.noise import smooth_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Shape = tuple[int, int, int]
    Labels = NDArray[np.uint8]

MAXIMUM_OBJECTS = 250
ANGLES = 128


class Layout(NamedTuple):
    """Where everything lies, all (planes, rows, columns).

    Attributes
    ----------
    labels
        The objects, as one would outline them.
    tissue
        Classes of what is not an object.
    bodies
        What is seen, with the same ids: it may fill less or more than the outlines.
    """

    labels: Labels
    tissue: Labels
    bodies: Labels


@dataclass(frozen=True, slots=True)
class BlobStyle:
    """How the blobs of one scene look; ranges are (low, high).

    Attributes
    ----------
    radius
        Fractions of the plane's width; the scene draws its own typical radius from it.
    elongation
        Long over short axis.
    roughness
        Amplitude of the outline's harmonics, as a fraction of the radius.
    spacing
        Least centre distance as a fraction of the sum of two radii: below 1 the blobs touch.
    spread
        Standard deviation of the radii's logarithm.
    fill
        Chance that the scene is packed rather than sparse.
    hollow
        Chance that some blobs hold a smaller blob that is an object of its own.
    spikes
        Number of thin processes; the outline runs inwards between them.
    """

    radius: tuple[float, float] = (0.03, 0.3)
    elongation: tuple[float, float] = (1.0, 1.6)
    roughness: tuple[float, float] = (0.0, 0.12)
    spacing: tuple[float, float] = (0.8, 1.3)
    spread: float = 0.25
    fill: float = 0.5
    hollow: float = 0.0
    spikes: tuple[int, int] = (0, 0)


TRUNK = BlobStyle(elongation=(1.0, 1.4), roughness=(0.0, 0.06))


class _Path(NamedTuple):
    """One blob along the planes: centre (planes, 2), relative size (planes,), angle (planes,)."""

    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    angle: NDArray[np.float64]


class _Outline(NamedTuple):
    """Radius in pixels, elongation, and factors on the radius at equal steps of the angle."""

    radius: float
    elongation: float
    profile: NDArray[np.float64]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _outline(rng: np.random.Generator, radius: float, style: BlobStyle) -> _Outline:
    angle = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)
    order = np.arange(2, 7)[:, None]
    amplitude = rng.uniform(*style.roughness) * 2.0 / order
    profile = 1 + np.sum(
        amplitude * rng.standard_normal(order.shape) * np.cos(order * angle)
        + amplitude * rng.standard_normal(order.shape) * np.sin(order * angle),
        axis=0,
    )
    count = int(rng.integers(style.spikes[0], style.spikes[1] + 1))
    if count:
        profile = profile * _spikes(rng, angle, count)
    return _Outline(radius, rng.uniform(*style.elongation), np.maximum(profile, 0.2))


def _spikes(
    rng: np.random.Generator, angle: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Draw factors of the radius that rise steeply towards a few directions."""
    at = np.arange(count) * 2 * np.pi / count + rng.normal(0, 0.7 / count, count)
    distance = np.abs((angle[:, None] - at + np.pi) % (2 * np.pi) - np.pi)
    height = rng.uniform(0.3, 1.6, count)
    return rng.uniform(0.5, 0.9) + np.max(height * np.exp(-distance * rng.uniform(2, 7)), axis=1)


def _path(
    rng: np.random.Generator, centre: NDArray[np.float64], radius: float, planes: int, depth: bool
) -> _Path:
    """Follow one blob through z (`depth`) or through time."""
    steps = np.arange(planes) - rng.integers(planes)
    speed = rng.uniform(0.0, 0.12 if depth else 0.4) * radius
    heading = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.sin(heading), np.cos(heading)])
    wander = np.cumsum(rng.standard_normal((planes, 2)), axis=0) * speed * 0.3
    size = 1 + 0.04 * np.cumsum(rng.standard_normal(planes)) * (planes > 1)
    if depth and planes > 1:
        step = rng.uniform(0.05, 0.35)
        size = np.sqrt(np.clip(1 - (steps * step + rng.uniform(-0.3, 0.3)) ** 2, 0, None))
        size[size < 0.3] = 0
    elif planes > 1 and rng.random() < 0.15:
        gone = rng.integers(1, planes)
        size[gone : gone + rng.integers(1, planes + 1)] = 0
    angle = rng.uniform(0, np.pi) + steps * rng.normal(0, 0.03 if depth else 0.12)
    return _Path(centre + steps[:, None] * direction * speed + wander, size, angle)


def _draw_blob(
    plane: Labels, label: int, outline: _Outline, centre: NDArray[np.float64], size: float,
    angle: float, over: bool,
) -> None:  # fmt: skip
    """Paint one blob into one plane; without `over` only where nothing is yet."""
    radius = outline.radius * size
    if radius < 1:
        return
    reach = radius * np.sqrt(outline.elongation) * outline.profile.max() + 1
    low = np.clip(np.floor(centre - reach).astype(int), 0, plane.shape)
    high = np.clip(np.ceil(centre + reach).astype(int) + 1, 0, plane.shape)
    if np.any(low >= high):
        return
    rows, columns = np.ogrid[low[0] : high[0], low[1] : high[1]]
    y, x = rows - centre[0], columns - centre[1]
    stretch = np.sqrt(outline.elongation)
    along = (x * np.cos(angle) + y * np.sin(angle)) / stretch
    across = (y * np.cos(angle) - x * np.sin(angle)) * stretch
    theta = np.arctan2(across, along)
    limit = radius * np.interp(
        theta, np.linspace(0, 2 * np.pi, ANGLES, endpoint=False), outline.profile, period=2 * np.pi
    )
    window = plane[low[0] : high[0], low[1] : high[1]]
    inside = along**2 + across**2 < limit**2
    if not over:
        inside &= window == 0
    window[inside] = label


def _scatter(
    rng: np.random.Generator, shape: Shape, style: BlobStyle
) -> list[tuple[NDArray[np.float64], float]]:
    """Throw centres with radii until the plane is as full as the style wants."""
    typical = _log_uniform(rng, *style.radius) * shape[1]
    spacing = rng.uniform(*style.spacing)
    packed = rng.random() < style.fill
    share = 1.0 if packed else rng.uniform(0.15, 0.6)
    wanted = int(np.clip(share * shape[1] * shape[2] / (3.3 * typical**2), 1, MAXIMUM_OBJECTS // 2))
    centres = np.empty((0, 2))
    radii = np.empty(0)
    for _ in range(wanted * (12 if packed else 4)):
        radius = typical * np.exp(style.spread * rng.standard_normal())
        centre = rng.uniform(-0.05, 1.05, 2) * shape[1:]
        distance = np.hypot(*(centres - centre).T)
        if np.all(distance > spacing * (radii + radius)):
            centres = np.vstack([centres, centre])
            radii = np.append(radii, radius)
        if len(radii) >= wanted:
            break
    return list(zip(centres, radii.tolist(), strict=True))


def blobs(rng: np.random.Generator, shape: Shape, style: BlobStyle) -> Layout:
    """Lay out separate, touching or packed blobs; in time some divide."""
    labels = np.zeros(shape, np.uint8)
    depth, over = rng.random() < 0.5, rng.random() < 0.3
    hollow = rng.random() < style.hollow
    label = 0
    for centre, radius in _scatter(rng, shape, style):
        label += 1
        outline = _outline(rng, radius, style)
        path = _path(rng, centre, radius, shape[0], depth)
        divides = shape[0] > 1 and rng.random() < 0.06
        for part in _divided(rng, path, radius) if divides else (path,):
            _draw_path(labels, label, outline, part, over=over)
        if hollow and rng.random() < 0.6:
            label += 1
            inner = outline._replace(radius=radius * rng.uniform(0.3, 0.6))
            _draw_path(labels, label, inner, path, over=True)
    bodies = labels if rng.random() < 0.75 else _shrunken(rng, labels)
    return Layout(labels, _tissue(rng, shape), bodies)


def _divided(rng: np.random.Generator, path: _Path, radius: float) -> tuple[_Path, _Path]:
    """Let a blob fall into two halves that drift apart and stay one object."""
    steps = np.arange(len(path.size)) - rng.integers(1, len(path.size))
    heading = rng.uniform(0, 2 * np.pi)
    away = np.clip(steps, 0, None)[:, None] * np.array([np.sin(heading), np.cos(heading)])
    away = away * rng.uniform(0.2, 0.6) * radius
    size = np.where(steps >= 0, 0.75, 1.0) * path.size
    return (
        path._replace(centre=path.centre + away, size=size),
        path._replace(centre=path.centre - away, size=size),
    )


def _shrunken(rng: np.random.Generator, labels: Labels) -> Labels:
    """Take a rim away from what is seen: people outline generously, blur and halo included."""
    part = rng.uniform(0.02, 0.12)
    bodies = labels.copy()
    for plane, body in zip(labels, bodies, strict=True):
        sizes = np.sqrt(np.bincount(plane.ravel(), minlength=256) / np.pi)
        depth = ndimage.distance_transform_edt(~borders(plane, 1)) * (plane > 0)
        body[depth < np.minimum(part * sizes, 4.0)[plane]] = 0
    return bodies


def _draw_path(labels: Labels, label: int, outline: _Outline, path: _Path, *, over: bool) -> None:
    for plane, centre, size, angle in zip(labels, path.centre, path.size, path.angle, strict=True):
        _draw_blob(plane, label, outline, centre, size, angle, over)


def _tissue(rng: np.random.Generator, shape: Shape) -> Labels:
    """Cut smooth noise into one to four classes of unlabelled surroundings."""
    classes = int(rng.integers(1, 5))
    if classes == 1:
        return np.zeros(shape, np.uint8)
    field = smooth_noise(rng, shape, _log_uniform(rng, 20, 120))
    return np.digitize(field, np.sort(rng.uniform(-1, 1, classes - 1))).astype(np.uint8)


def packed_cells(rng: np.random.Generator, shape: Shape, merge: float = 0.0) -> Layout:
    """Lay out a tissue of cells that fill the plane.

    Parameters
    ----------
    rng, shape
        Source of randomness; (planes, rows, columns).
    merge
        Chance that a cell joins its neighbour, which makes long and bent cells.
    """
    spacing = _log_uniform(rng, 0.07, 0.6) * shape[1]
    seeds = _cell_seeds(rng, shape, spacing)
    bodies = _joined(rng, seeds, merge)[_nearest_seed(rng, shape, seeds, spacing)]
    gap = int(rng.integers(0, max(2, min(6, spacing / 8)))) if rng.random() < 0.5 else 0
    keep = rng.uniform(size=256) < rng.choice([1.0, 1.0, 0.85, 0.5])
    keep[0] = False
    labels = np.where(keep[bodies], bodies, 0)
    for plane in labels:
        plane[borders(plane, gap)] = 0
    return Layout(labels, _tissue(rng, shape), bodies)


def _joined(
    rng: np.random.Generator, seeds: NDArray[np.float64], chance: float
) -> NDArray[np.uint8]:
    """Give every seed (numbered from 1) an id; some take over their neighbour's."""
    ids = np.arange(len(seeds) + 1)
    if len(seeds) > 1:
        neighbours = cKDTree(seeds).query(seeds, k=min(4, len(seeds)))[1]
        for seed in np.flatnonzero(rng.random(len(seeds)) < chance):
            ids[seed + 1] = ids[rng.choice(neighbours[seed][1:]) + 1]
    return ids.astype(np.uint8)


def _cell_seeds(rng: np.random.Generator, shape: Shape, spacing: float) -> NDArray[np.float64]:
    """Jitter a hexagonal lattice in (depth, row, column)."""
    jitter = rng.uniform(0.1, 0.45)
    rows = np.arange(-0.5, shape[1] / spacing / 0.87 + 1) * spacing * 0.87
    columns = np.arange(-0.5, shape[2] / spacing + 1) * spacing
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1)
    grid[1::2, :, 1] += spacing / 2
    flat = grid.reshape(-1, 2)[:MAXIMUM_OBJECTS]
    flat = flat + rng.standard_normal(flat.shape) * jitter * spacing
    depth = rng.standard_normal((len(flat), 1)) * 0.35 * spacing
    return np.hstack([depth, flat])


def _nearest_seed(
    rng: np.random.Generator, shape: Shape, seeds: NDArray[np.float64], spacing: float
) -> NDArray[np.intp]:
    warp = rng.uniform(0, 0.2) * spacing
    cell = spacing * rng.choice([0.3, 0.5, 1.0])
    rows = np.arange(shape[1])[:, None] + warp * smooth_noise(rng, shape, cell)
    columns = np.arange(shape[2])[None] + warp * smooth_noise(rng, shape, cell)
    step = rng.uniform(0.03, 0.15) * spacing
    depth = (np.arange(shape[0]) - shape[0] / 2)[:, None, None] * step
    position = np.stack([np.broadcast_to(depth, rows.shape), rows, columns], -1)
    return cKDTree(seeds).query(position.reshape(-1, 3))[1].reshape(shape) + 1


def borders(plane: NDArray[np.integer], width: int) -> NDArray[np.bool_]:
    """Mark the pixels within about `width` / 2 of a change of label."""
    if width == 0:
        return np.zeros(plane.shape, bool)
    size = width + 1
    return ndimage.maximum_filter(plane, size) != ndimage.minimum_filter(plane, size)


def _still(shape: Shape) -> _Path:
    """Stay in the middle of all planes."""
    middle = np.array(shape[1:]) / 2
    return _Path(np.tile(middle, (shape[0], 1)), np.ones(shape[0]), np.zeros(shape[0]))


def organs(rng: np.random.Generator, shape: Shape) -> Layout:
    """Lay out a body with large organs: crescents around others, some with a cavity or a wall."""
    labels = np.zeros(shape, np.uint8)
    body = np.zeros(shape, np.uint8)
    outline = _outline(rng, rng.uniform(0.38, 0.65) * shape[1], TRUNK)
    _draw_path(body, 1, outline, _still(shape), over=True)
    style = BlobStyle(
        radius=(0.05, 0.25), elongation=(1.0, 2.5), roughness=(0.0, 0.2), spacing=(0.35, 1.1),
        spread=0.5, hollow=0.4,
    )  # fmt: skip
    label, over = 0, rng.random() < 0.5
    for centre, radius in _scatter(rng, shape, style):
        label += 1
        organ = _outline(rng, radius, style)
        path = _path(rng, centre, radius, shape[0], depth=True)
        _draw_path(labels, label, organ, path, over=over)
        if rng.random() < 0.25:
            label += 1
            inner = organ._replace(radius=radius * rng.uniform(0.35, 0.75))
            _draw_path(labels, label, inner, path, over=True)
    inside = body > 0
    surroundings = np.where(inside, 1 + _tissue(rng, shape), 0)
    labels = labels * inside
    return Layout(labels, surroundings.astype(np.uint8), labels)


def abdomen(rng: np.random.Generator, shape: Shape) -> Layout:
    """Lay out a body whose organs fill it, with fat between them, bones and vessels on top."""
    spacing = _log_uniform(rng, 0.1, 0.45) * shape[1]
    seeds = _cell_seeds(rng, shape, spacing)
    organs = _joined(rng, seeds, rng.uniform(0, 0.5))[_nearest_seed(rng, shape, seeds, spacing)]
    gap = int(rng.integers(0, 7))
    for plane in organs:
        plane[borders(plane, gap)] = 0
    label = int(organs.max())
    style = BlobStyle(radius=(0.015, 0.07), roughness=(0, 0.2), elongation=(1, 2.5), spread=0.4)
    for centre, radius in _scatter(rng, shape, style)[: int(rng.integers(1, 16))]:
        label += 1
        path = _path(rng, centre, radius, shape[0], depth=False)
        _draw_path(organs, label, _outline(rng, radius, style), path, over=True)
    body = np.zeros(shape, np.uint8)
    size = rng.uniform(0.35, 0.6) * shape[1] if rng.random() < 0.7 else 2.0 * shape[1]
    outline = _outline(rng, size, TRUNK)
    _draw_path(body, 1, outline, _still(shape), over=True)
    skin = outline._replace(radius=size * rng.uniform(0.75, 0.98))
    muscle = np.zeros(shape, np.uint8)
    _draw_path(muscle, 1, skin, _still(shape), over=True)
    organs[muscle == 0] = 0
    keep = rng.uniform(size=256) < rng.uniform(0.5, 1.0)
    keep[0] = False
    fat = body + np.where(muscle > 0, rng.integers(0, 2), 0)
    unnamed = np.where(keep[organs], 0, organs) % 3
    tissue = fat + np.where((organs > 0) & ~keep[organs], 2 + unnamed, 0)
    return Layout(np.where(keep[organs], organs, 0), tissue.astype(np.uint8), organs)


def overlapping_shapes(rng: np.random.Generator, shape: Shape) -> Layout:
    """Lay out large shapes in front of each other; an object is what remains visible of it."""
    labels = np.zeros(shape, np.uint8)
    for label in range(1, int(rng.integers(3, 14)) + 1):
        rough = BlobStyle(elongation=(1.0, 3.0), roughness=(0.0, 0.3))
        radius = _log_uniform(rng, 0.05, 0.35) * shape[1]
        outline = _outline(rng, radius, rough)
        path = _path(rng, rng.uniform(0, 1, 2) * shape[1:], radius, shape[0], depth=False)
        if rng.random() < 0.4:
            _draw_polygon(rng, labels, label, radius, path)
        else:
            _draw_path(labels, label, outline, path, over=True)
    return Layout(labels, _tissue(rng, shape), labels)


def _draw_polygon(
    rng: np.random.Generator, labels: Labels, label: int, radius: float, path: _Path
) -> None:
    """Paint a convex polygon, the intersection of three to eight half planes."""
    sides = int(rng.integers(3, 9))
    normals = np.linspace(0, 2 * np.pi, sides, endpoint=False) + rng.normal(0, 0.2, sides)
    reach = radius * rng.uniform(0.6, 1.1, sides)
    rows, columns = np.ogrid[: labels.shape[1], : labels.shape[2]]
    for plane, centre, size, angle in zip(labels, path.centre, path.size, path.angle, strict=True):
        inside = np.full(plane.shape, size > 0)
        for normal, limit in zip(normals + angle, reach * size, strict=True):
            y, x = rows - centre[0], columns - centre[1]
            inside &= y * np.sin(normal) + x * np.cos(normal) < limit
        plane[inside] = label


def tubes(rng: np.random.Generator, shape: Shape) -> Layout:
    """Lay out curved vessels or filaments of slowly changing course."""
    labels = np.zeros(shape, np.uint8)
    for label in range(1, int(rng.integers(2, 6)) + 1):
        width = _log_uniform(rng, 0.012, 0.05) * shape[1]
        course = _course(rng, shape)
        for plane, points in zip(labels, course, strict=True):
            path = np.ones(plane.shape, bool)
            keep = np.all((points >= 0) & (points < np.array(plane.shape)), axis=1)
            if not keep.any():
                continue
            path[tuple(points[keep].astype(int).T)] = False
            plane[ndimage.distance_transform_edt(path) < width] = label
    return Layout(labels, _tissue(rng, shape), labels)


def _course(rng: np.random.Generator, shape: Shape) -> NDArray[np.float64]:
    """Draw the points of a smooth random walk across every plane, (planes, points, 2)."""
    length = 3 * shape[1]
    bend = smooth_noise(rng, (shape[0], length, 1), rng.uniform(40, 120), plane_cell=8.0)[..., 0]
    heading = rng.uniform(0, 2 * np.pi) + rng.uniform(0.3, 1.2) * bend
    walk = np.cumsum(np.stack([np.sin(heading), np.cos(heading)], -1) * 0.7, axis=1)
    return walk - walk[:, length // 2, None] + rng.uniform(0.2, 0.8, 2) * shape[1:]
