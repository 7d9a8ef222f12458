"""From pixels of any type to the 8-bit RGB that every network was trained on.

One ``Conditioning`` holds for a whole stack: planes that were scaled each by its own range would
flicker, and a tracker would follow the flicker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np

from napari_anysam.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_anysam.images.planes import Planes

__all__ = ["Conditioning", "Contrast", "Window", "resolve_conditioning"]

Window = tuple[float, float]
Contrast: TypeAlias = Literal["auto"] | Sequence[float] | Sequence[Window]

PERCENTILES = (0.5, 99.5)
SAMPLED_PLANES = 16
SAMPLED_PIXELS = 2**20
LARGEST_THINNED = 2**28
"""Planes of more pixels are not walked through: a level or patches of them are looked at."""
_PATCHES = 16
_BLOCK_PIXELS = 2**15
_MOST_CHANNELS = 3
# Windows stay this far inside float64, so that their width is finite.
_LARGEST = 1e300


@dataclass(frozen=True, slots=True)
class Conditioning:
    """How pixel values become 8-bit RGB; hashable, so it can be part of a cache key.

    Parameters
    ----------
    windows : sequence of (low, high)
        Values shown black and full, in the image's own units; one for all channels or one per
        channel. Where low equals high, values above become full and all others black.
    gamma : float
        Exponent of the normalised value, as in napari: below 1 brightens.

    Raises
    ------
    ImageError
        If a window is not finite or upside down, or gamma is not positive.
    """

    windows: tuple[Window, ...]
    gamma: float = 1.0

    def __post_init__(self) -> None:
        """Bring the fields to plain floats and check them."""
        object.__setattr__(self, "windows", tuple(_window(window) for window in self.windows))
        object.__setattr__(self, "gamma", float(self.gamma))
        if not self.windows:
            raise ImageError("There is no contrast window; give (low, high) or 'auto'.")
        if not (math.isfinite(self.gamma) and self.gamma > 0):
            raise ImageError(f"gamma is {self.gamma:g}; give a positive number, 1 changes nothing.")

    def apply(self, plane: NDArray[Any]) -> NDArray[np.uint8]:
        """Condition one plane, or a region of one.

        Parameters
        ----------
        plane : array (H, W) or (H, W, C)
            Bool, integers or floats, up to three channels.

        Returns
        -------
        uint8 array (H, W, 3)
            Grey is repeated. Two channels appear as napari shows them: the first in magenta, the
            second in green. NaN becomes the low end; infinities the end on their side. It may be
            the given array itself where nothing had to change.

        Raises
        ------
        ImageError
            If the plane has more than three channels, or another number than there are windows.
        """
        plane = np.asarray(plane)
        if plane.ndim not in (2, 3):
            raise ImageError(
                f"A plane has 2 dimensions or 3 with channels, not {plane.ndim}; slice it first."
            )
        channels = 1 if plane.ndim == 2 else plane.shape[2]
        check_channels(channels, self.windows)
        if channels == _MOST_CHANNELS and plane.dtype == np.uint8 and self._changes_nothing():
            return plane
        rgb = np.empty((*plane.shape[:2], 3), np.uint8)
        if channels == 1:
            rgb[..., 0] = rgb[..., 1] = rgb[..., 2] = self._channel(plane.reshape(rgb.shape[:2]), 0)
            return rgb
        for channel in range(channels):
            rgb[..., channel] = self._channel(plane[..., channel], channel)
        if channels == 2:
            rgb[..., 2] = rgb[..., 0]
        return rgb

    def to_dict(self) -> dict[str, Any]:
        """Describe it in plain values, for provenance; ``from_dict`` takes them back."""
        return {"windows": [list(window) for window in self.windows], "gamma": self.gamma}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make it from what ``to_dict`` gave."""
        return cls(windows=tuple(values["windows"]), gamma=values["gamma"])

    def _changes_nothing(self) -> bool:
        return self.gamma == 1.0 and all(window == (0.0, 255.0) for window in self.windows)

    def _channel(self, values: NDArray[Any], channel: int) -> NDArray[np.uint8]:
        low, high = self.windows[channel if len(self.windows) > 1 else 0]
        if values.dtype.kind in "bui" and values.dtype.itemsize <= 2:
            native = values.astype(values.dtype.newbyteorder("="), copy=False)
            table = _table(native.dtype, low, high, self.gamma)
            return np.take(table, native.view(f"u{native.dtype.itemsize}"), mode="clip")
        return _scaled(values, low, high, self.gamma)


def resolve_conditioning(
    planes: Planes, contrast: Contrast = "auto", gamma: float = 1.0
) -> Conditioning:
    """Decide once how all planes of an image are conditioned.

    Parameters
    ----------
    planes : Planes
        The image or stack.
    contrast : "auto", (low, high), or one pair per channel
        "auto" leaves coloured 8-bit RGB alone and takes the 0.5 and 99.5 percentiles of at most 16
        evenly spaced planes, channel by channel, for all else, also for grey saved as RGB.
    gamma : float
        Exponent of the normalised value.

    Raises
    ------
    ImageError
        If the image has more than three channels, no finite pixel where "auto" needs one, or
        ``contrast`` is none of these.
    """
    channels = planes.channels or 1
    if not isinstance(contrast, str):
        windows = _given_windows(contrast)
        check_channels(channels, windows)
        return Conditioning(windows, gamma)
    if contrast != "auto":
        raise ImageError(f"contrast is {contrast!r}; give 'auto', (low, high) or pairs.")
    check_channels(channels)
    if planes.is_rgb:
        return Conditioning(_rgb_windows(planes), gamma)
    if planes.dtype.kind == "b":
        return Conditioning(((0.0, 1.0),), gamma)
    return Conditioning(_sampled_windows(planes, channels), gamma)


def check_channels(channels: int, windows: Sequence[Window] | None = None) -> None:
    """Raise ImageError if so many channels cannot be shown as RGB, or do not fit the windows."""
    if channels > _MOST_CHANNELS:
        raise ImageError(
            f"The image has {channels} channels and a network sees at most three; slice it to the "
            "channels that show the objects first."
        )
    if windows is not None and len(windows) not in (1, channels):
        raise ImageError(
            f"There are {len(windows)} contrast windows for {channels} channels; give one for all "
            "or one per channel."
        )


def _window(window: Any) -> Window:
    try:
        low, high = (float(value) for value in window)
    except (TypeError, ValueError) as error:
        raise ImageError(f"The contrast {window!r} is not a (low, high) pair.") from error
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ImageError(f"The contrast ({low:g}, {high:g}) is not finite; give finite numbers.")
    if low > high:
        raise ImageError(f"The contrast ({low:g}, {high:g}) is upside down; give low, then high.")
    return low, high


def _given_windows(contrast: Any) -> tuple[Window, ...]:
    try:
        values = tuple(contrast)
    except TypeError as error:
        raise ImageError(
            f"contrast is {contrast!r}, which is none of 'auto', (low, high) and pairs; give one."
        ) from error
    if values and all(np.ndim(value) == 0 for value in values):
        return (_window(values),)
    return tuple(_window(value) for value in values)


def _rgb_windows(planes: Planes) -> tuple[Window, ...]:
    """Leave colours as they are; grey that was saved as RGB is stretched like any grey."""
    sample = np.concatenate([values.reshape(-1, 3) for values in _sampled_planes(planes)])
    grey = sample[:, 0]
    if (sample == grey[:, None]).all():
        window = _percentile_window(grey)
        if window is not None:
            return (window,)
    return ((0.0, 255.0),)


def _sampled_windows(planes: Planes, channels: int) -> tuple[Window, ...]:
    sample = [values.reshape(-1, channels) for values in _sampled_planes(planes)]
    found = [
        _percentile_window(np.concatenate([values[:, channel] for values in sample]))
        for channel in range(channels)
    ]
    windows = [window for window in found if window is not None]
    if not windows:
        raise ImageError(
            "The image has no finite pixel in the planes that were looked at; check the file, or "
            "give contrast=(low, high)."
        )
    return tuple((0.0, 1.0) if window is None else window for window in found)


def _sampled_planes(planes: Planes) -> list[NDArray[Any]]:
    count = min(planes.count, SAMPLED_PLANES)
    indices = np.linspace(0, planes.count - 1, count).round().astype(int)
    height, width = planes.plane_shape
    step = max(1, math.ceil(math.sqrt(height * width * count / SAMPLED_PIXELS)))
    return [_sampled(planes, int(index), step) for index in indices]


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


def _percentile_window(values: NDArray[Any]) -> Window | None:
    """Return the window of one channel's sample; None where nothing is finite."""
    values = values.astype(np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    np.clip(values, -_LARGEST, _LARGEST, out=values)
    low, high = (float(value) for value in np.percentile(values, PERCENTILES))
    if low == high:
        # Objects on less than a two-hundredth of the pixels must not vanish.
        low, high = float(values.min()), float(values.max())
    return low, high


@lru_cache(maxsize=32)
def _table(dtype: np.dtype[Any], low: float, high: float, gamma: float) -> NDArray[np.uint8]:
    """Condition every value that a type of up to 16 bits can hold, in the order of its bits."""
    bits = 8 * dtype.itemsize
    every = np.arange(2**bits, dtype=f"u{dtype.itemsize}")
    # Read as bool, bytes above 1 are undefined; none occurs in an image.
    signed = every.view(dtype) if dtype.kind == "i" else every
    table = _scaled(signed[None], low, high, gamma).reshape(-1)
    table.setflags(write=False)
    return table


def _scaled(values: NDArray[Any], low: float, high: float, gamma: float) -> NDArray[np.uint8]:
    """Scale (H, W) values, a few rows at a time: float64 exactness without a float64 plane."""
    height, width = values.shape
    scaled = np.empty((height, width), np.uint8)
    rows = max(1, _BLOCK_PIXELS // width)
    buffer = np.empty((min(rows, height), width), np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, height, rows):
            source = values[start : start + rows]
            block = buffer[: len(source)]
            if low == high:
                np.multiply(source > low, 255.0, out=block)
            else:
                np.subtract(source, low, out=block, dtype=np.float64, casting="same_kind")
                _normalise(block, high - low, gamma)
            scaled[start : start + rows] = block
    return scaled


def _normalise(block: NDArray[np.float64], width: float, gamma: float) -> None:
    """Bring distances above low to 0..255.5 in place; truncation then rounds to nearest."""
    block /= width
    # fmax, unlike maximum and clip, turns NaN into the low end.
    np.fmax(block, 0.0, out=block)
    if gamma != 1.0:
        np.power(block, gamma, out=block)
    block *= 255.0
    block += 0.5
    np.minimum(block, 255.5, out=block)
