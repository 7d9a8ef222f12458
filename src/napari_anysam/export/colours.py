"""A colour for every id, the same in every file."""

from __future__ import annotations

import colorsys

__all__ = ["colour_of"]

# The golden ratio spreads the hues of consecutive ids as far as any number can.
_STEP = 0.618033988749895


def colour_of(object_id: int) -> tuple[int, int, int]:
    """Return red, green and blue (0 to 255) for an id; black for 0, the background."""
    if object_id == 0:
        return 0, 0, 0
    hue = object_id * _STEP % 1
    saturation = (0.9, 0.6)[object_id // 16 % 2]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)
