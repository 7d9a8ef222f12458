"""From logits to the mask that is written: threshold, smoothing, holes, parts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import OptionsError
from napari_anysam.segmentation.candidates import NEVER
from napari_anysam.segmentation.derived_prompts import MOST_PADDING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_anysam.segmentation.prompts import Point

__all__ = ["MaskOptions", "shape_logits", "shape_mask"]

_TOUCHING = np.ones((3, 3), int)
"""Pixels that touch at a corner are one part, so that thin diagonal things stay whole."""


@dataclass(frozen=True, slots=True)
class MaskOptions:
    """How logits become a mask, and boxes reach the network.

    Parameters
    ----------
    threshold : float
        Pixels with logits above it are inside.
    smallest_area : int
        Parts of fewer pixels are dropped.
    fill_holes : int
        Holes of up to so many pixels are filled.
    smoothing : float
        Radius in pixels below which outlines are smoothed; 0 leaves them as they are.
    largest_component : bool
        Keep only the parts that hold a positive point, or else the largest one.
    box_padding : float
        Boxes grow by this part of their side at each end before they reach the network, 0 to 0.1.

    Raises
    ------
    OptionsError
        If a value is out of its range.
    """

    threshold: float = 0.0
    smallest_area: int = 0
    fill_holes: int = 0
    smoothing: float = 0.0
    largest_component: bool = False
    box_padding: float = 0.0

    def __post_init__(self) -> None:
        """Check every value."""
        if not np.isfinite(self.threshold) or self.threshold <= NEVER:
            raise OptionsError(
                f"The threshold is {self.threshold}; give a finite logit, such as 0."
            )
        _check_count("smallest area", self.smallest_area)
        _check_count("area of holes to fill", self.fill_holes)
        if not np.isfinite(self.smoothing) or self.smoothing < 0:
            raise OptionsError(f"The smoothing is {self.smoothing}; give a radius of 0 or more.")
        if not 0 <= self.box_padding <= MOST_PADDING:
            raise OptionsError(
                f"The box padding is {self.box_padding}; use 0 to {MOST_PADDING} (10 %)."
            )

    def thinned(self, step: int) -> MaskOptions:
        """Return what means the same where only every step-th row and column is there."""
        return replace(
            self,
            smallest_area=int(self.smallest_area) // step**2,
            fill_holes=int(self.fill_holes) // step**2,
            smoothing=self.smoothing / step,
        )


def shape_mask(
    logits: NDArray[np.float32], options: MaskOptions, points: Iterable[Point] = ()
) -> NDArray[np.bool_]:
    """Turn logits into a mask: smoothed, cut at the threshold, holes filled, parts chosen.

    Smoothing is a Gaussian on the logits, cut to one above and below the threshold. A binary
    opening would delete everything thinner than twice its radius; the Gaussian, of half the radius,
    keeps what is wider than about two thirds of it. The cut keeps a background that is surer of
    itself than a thin object from swallowing it.

    Parameters
    ----------
    logits : float array (h, w)
        Positive is inside. Where they are `candidates.NEVER`, outside a lasso, no option puts a
        pixel inside.
    options : MaskOptions
        What to do.
    points : iterable of (y, x)
        Positive points in pixels of the window, for ``largest_component``.

    Returns
    -------
    bool array (h, w)
    """
    return _shaped(logits, _smoothed(logits, options), options, points)


def shape_logits(
    logits: NDArray[np.float32], options: MaskOptions, points: Iterable[Point] = ()
) -> NDArray[np.float32]:
    """Return logits that are positive where ``shape_mask`` puts pixels, to be interpolated.

    What an option adds or takes away keeps its distance from the threshold, on the other side. The
    parameters are those of ``shape_mask``.
    """
    over = _smoothed(logits, options)
    mask = _shaped(logits, over, options, points)
    distance = np.abs(over)
    inside = np.maximum(distance, np.finfo(np.float32).tiny)
    return np.where(mask, inside, -distance)


def _shaped(
    logits: NDArray[np.float32],
    over: NDArray[np.float32],
    options: MaskOptions,
    points: Iterable[Point],
) -> NDArray[np.bool_]:
    """Return the mask of logits, given how far they are over the threshold."""
    mask = over > 0
    if options.fill_holes:
        mask |= _small_holes(mask, options.fill_holes)
    mask &= logits > NEVER
    if options.largest_component or options.smallest_area > 1:
        mask = _chosen_parts(mask, options, points)
    return mask


def _smoothed(logits: NDArray[np.float32], options: MaskOptions) -> NDArray[np.float32]:
    """Return the logits over the threshold, smoothed."""
    over = logits - np.float32(options.threshold)
    if not options.smoothing:
        return over
    from scipy import ndimage

    smooth: NDArray[np.float32] = ndimage.gaussian_filter(
        over.clip(-1, 1), options.smoothing / 2, mode="nearest"
    )
    return smooth


def _small_holes(mask: NDArray[np.bool_], most: int) -> NDArray[np.bool_]:
    """Return the holes of up to so many pixels; what touches the window's border is none."""
    from scipy import ndimage

    holes, count = ndimage.label(~mask)
    small = np.bincount(holes.ravel(), minlength=count + 1) <= most
    small[0] = False
    for edge in (holes[0], holes[-1], holes[:, 0], holes[:, -1]):
        small[edge] = False
    return np.asarray(small[holes])


def _chosen_parts(
    mask: NDArray[np.bool_], options: MaskOptions, points: Iterable[Point]
) -> NDArray[np.bool_]:
    from scipy import ndimage

    parts, count = ndimage.label(mask, _TOUCHING)
    areas = np.bincount(parts.ravel(), minlength=count + 1)
    areas[0] = 0
    keep = areas >= max(1, options.smallest_area)
    if options.largest_component and count:
        pointed = _parts_at(parts, points)
        keep &= np.isin(np.arange(count + 1), pointed or [int(areas.argmax())])
    return np.asarray(keep[parts])


def _parts_at(parts: NDArray[np.int32], points: Iterable[Point]) -> list[int]:
    """Return the parts that hold a point; points beyond the window hold none."""
    found = []
    for point in points:
        row, column = (int(np.floor(value + 0.5)) for value in point)
        if 0 <= row < parts.shape[0] and 0 <= column < parts.shape[1] and parts[row, column]:
            found.append(int(parts[row, column]))
    return found


def _check_count(name: str, value: Any) -> None:
    if value < 0 or not float(value).is_integer():
        raise OptionsError(f"The {name} is {value}; give a whole number of pixels, 0 or more.")
