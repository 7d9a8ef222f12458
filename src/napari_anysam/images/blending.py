"""Several channels drawn over each other as napari draws its layers, in 8 bits.

The rules are napari's (napari/napari: napari/_vispy/utils/gl.py, ``BLENDING_MODES``, and
napari/_vispy/layers/base.py, ``_on_blending_change``), on a black canvas.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from napari_anysam.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Blending", "Paint", "blend"]

Blending = Literal["opaque", "translucent", "additive", "minimum", "multiplicative"]

_COLOUR = re.compile(r"#[0-9a-f]{6}")
# Few enough for the second cache of a core, enough to make the calls cheap.
_BLOCK_PIXELS = 2**16


@dataclass(frozen=True, slots=True)
class Paint:
    """How one channel is drawn over those below it.

    Parameters
    ----------
    colours : sequence of str
        "#rrggbb", evenly spaced from the low end of the contrast window to the high one; colours
        between them are mixed linearly.
    opacity : float
        0 to 1.
    blending : {"opaque", "translucent", "additive", "minimum", "multiplicative"}
        As napari means them: "opaque", "minimum" and "multiplicative" take no notice of opacity.

    Raises
    ------
    ImageError
        If a colour, the opacity or the blending is none of these.
    """

    colours: tuple[str, ...] = ("#000000", "#ffffff")
    opacity: float = 1.0
    blending: Blending = "additive"

    def __post_init__(self) -> None:
        """Bring the fields to plain values and check them."""
        object.__setattr__(self, "colours", tuple(colour.lower() for colour in self.colours))
        object.__setattr__(self, "opacity", float(self.opacity))
        if not self.colours or not all(_COLOUR.fullmatch(colour) for colour in self.colours):
            raise ImageError(f"The colours {self.colours} are not all of the form '#rrggbb'.")
        if not 0 <= self.opacity <= 1:
            raise ImageError(f"opacity is {self.opacity:g}; give a number from 0 to 1.")
        if self.blending not in get_args(Blending):
            raise ImageError(
                f"blending is {self.blending!r}; give one of {', '.join(get_args(Blending))}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Describe it in plain values; ``from_dict`` takes them back."""
        return {
            "colours": list(self.colours),
            "opacity": self.opacity,
            "blending": self.blending,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make it from what ``to_dict`` gave."""
        return cls(tuple(values["colours"]), values["opacity"], values["blending"])


def blend(
    channels: Sequence[NDArray[np.unsignedinteger[Any]]],
    tables: Sequence[NDArray[np.uint8]],
    paints: Sequence[Paint],
) -> NDArray[np.uint8]:
    """Draw channels over each other, the first at the bottom.

    Parameters
    ----------
    channels : sequence of unsigned integer arrays (H, W)
        Places in the channel's table.
    tables : sequence of uint8 arrays
        From each value of a channel to 0 (low end of its window) to 255 (high end).
    paints : sequence of Paint
        One per channel.

    Returns
    -------
    uint8 array (H, W, 3)
        Each channel is rounded to 8 bits, as it is on the screen.
    """
    height, width = channels[0].shape
    bottom_up = [
        _colour_table(paint, bottom=number == 0)[table]
        for number, (paint, table) in enumerate(zip(paints, tables, strict=True))
    ]
    picture = np.empty((height, width, 3), np.uint8)
    rows = max(1, _BLOCK_PIXELS // width)
    shape = (min(rows, height), width)
    places = np.empty(shape, np.intp)
    canvas, upper = np.empty(shape, np.uint32), np.empty(shape, np.uint32)
    for start in range(0, height, rows):
        count = min(rows, height - start)
        for number, values in enumerate(channels):
            drawn = canvas if number == 0 else upper
            places[:count] = values[start : start + rows]
            # The places are inside the table; "clip" only spares numpy a copy.
            np.take(bottom_up[number], places[:count], out=drawn[:count], mode="clip")
            if number:
                _draw(canvas[:count].view(np.uint8), upper[:count].view(np.uint8), paints[number])
        colours = canvas[:count].view(np.uint8).reshape(count, width, 4)
        picture[start : start + rows] = colours[..., :3]
    return picture


def _draw(canvas: NDArray[np.uint8], upper: NDArray[np.uint8], paint: Paint) -> None:
    """Draw over the canvas in place; ``upper`` is used up."""
    if paint.blending == "minimum":
        np.minimum(canvas, upper, out=canvas)
    elif paint.blending == "multiplicative":
        canvas[...] = (canvas.astype(np.uint16) * upper + 255) >> 8
    elif paint.blending == "additive":
        _add(canvas, upper)
    elif paint.blending == "opaque" or paint.opacity == 1:
        canvas[...] = upper
    else:
        seen_through = round(255 * (1 - paint.opacity))
        canvas[...] = (canvas.astype(np.uint16) * seen_through + 255) >> 8
        _add(canvas, upper)


def _add(canvas: NDArray[np.uint8], upper: NDArray[np.uint8]) -> None:
    """Add without passing white."""
    np.minimum(upper, ~canvas, out=upper)
    canvas += upper


@lru_cache(maxsize=32)
def _colour_table(paint: Paint, *, bottom: bool) -> NDArray[np.uint32]:
    """Return the 256 colours of a channel as four bytes each, the last of them empty."""
    stops = np.array([_rgb(colour) for colour in paint.colours], np.float64)
    where = np.linspace(0, 1, 256)
    at = np.linspace(0, 1, len(stops)) if len(stops) > 1 else np.zeros(1)
    colours = np.stack([np.interp(where, at, stops[:, part]) for part in range(3)], axis=-1)
    # With nothing below it, an opaque or multiplied layer is drawn as a translucent one.
    dimmed = paint.blending in ("additive", "translucent") or bottom
    if dimmed and paint.blending != "minimum":
        colours *= paint.opacity
    table = np.zeros((256, 4), np.uint8)
    table[:, :3] = np.floor(colours + 0.5)
    packed = table.view(np.uint32).reshape(256)
    packed.setflags(write=False)
    return packed


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))
