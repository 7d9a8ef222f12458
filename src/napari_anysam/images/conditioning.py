"""From pixels of any type to the 8-bit RGB that every network was trained on.

One ``Conditioning`` holds for a whole stack: planes that were scaled each by its own range would
flicker, and a tracker would follow the flicker. For series that bleach a gain that is smooth along
the stack can be a part of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np

from napari_anysam.errors import ImageError
from napari_anysam.images.blending import Paint, blend
from napari_anysam.images.following import Follow, measure_follow, sample_planes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_anysam.images.planes import Planes

__all__ = ["Conditioning", "Contrast", "Window", "resolve_conditioning"]

Window = tuple[float, float]
Contrast: TypeAlias = Literal["auto", "follow"] | Sequence[float] | Sequence[Window]

PERCENTILES = (0.5, 99.5)
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
    gamma : float or sequence of float
        Exponent of the normalised value, as in napari: below 1 brightens; one for all channels or
        one per channel.
    paints : sequence of Paint
        How channels are drawn over each other, one per channel from the bottom up; any number of
        channels. Without paints at most three channels become red, green and blue.
    follows : sequence of Follow
        How bright the planes of a stack are, one for all channels or one per channel; the windows
        follow.

    Raises
    ------
    ImageError
        If a window is not finite or upside down, gamma is not positive, or the numbers of windows,
        gammas, paints and follows do not agree.
    """

    windows: tuple[Window, ...]
    gamma: float | tuple[float, ...] = 1.0
    paints: tuple[Paint, ...] = ()
    follows: tuple[Follow, ...] = ()

    def __post_init__(self) -> None:
        """Bring the fields to plain floats and check them."""
        object.__setattr__(self, "windows", tuple(_window(window) for window in self.windows))
        object.__setattr__(self, "gamma", _plain_gamma(self.gamma))
        object.__setattr__(self, "paints", tuple(self.paints))
        object.__setattr__(self, "follows", tuple(self.follows))
        if not self.windows:
            raise ImageError("There is no contrast window; give (low, high) or 'auto'.")
        for gamma in self._gammas:
            if not (math.isfinite(gamma) and gamma > 0):
                raise ImageError(f"gamma is {gamma:g}; give a positive number, 1 changes nothing.")
        counts = {len(self.windows), len(self._gammas), len(self.paints), len(self.follows)}
        if len(counts - {0, 1}) > 1 or (self.paints and len(self.paints) < max(counts)):
            raise ImageError("Give one window, gamma, paint and gain for each channel.")

    @property
    def channels(self) -> int:
        """How many channels it is made for; 1 also stands for any number of them treated alike."""
        return max(len(self.windows), len(self._gammas), len(self.paints), len(self.follows))

    def at(self, index: int | None) -> Conditioning:
        """Return the conditioning of one plane of a stack, in which nothing is followed any more.

        Parameters
        ----------
        index : int or None
            The plane along the axis that ``follows`` was measured on; None where there is none.
        """
        if not self.follows:
            return self
        if index is None:
            return replace(self, follows=())
        count = max(len(self.windows), len(self.follows))
        pairs = zip(_each(self.windows, count), _each(self.follows, count), strict=True)
        windows = tuple(follow.window(window, index) for window, follow in pairs)
        return replace(self, windows=windows, follows=())

    def apply(self, plane: NDArray[Any]) -> NDArray[np.uint8]:
        """Condition one plane, or a region of one.

        Parameters
        ----------
        plane : array (H, W) or (H, W, C)
            Bool, integers or floats; up to three channels, with paints as many as there are.

        Returns
        -------
        uint8 array (H, W, 3)
            Grey is repeated. Two channels appear as napari shows them: the first in magenta, the
            second in green. NaN becomes the low end; infinities the end on their side. It may be
            the given array itself where nothing had to change.

        Raises
        ------
        ImageError
            If the plane has more than three channels, or another number than there are windows; or
            if its place in the stack matters: take ``at(index)`` first.
        """
        if self.follows:
            raise ImageError("The contrast follows the stack; take it at(index) of the plane.")
        plane = np.asarray(plane)
        if plane.ndim not in (2, 3):
            raise ImageError(
                f"A plane has 2 dimensions or 3 with channels, not {plane.ndim}; slice it first."
            )
        channels = 1 if plane.ndim == 2 else plane.shape[2]
        if self.paints:
            return self._blended(plane.reshape(*plane.shape[:2], channels))
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
        gamma = list(self.gamma) if isinstance(self.gamma, tuple) else self.gamma
        values: dict[str, Any] = {
            "windows": [list(window) for window in self.windows],
            "gamma": gamma,
        }
        if self.paints:
            values["paints"] = [paint.to_dict() for paint in self.paints]
        if self.follows:
            values["follows"] = [follow.to_dict() for follow in self.follows]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make it from what ``to_dict`` gave."""
        return cls(
            windows=tuple(values["windows"]),
            gamma=values["gamma"],
            paints=tuple(Paint.from_dict(paint) for paint in values.get("paints", ())),
            follows=tuple(Follow.from_dict(follow) for follow in values.get("follows", ())),
        )

    @property
    def _gammas(self) -> tuple[float, ...]:
        return self.gamma if isinstance(self.gamma, tuple) else (self.gamma,)

    def _changes_nothing(self) -> bool:
        return self.gamma == 1.0 and all(window == (0.0, 255.0) for window in self.windows)

    def _blended(self, plane: NDArray[Any]) -> NDArray[np.uint8]:
        if plane.shape[2] != len(self.paints):
            raise ImageError(
                f"The plane has {plane.shape[2]} channels, but the contrast is for "
                f"{len(self.paints)}; give one paint per channel."
            )
        places, tables = [], []
        for channel in range(plane.shape[2]):
            values = plane[..., channel]
            table = self._table(values.dtype, channel)
            if table is None:
                values, table = self._channel(values, channel), np.arange(256, dtype=np.uint8)
            places.append(_bits(values))
            tables.append(table)
        return blend(places, tables, self.paints)

    def _channel(self, values: NDArray[Any], channel: int) -> NDArray[np.uint8]:
        table = self._table(values.dtype, channel)
        if table is not None:
            return np.take(table, _bits(values), mode="clip")
        return _scaled(values, *self._window_and_gamma(channel))

    def _table(self, dtype: np.dtype[Any], channel: int) -> NDArray[np.uint8] | None:
        """Return what every value of a small type becomes; None for larger types."""
        if dtype.kind not in "bui" or dtype.itemsize > 2:
            return None
        return _table(dtype.newbyteorder("="), *self._window_and_gamma(channel))

    def _window_and_gamma(self, channel: int) -> tuple[float, float, float]:
        low, high = self.windows[channel if len(self.windows) > 1 else 0]
        return low, high, self._gammas[channel if len(self._gammas) > 1 else 0]


def resolve_conditioning(
    planes: Planes, contrast: Contrast = "auto", gamma: float = 1.0
) -> Conditioning:
    """Decide once how all planes of an image are conditioned.

    Parameters
    ----------
    planes : Planes
        The image or stack.
    contrast : "auto", "follow", (low, high), or one pair per channel
        "auto" leaves coloured 8-bit RGB alone and takes the 0.5 and 99.5 percentiles of at most 16
        evenly spaced planes, channel by channel, for all else, also for grey saved as RGB.
        "follow" does the same for the brightest plane and lets the windows follow the brightness of
        the others along the stack, smoothly.
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
    if contrast not in ("auto", "follow"):
        raise ImageError(f"contrast is {contrast!r}; give 'auto', 'follow', (low, high) or pairs.")
    check_channels(channels)
    if contrast == "follow" and planes.count > 1 and planes.dtype.kind != "b":
        return _following(planes, gamma)
    if planes.is_rgb:
        return Conditioning(_rgb_windows(planes), gamma)
    if planes.dtype.kind == "b":
        return Conditioning(((0.0, 1.0),), gamma)
    return Conditioning(_sampled_windows(sample_planes(planes), channels), gamma)


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
    sample = np.concatenate([values.reshape(-1, 3) for _, values in sample_planes(planes)])
    grey = sample[:, 0]
    if (sample == grey[:, None]).all():
        window = _percentile_window(grey)
        if window is not None:
            return (window,)
    return ((0.0, 255.0),)


def _sampled_windows(
    planes: Sequence[tuple[int, NDArray[Any]]], channels: int
) -> tuple[Window, ...]:
    sample = [values.reshape(-1, channels) for _, values in planes]
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


def _following(planes: Planes, gamma: float) -> Conditioning:
    """Take the windows of all planes, each brought to the brightness of the brightest."""
    follows = measure_follow(planes)
    if planes.is_rgb:
        return Conditioning(_rgb_windows(planes), gamma, follows=follows)
    channels = planes.channels or 1
    floors = np.array([follow.floor for follow in follows])
    level = []
    for index, values in sample_planes(planes):
        factors = np.array([follow.factor(index) for follow in follows])
        level.append((index, (values.reshape(-1, channels) - floors) / factors + floors))
    return Conditioning(_sampled_windows(level, channels), gamma, follows=follows)


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


def _plain_gamma(gamma: Any) -> float | tuple[float, ...]:
    """Return one float where one is enough."""
    if not np.ndim(gamma):
        return float(gamma)
    gammas = tuple(float(value) for value in gamma)
    return gammas[0] if len(set(gammas)) == 1 else gammas


def _each(values: Sequence[Any], count: int) -> Sequence[Any]:
    """Return one value per channel where one stands for all."""
    return values if len(values) == count else [values[0]] * count


def _bits(values: NDArray[Any]) -> NDArray[np.unsignedinteger[Any]]:
    """Read values of up to 16 bits as places in their table."""
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    bits: NDArray[np.unsignedinteger[Any]] = native.view(f"u{native.dtype.itemsize}")
    return bits


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
