"""Made-up microscopy with known truth: nuclei in a z-stack, and cells that move and divide in time.

Everything is drawn from one seed and needs no file. Objects are deformed ellipsoids with a texture
of their own, blurred by the optics, on an uneven background, with shot noise and read noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage as ndi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = [
    "STACK_SPACING",
    "synthetic_divisions",
    "synthetic_series",
    "synthetic_stack",
    "synthetic_volume_divisions",
]

# Size of a voxel of the stack along (z, y, x) in pixels of the plane.
STACK_SPACING = (3.0, 1.0, 1.0)

_OFFSET = 120.0  # grey values of the camera without light
_GAIN = 6.0  # grey values per photon
_READ_NOISE = 8.0
_HARMONICS = np.arange(2, 5)


@dataclass(slots=True, eq=False)
class _Cell:
    """One object: where it is, how large, how its outline is deformed.

    Parameters
    ----------
    centre : float array (2,) or (3,)
        (y, x) or (z, y, x) in pixels and planes.
    radii : float array (2,)
        Half axes in the plane, in pixels.
    angle : float
        Of the first half axis against the rows, in radians.
    height : float
        Half axis along z in planes; unused in 2D.
    waves, phases : float arrays (3,)
        Amplitude and phase of the outline's harmonics 2 to 4.
    brightness : float
        Photons per pixel before texture.
    grain : int array (2,)
        Where in the texture the cell's own piece lies.
    """

    centre: NDArray[np.float64]
    radii: NDArray[np.float64]
    angle: float
    height: float
    waves: NDArray[np.float64]
    phases: NDArray[np.float64]
    brightness: float
    grain: NDArray[np.int64]


def synthetic_stack(
    seed: int = 0, shape: tuple[int, int, int] = (32, 256, 256)
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Make a confocal z-stack of nuclei; a voxel measures ``STACK_SPACING``.

    Parameters
    ----------
    seed : int
        The same seed gives the same stack.
    shape : (Z, Y, X)
        Planes, rows and columns.

    Returns
    -------
    image : uint16 array (Z, Y, X)
    labels : uint16 array (Z, Y, X)
        1 to N, one number per nucleus; 0 is background.
    """
    rng = np.random.default_rng(seed)
    depth, height, width = shape
    cells = [_random_cell(rng, centre) for centre in _spread(rng, shape, STACK_SPACING, 40.0)]
    texture = _smooth_noise(rng, shape, (1.0, 3.0, 3.0))
    labels = np.zeros(shape, np.uint16)
    light = np.zeros(shape)
    for number, cell in enumerate(cells, start=1):
        for z in range(depth):
            scale = 1 - ((z - cell.centre[0]) / cell.height) ** 2
            if scale > 0:
                _draw(labels[z], light[z], cell, number, np.sqrt(scale), texture[z])
    labels = _renumbered(labels)
    # Light from deeper planes is scattered on its way, and the optics blur most along z.
    light *= np.exp(-0.5 * np.arange(depth) / max(depth, 1))[:, None, None]
    light = ndi.gaussian_filter(light, (0.8, 1.3, 1.3))
    light += _uneven(rng, (height, width)) * 12.0
    return _photographed(rng, light), labels


def synthetic_series(
    seed: int = 0, shape: tuple[int, int, int] = (24, 256, 256)
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Make a time series of moving cells, each with one label throughout.

    Parameters
    ----------
    seed : int
        The same seed gives the same series.
    shape : (T, Y, X)
        Time points, rows and columns.

    Returns
    -------
    image : uint16 array (T, Y, X)
    labels : uint16 array (T, Y, X)
        1 to N, one number per cell; 0 is background.
    """
    rng = np.random.default_rng(seed)
    count, height, width = shape
    plane = (height, width)
    cells = [_random_cell(rng, centre) for centre in _spread(rng, plane, (1.0, 1.0), 52.0)]
    velocity = rng.normal(0, 2.0, (len(cells), 2))
    texture = _smooth_noise(rng, (512, 512), (3.0, 3.0))
    uneven = _uneven(rng, plane) * 12.0
    labels = np.zeros(shape, np.uint16)
    light = np.zeros(shape)
    for t in range(count):
        for number, cell in enumerate(cells, start=1):
            _draw(labels[t], light[t], cell, number, 1.0, _carried(texture, cell, plane))
        light[t] = ndi.gaussian_filter(light[t], 1.3) + uneven
        _move(rng, cells, velocity, plane)
    return _photographed(rng, light), _renumbered(labels)


def synthetic_divisions(
    seed: int = 0, shape: tuple[int, int, int] = (24, 256, 256), divisions: int = 3
) -> tuple[NDArray[np.uint16], NDArray[np.uint16], dict[int, int]]:
    """Make a time series of moving cells, some of which divide.

    Parameters
    ----------
    seed : int
        The same seed gives the same series.
    shape : (T, Y, X)
        Time points, rows and columns.
    divisions : int
        How many of the cells that are there from the start divide, if there are so many; evenly
        spread between a quarter and three quarters of the series.

    Returns
    -------
    image : uint16 array (T, Y, X)
    labels : uint16 array (T, Y, X)
        1 to N; a cell's number ends when it divides, and its daughters have numbers of their own.
    parents : dict
        Daughter to mother.
    """
    image, labels, parents = synthetic_volume_divisions(seed, (shape[0], 1, *shape[1:]), divisions)
    return image[:, 0], labels[:, 0], parents


def synthetic_volume_divisions(
    seed: int = 0, shape: tuple[int, int, int, int] = (12, 10, 192, 192), divisions: int = 2
) -> tuple[NDArray[np.uint16], NDArray[np.uint16], dict[int, int]]:
    """Make a time series of volumes of moving cells, some of which divide within their plane.

    A voxel measures ``STACK_SPACING``. Cells keep their depth, around the middle of the volume.

    Parameters
    ----------
    seed : int
        The same seed gives the same series.
    shape : (T, Z, Y, X)
        Time points, planes, rows and columns.
    divisions : int
        As in ``synthetic_divisions``.

    Returns
    -------
    image : uint16 array (T, Z, Y, X)
    labels : uint16 array (T, Z, Y, X)
        1 to N; a cell's number ends when it divides, and its daughters have numbers of their own.
    parents : dict
        Daughter to mother.
    """
    rng = np.random.default_rng(seed)
    count, depth, *rest = shape
    plane = (rest[0], rest[1])
    cells = [_random_cell(rng, centre) for centre in _spread(rng, plane, (1.0, 1.0), 70.0)]
    velocity = rng.normal(0, 1.0, (len(cells), 2))
    texture = _smooth_noise(rng, (512, 512), (3.0, 3.0))
    uneven = _uneven(rng, plane) * 12.0
    labels = np.zeros(shape, np.uint16)
    light = np.zeros(shape)
    parents: dict[int, int] = {}
    family = _dividing(rng, cells, velocity, plane, count, divisions, parents)
    for t, numbered in enumerate(family):
        for number, cell in numbered:
            for z in range(depth):
                scale = 1 - ((z - (depth - 1) / 2) / min(cell.height, depth / 2)) ** 2
                if scale > 0:
                    own = _carried(texture, cell, plane)
                    _draw(labels[t, z], light[t, z], cell, number, np.sqrt(scale), own)
        light[t] = ndi.gaussian_filter(light[t], (0.8, 1.3, 1.3)) + uneven
    return _photographed(rng, light), _renumbered(labels), _links_in(labels, parents)


def _dividing(
    rng: np.random.Generator,
    cells: list[_Cell],
    velocity: NDArray[np.float64],
    plane: tuple[int, int],
    count: int,
    divisions: int,
    parents: dict[int, int],
) -> Iterator[list[tuple[int, _Cell]]]:
    """Yield numbers and cells of every time point; links are added to ``parents``."""
    numbers = list(range(1, len(cells) + 1))
    due = np.linspace(count / 4, 3 * count / 4, min(divisions, len(cells))).astype(int).tolist()
    for t in range(count):
        for mother in [number for number, when in enumerate(due, start=1) if when == t]:
            place = numbers.index(mother)
            new = (max(numbers) + 1, max(numbers) + 2)
            parents |= dict.fromkeys(new, mother)
            numbers[place : place + 1] = new
            cells[place : place + 1] = _daughters(rng, cells[place])
            velocity = np.insert(velocity, place, velocity[place], axis=0)
        yield list(zip(numbers, cells, strict=True))
        _move(rng, cells, velocity, plane)


def _links_in(labels: NDArray[np.uint16], parents: dict[int, int]) -> dict[int, int]:
    """Return the links between cells that are seen, by their numbers without gaps."""
    present = np.unique(labels[labels > 0])
    return {
        int(np.searchsorted(present, child)) + 1: int(np.searchsorted(present, mother)) + 1
        for child, mother in parents.items()
        if child in present and mother in present
    }


def _daughters(rng: np.random.Generator, mother: _Cell) -> list[_Cell]:
    """Split a cell across its first half axis; its two halves just do not touch."""
    radius = 0.68 * float(np.sqrt(mother.radii.prod()))
    along = np.array([np.cos(mother.angle), np.sin(mother.angle)])
    found = []
    for side in (-1, 1):
        one = _random_cell(rng, mother.centre + side * 1.15 * radius * along)
        one.radii = np.full(2, radius)
        one.brightness = mother.brightness
        found.append(one)
    return found


def _random_cell(rng: np.random.Generator, centre: NDArray[np.float64]) -> _Cell:
    radius = rng.uniform(13, 20)
    stretch = rng.uniform(1.0, 1.35)
    return _Cell(
        centre=centre,
        radii=np.array([radius * stretch, radius / stretch]),
        angle=rng.uniform(0, np.pi),
        height=rng.uniform(0.8, 1.1) * radius / STACK_SPACING[0],
        waves=rng.uniform(0, 0.07, len(_HARMONICS)),
        phases=rng.uniform(0, 2 * np.pi, len(_HARMONICS)),
        brightness=rng.uniform(60, 160),
        grain=rng.integers(0, 1000, 2),
    )


def _spread(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    distance: float,
) -> list[NDArray[np.float64]]:
    """Draw centres that keep a distance, in pixels, from each other; the first lies central."""
    size = np.array(shape, dtype=float)
    centres = [(size - 1) / 2 + rng.uniform(-0.1, 0.1, len(shape)) * size]
    volume = np.prod(size * spacing)
    for _ in range(int(40 * volume / distance ** len(shape))):
        candidate = rng.uniform(0.04, 0.96, len(shape)) * (size - 1)
        gaps = [np.linalg.norm((candidate - other) * spacing) for other in centres]
        if min(gaps) > distance:
            centres.append(candidate)
    return centres


def _draw(
    labels: NDArray[np.uint16],
    light: NDArray[np.float64],
    cell: _Cell,
    number: int,
    scale: float,
    texture: NDArray[np.float64],
) -> None:
    """Draw one cell into a plane (Y, X), where no other cell is yet."""
    reach = int(np.ceil(1.3 * cell.radii.max() * scale)) + 1
    row, column = (round(float(value)) for value in cell.centre[-2:])
    window = (
        slice(max(row - reach, 0), max(row + reach + 1, 0)),
        slice(max(column - reach, 0), max(column + reach + 1, 0)),
    )
    rows, columns = np.ogrid[window]
    rows = rows[: labels.shape[0] - window[0].start]
    columns = columns[:, : labels.shape[1] - window[1].start]
    inside = _outline(cell, rows, columns, scale) & (labels[window] == 0)
    labels[window][inside] = number
    light[window][inside] += (cell.brightness * (1 + 0.35 * texture[window]))[inside]


def _outline(
    cell: _Cell, rows: NDArray[np.int64], columns: NDArray[np.int64], scale: float
) -> NDArray[np.bool_]:
    """Tell which pixels lie inside the deformed ellipse."""
    dy, dx = rows - cell.centre[-2], columns - cell.centre[-1]
    along = (dy * np.cos(cell.angle) + dx * np.sin(cell.angle)) / cell.radii[0]
    across = (dx * np.cos(cell.angle) - dy * np.sin(cell.angle)) / cell.radii[1]
    theta = np.arctan2(across, along)[..., None]
    waves = (cell.waves * np.cos(_HARMONICS * theta + cell.phases)).sum(-1)
    inside: NDArray[np.bool_] = np.hypot(along, across) < scale * (1 + waves)
    return inside


def _carried(
    texture: NDArray[np.float64], cell: _Cell, plane: tuple[int, int]
) -> NDArray[np.float64]:
    """Cut the texture so that it moves along with its cell, (Y, X)."""
    rows, columns = (
        (np.arange(length) - int(centre) + grain) % size
        for length, centre, grain, size in zip(
            plane, cell.centre, cell.grain, texture.shape, strict=True
        )
    )
    return texture[np.ix_(rows, columns)]


def _move(
    rng: np.random.Generator,
    cells: list[_Cell],
    velocity: NDArray[np.float64],
    plane: tuple[int, int],
) -> None:
    """Let every cell take a step: it wanders, turns, wobbles, gives way and stays in view."""
    centres = np.array([cell.centre for cell in cells])
    velocity += rng.normal(0, 0.5, velocity.shape)
    for index, cell in enumerate(cells):
        away = cell.centre - np.delete(centres, index, axis=0)
        gap = np.linalg.norm(away, axis=1, keepdims=True)
        push = (away / np.maximum(gap, 1e-6) * np.maximum(44 - gap, 0) * 0.15).sum(0)
        velocity[index] = np.clip(velocity[index] * 0.95 + push, -3.5, 3.5)
        new = cell.centre + velocity[index]
        outside = (new < 0.05 * np.array(plane)) | (new > 0.95 * np.array(plane))
        velocity[index][outside] *= -1
        cell.centre = np.where(outside, cell.centre, new)
        cell.angle += rng.normal(0, 0.04)
        cell.phases = cell.phases + rng.normal(0, 0.12, len(_HARMONICS))
        cell.radii = cell.radii * (1 + rng.normal(0, 0.008, 2))


def _smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], sigma: tuple[float, ...]
) -> NDArray[np.float64]:
    """Return noise of mean 0 and standard deviation 1 whose grains have the size sigma."""
    noise: NDArray[np.float64] = ndi.gaussian_filter(rng.normal(size=shape), sigma, mode="wrap")
    clipped: NDArray[np.float64] = np.clip(noise / (noise.std() + 1e-12), -2, 2)
    return clipped


def _uneven(rng: np.random.Generator, plane: tuple[int, int]) -> NDArray[np.float64]:
    """Return an illumination between 0.3 and 1.7: a slope and broad clouds."""
    rows = np.linspace(-1, 1, plane[0])[:, None]
    columns = np.linspace(-1, 1, plane[1])[None, :]
    slope = 0.4 * (rng.uniform(-1, 1) * rows + rng.uniform(-1, 1) * columns)
    clouds = 0.15 * _smooth_noise(rng, plane, (max(plane) / 8,) * 2)
    uneven: NDArray[np.float64] = np.clip(1 + slope + clouds, 0.3, 1.7)
    return uneven


def _photographed(rng: np.random.Generator, light: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Count photons, amplify them and add the camera's own noise."""
    counts = rng.poisson(np.maximum(light, 0)) * _GAIN
    grey = _OFFSET + counts + rng.normal(0, _READ_NOISE, light.shape)
    return np.clip(np.rint(grey), 0, 4095).astype(np.uint16)


def _renumbered(labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Close gaps in the numbers, left by cells that ended up hidden."""
    present = np.unique(labels)
    return np.searchsorted(present[present > 0], labels, side="right").astype(np.uint16)
