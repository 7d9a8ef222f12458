"""A smooth gain along a stack, for series that bleach and volumes that grow dark with depth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_anysam.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_anysam.images.planes import Planes

__all__ = ["Follow", "measure_follow", "sample_planes"]

SAMPLED_PLANES = 16
SAMPLED_PIXELS = 2**20
LARGEST_THINNED = 2**28
"""Planes of more pixels are not walked through: a level or patches of them are looked at."""
_PATCHES = 16
_FLOOR = 5.0
_BRIGHT = (95.0, 99.9)
_LARGEST_GAIN = 32.0


@dataclass(frozen=True, slots=True)
class Follow:
    """How bright the planes of a stack are, compared with one of them; a small table.

    Parameters
    ----------
    positions : sequence of int
        Planes that were measured, ascending.
    factors : sequence of float
        Brightness above the floor at each of them; 1 is the brightness that the contrast window was
        made for. Between them the logarithm is interpolated, beyond them the last one holds.
    floor : float
        The value of no light, in the image's own units; it stays where it is.

    Raises
    ------
    ImageError
        If the table is empty, of unequal lengths or out of order, a factor is not positive, or the
        floor is not finite.
    """

    positions: tuple[int, ...]
    factors: tuple[float, ...]
    floor: float

    def __post_init__(self) -> None:
        """Bring the fields to plain values and check them."""
        object.__setattr__(self, "positions", tuple(int(value) for value in self.positions))
        object.__setattr__(self, "factors", tuple(float(value) for value in self.factors))
        object.__setattr__(self, "floor", float(self.floor))
        ascending = all(np.diff(self.positions) > 0)
        if not self.positions or len(self.positions) != len(self.factors) or not ascending:
            raise ImageError("Brightness along a stack needs one factor for each ascending plane.")
        if not (np.isfinite(self.factors).all() and min(self.factors) > 0):
            raise ImageError(f"The factors {self.factors} are not all positive numbers.")
        if not np.isfinite(self.floor):
            raise ImageError(f"The floor {self.floor:g} is not finite; give a finite number.")

    def factor(self, index: int) -> float:
        """Return how bright a plane is."""
        return float(np.exp(np.interp(index, self.positions, np.log(self.factors))))

    def window(self, window: tuple[float, float], index: int) -> tuple[float, float]:
        """Return the contrast window (low, high) that suits a plane."""
        factor = self.factor(index)
        low, high = (self.floor + (value - self.floor) * factor for value in window)
        return low, high

    def seen_from(self, reference: int) -> Follow:
        """Return the same, with a factor of 1 at another plane."""
        factor = self.factor(reference)
        return Follow(self.positions, tuple(one / factor for one in self.factors), self.floor)

    def to_dict(self) -> dict[str, Any]:
        """Describe it in plain values; ``from_dict`` takes them back."""
        return {
            "positions": list(self.positions),
            "factors": list(self.factors),
            "floor": self.floor,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make it from what ``to_dict`` gave."""
        return cls(tuple(values["positions"]), tuple(values["factors"]), values["floor"])


def measure_follow(planes: Planes, reference: int | None = None) -> tuple[Follow, ...]:
    """Measure the brightness of at most 16 evenly spaced planes.

    Parameters
    ----------
    planes : Planes
    reference : int, optional
        The plane that the contrast window was made for; the brightest if left out.

    Returns
    -------
    tuple of Follow
        One per channel; a single one for grey and for RGB, whose colours shall not change.
        Planes without a pixel above the floor are left out; where fewer than two remain, the factor
        is 1 everywhere.
    """
    sample = sample_planes(planes)
    count = 1 if planes.is_rgb else planes.channels or 1
    found = [
        _follow([(index, values.reshape(-1, count)[:, channel]) for index, values in sample])
        for channel in range(count)
    ]
    if reference is None:
        return tuple(found)
    return tuple(follow.seen_from(reference) for follow in found)


def sample_planes(planes: Planes) -> list[tuple[int, NDArray[Any]]]:
    """Read at most 16 evenly spaced planes, a million pixels in all; return them by index."""
    count = min(planes.count, SAMPLED_PLANES)
    indices = np.linspace(0, planes.count - 1, count).round().astype(int)
    height, width = planes.plane_shape
    step = max(1, int(np.ceil(np.sqrt(height * width * count / SAMPLED_PIXELS))))
    return [(int(index), _sampled(planes, int(index), step)) for index in indices]


def _sampled(planes: Planes, index: int, step: int) -> NDArray[Any]:
    """Return about every step-th pixel both ways, without reading a huge plane for them."""
    scale = max(scale for scale in planes.scales if scale <= step)
    height, width = planes.plane_shape
    if height * width <= LARGEST_THINNED * scale**2:
        every = slice(None, None, step // scale)
        return planes.read_window(index, every, every, scale)
    side = max(1, math.isqrt(height * width) // (step * _PATCHES))
    starts = [
        np.linspace(0, size - min(side, size), _PATCHES).astype(int) for size in (height, width)
    ]
    patches = [
        planes.read_window(index, slice(row, row + side), slice(column, column + side))
        for row in starts[0]
        for column in starts[1]
    ]
    return np.concatenate([patch.reshape(-1, *patch.shape[2:]) for patch in patches])


def _follow(sample: Sequence[tuple[int, NDArray[Any]]]) -> Follow:
    finite = [(index, _finite(values)) for index, values in sample]
    finite = [(index, values) for index, values in finite if values.size]
    floor = min((float(np.percentile(values, _FLOOR)) for _, values in finite), default=0.0)
    found = [(index, _bright(values) - floor) for index, values in finite]
    found = [(index, signal) for index, signal in found if signal > 0]
    if len(found) < 2:
        return Follow((0,), (1.0,), floor)
    positions, signals = zip(*found, strict=True)
    logarithms = _median_of_three(np.log(signals))
    factors = np.exp(logarithms - logarithms.max())
    return Follow(positions, tuple(np.maximum(factors, 1 / _LARGEST_GAIN)), floor)


def _finite(values: NDArray[Any]) -> NDArray[np.float64]:
    numbers = values.astype(np.float64)
    return numbers[np.isfinite(numbers)]


def _bright(values: NDArray[np.float64]) -> float:
    """Return the mean of the bright pixels, without the very brightest: those may be damage."""
    low, high = np.percentile(values, _BRIGHT)
    return float(values[(values >= low) & (values <= high)].mean())


def _median_of_three(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take out single planes that are unlike both their neighbours; the ends stay."""
    smooth = values.copy()
    if len(values) > 2:
        smooth[1:-1] = np.median([values[:-2], values[1:-1], values[2:]], axis=0)
    return smooth
