"""Contrast windows that radiologists use.

CT windows as width and level in Hounsfield units, from Radiopaedia's "Windowing (CT)"
(https://radiopaedia.org/articles/windowing-ct); the abdomen as MedSAM was trained with it
(bowang-lab/MedSAM: pre_CT_MR.py, which names the same article). MR has no absolute scale: the
percentiles of what is not zero, as in the same file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_anysam.errors import ImageError
from napari_anysam.images.following import sample_planes

if TYPE_CHECKING:
    from napari_anysam.images.planes import Planes

__all__ = ["CT_WINDOWS", "CTWindow", "find_window", "mr_window"]

_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True, slots=True)
class CTWindow:
    """A contrast window for CT.

    Parameters
    ----------
    name : str
        What it shows.
    width, level : float
        Extent and middle, in Hounsfield units.
    """

    name: str
    width: float
    level: float

    @property
    def limits(self) -> tuple[float, float]:
        """(low, high) in Hounsfield units."""
        return self.level - self.width / 2, self.level + self.width / 2


CT_WINDOWS = (
    CTWindow("brain", 80, 40),
    CTWindow("stroke", 40, 40),
    CTWindow("soft tissue (head and neck)", 400, 40),
    CTWindow("lung", 1500, -600),
    CTWindow("mediastinum", 350, 50),
    CTWindow("abdomen", 400, 40),
    CTWindow("liver", 150, 30),
    CTWindow("soft tissue (spine)", 250, 50),
    CTWindow("bone", 1800, 400),
    CTWindow("temporal bone", 2800, 600),
)


def find_window(
    window: str | tuple[float, float], planes: Planes
) -> Literal["auto"] | tuple[float, float]:
    """Turn the name of a window into its limits.

    Parameters
    ----------
    window : str or (low, high)
        Name of a CT window, "mr", "auto", or limits.
    planes : Planes
        What is looked at for "mr".

    Raises
    ------
    ImageError
        If there is no window of this name.
    """
    if not isinstance(window, str):
        return window
    if window == "auto":
        return "auto"
    if window == "mr":
        return mr_window(planes)
    for known in CT_WINDOWS:
        if known.name == window:
            return known.limits
    names = ", ".join(known.name for known in CT_WINDOWS)
    raise ImageError(f"There is no window {window!r}; use auto, mr, {names}, or two limits.")


def mr_window(planes: Planes) -> tuple[float, float]:
    """Return the 0.5 and 99.5 percentiles of the pixels above zero, of at most 16 planes.

    Raises
    ------
    ImageError
        If no pixel is above zero.
    """
    values = np.concatenate([plane.ravel() for _, plane in sample_planes(planes)])
    values = values[np.isfinite(values) & (values > 0)].astype(np.float64)
    if not values.size:
        raise ImageError("The image has no pixel above zero; set its contrast limits by hand.")
    low, high = np.percentile(values, _PERCENTILES)
    return float(low), float(high)
