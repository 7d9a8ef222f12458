"""Planes of an image as 8-bit pictures, with the contrast that a network would see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.images.conditioning import resolve_conditioning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_anysam.images.conditioning import Contrast
    from napari_anysam.images.planes import Planes

__all__ = ["picture_reader", "save_png"]


def picture_reader(planes: Planes, contrast: Contrast) -> Callable[[int], NDArray[np.uint8]]:
    """Return a function from a plane's number to its picture, uint8 (H, W, 3).

    Raises
    ------
    ImageError
        If the image has more than three channels, or the contrast does not fit it.
    """
    conditioning = resolve_conditioning(planes, contrast)
    return lambda index: conditioning.at(index).apply(planes.read(index))


def save_png(path: Path, picture: NDArray[Any]) -> None:
    """Write an uint8 (H, W, 3 or 4) picture."""
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(picture)).save(path, format="PNG")
