"""Which part of a plane to encode for a prompt, and at which scale.

A network sees a square of fixed size, so an object that is small in its plane must be encoded from
a region around the prompt. A box tells the object's size, so one region a little larger than it
serves. A click does not: regions of growing size around it are all tried, and the answers are
compared (`interactive.py`). Regions snap to a grid of sizes and positions, so that neighbouring
prompts share an embedding; they always lie inside the plane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_anysam.segmentation.prompts import Box, Prompt

__all__ = [
    "Region",
    "RegionChoice",
    "box_region",
    "click_regions",
    "mask_in",
    "prompt_extent",
    "refining_region",
    "regions_for",
]

MARGIN = 1.35
"""A region's side over the longer side of the object's box, before it snaps to the grid."""

LIGHT_IMAGE_SIZE = 512
"""Networks up to this input side encode in milliseconds and may try several regions for a click."""

SMALLEST_PART = 32
"""A network with a large input sees objects of at least this part of it without a zoom."""

OTHER_SCALE = 1.6
"""A correction moves to a new region if the old one is larger by more than this factor."""

GRID_DIVISIONS = 8
"""Regions of one size start at multiples of this part of their side."""

HUGE = 4096
"""In a plane that is longer, the regions of a click end at what the user sees, or at this side."""

MOST_SCALES = 7
"""So many regions a click has in such a plane at most, the largest ones."""

COARSE_DIVISIONS = 2
"""The same where a network with a large input sees an object that is small in its region."""


Window = tuple[slice, slice]


@dataclass(frozen=True, slots=True, order=True)
class Region:
    """A half-open window of a plane, in level-0 pixels."""

    row: int
    column: int
    height: int
    width: int

    @classmethod
    def whole(cls, plane_shape: tuple[int, int]) -> Region:
        """Return the region that is the whole plane."""
        return cls(0, 0, *plane_shape)

    @property
    def slices(self) -> tuple[slice, slice]:
        """The index expression of the region in its plane."""
        return (
            slice(self.row, self.row + self.height),
            slice(self.column, self.column + self.width),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    def contains(self, y: float, x: float) -> bool:
        """Tell whether a point's pixel lies in the region; integers are pixel centres."""
        return (
            self.row - 0.5 <= y <= self.row + self.height - 0.5
            and self.column - 0.5 <= x <= self.column + self.width - 0.5
        )

    def contains_box(self, box: Box) -> bool:
        """Tell whether half-open pixel edges lie in the region."""
        y0, x0, y1, x1 = box
        return (
            self.row <= y0
            and self.column <= x0
            and y1 <= self.row + self.height
            and x1 <= self.column + self.width
        )

    def overlap(self, other: Region) -> tuple[Window, Window]:
        """Return what two regions share, as index expressions of this one and of the other."""
        top, left = max(self.row, other.row), max(self.column, other.column)
        bottom = max(top, min(self.row + self.height, other.row + other.height))
        right = max(left, min(self.column + self.width, other.column + other.width))
        return (
            (
                slice(top - self.row, bottom - self.row),
                slice(left - self.column, right - self.column),
            ),
            (
                slice(top - other.row, bottom - other.row),
                slice(left - other.column, right - other.column),
            ),
        )


RegionChoice = Literal["auto", "plane"] | Region


def regions_for(
    prompt: Prompt,
    plane_shape: tuple[int, int],
    image_size: int,
    choice: RegionChoice = "auto",
    view: Box | None = None,
) -> tuple[Region, ...]:
    """Choose the regions to encode for one prompt, smallest first.

    Parameters
    ----------
    prompt : Prompt
        In pixels of the plane.
    plane_shape : (H, W)
        Pixels of the plane.
    image_size : int
        Side of the network's square input.
    choice : {"auto", "plane"} or Region
        "auto" zooms to the object, "plane" takes the whole plane, a Region is taken as it is.
    view : (y0, x0, y1, x1), optional
        What the user sees of the plane; it says how large the object of a click in a huge plane
        may be.
    """
    if isinstance(choice, Region):
        return (choice,)
    if choice == "plane":
        return (Region.whole(plane_shape),)
    extent = prompt_extent(prompt)
    if any(kind is not None for kind in (prompt.box, prompt.mask, prompt.lasso)):
        return (box_region(extent, plane_shape, image_size),)
    if max(plane_shape) > HUGE:
        return _regions_in_huge_plane(extent, plane_shape, image_size, view)
    return click_regions(extent, plane_shape, image_size)


def prompt_extent(prompt: Prompt) -> Box:
    """Return the half-open box (y0, x0, y1, x1) around everything that the prompt names."""
    strokes = [vertex for scribble in prompt.scribbles for vertex in scribble.vertices]
    places = [*prompt.points, *strokes, *(prompt.lasso or ())]
    boxes = [(y - 0.5, x - 0.5, y + 0.5, x + 0.5) for y, x in places]
    if prompt.box is not None:
        boxes.append(prompt.box)
    if prompt.mask is not None:
        top, left = prompt.mask_origin or (0, 0)
        rows, columns = (np.flatnonzero(prompt.mask.any(axis=axis)) for axis in (1, 0))
        boxes.append((top + rows[0], left + columns[0], top + rows[-1] + 1, left + columns[-1] + 1))
    low = np.min(boxes, axis=0)
    high = np.max(boxes, axis=0)
    return float(low[0]), float(low[1]), float(high[2]), float(high[3])


def mask_in(prompt: Prompt, region: Region) -> NDArray[np.bool_]:
    """Return the mask of a prompt that has one in a region's window, (region.height, region.width).

    Parameters
    ----------
    prompt : Prompt
        In pixels of the plane.
    region : Region
        Of the same plane.
    """
    mask = np.asarray(prompt.mask)
    if prompt.mask_origin is None:
        return mask[region.slices]
    window = np.zeros(region.shape, bool)
    source, target = Region(*prompt.mask_origin, *mask.shape).overlap(region)
    window[target] = mask[source]
    return window


def box_region(extent: Box, plane_shape: tuple[int, int], image_size: int) -> Region:
    """Return the region around a box; of a network with a large input the plane may do as well."""
    y0, x0, y1, x1 = extent
    side = max(y1 - y0, x1 - x0)
    light = image_size <= LIGHT_IMAGE_SIZE
    longest = max(plane_shape)
    if not light and longest <= HUGE and side / longest >= 1 / SMALLEST_PART:
        return Region.whole(plane_shape)
    wanted = max(MARGIN * side, _smallest_side(image_size))
    # Where a region is far larger than the object, a coarse grid still holds it with its margin,
    # and all small objects of a plane share few regions: large networks take seconds for each.
    coarse = not light and MARGIN * side <= (1 - 1 / COARSE_DIVISIONS) * wanted
    divisions = COARSE_DIVISIONS if coarse else GRID_DIVISIONS
    return _snapped(extent, wanted, plane_shape, divisions)


def refining_region(
    region: Region, extent: Box, plane_shape: tuple[int, int], image_size: int
) -> Region:
    """Return the region for a correction: the same one, unless another scale suits far better.

    Parameters
    ----------
    region : Region
        In which the mask was found that is corrected.
    extent : (y0, x0, y1, x1)
        Half-open box around that mask and all prompts.
    plane_shape : (H, W)
        Pixels of the plane.
    image_size : int
        Side of the network's square input; a new region is worth it for light networks only.
    """
    fits = region.contains_box(extent)
    if fits and image_size > LIGHT_IMAGE_SIZE:
        return region
    wanted = box_region(extent, plane_shape, image_size)
    if fits and max(region.shape) <= OTHER_SCALE * max(wanted.shape):
        return region
    return wanted


def click_regions(extent: Box, plane_shape: tuple[int, int], image_size: int) -> tuple[Region, ...]:
    """Return regions of growing size around clicks, the last one the plane or close to it.

    A network with a large input sees small objects in the plane as it is, and takes seconds to
    encode on a CPU: it gets one region, of its own input size where the plane is much larger.
    """
    longest = max(plane_shape)
    if image_size > LIGHT_IMAGE_SIZE:
        if longest <= 2 * image_size:
            return (Region.whole(plane_shape),)
        return (_snapped(extent, image_size, plane_shape),)
    span = MARGIN * max(extent[2] - extent[0], extent[3] - extent[1])
    side = float(_smallest_side(image_size))
    regions: list[Region] = []
    while side < longest:
        if side >= span:
            regions.append(_snapped(extent, side, plane_shape))
        side *= 2
    if longest <= 4 * image_size or not regions:
        regions.append(Region.whole(plane_shape))
    return tuple(dict.fromkeys(regions))


def _regions_in_huge_plane(
    extent: Box, plane_shape: tuple[int, int], image_size: int, view: Box | None
) -> tuple[Region, ...]:
    """Return regions of growing size around clicks, up to what the user sees; one if it is costly.

    Without a view nobody knows how large the object is: networks with a large input then get a
    region of their own input size, others all sizes up to `HUGE`.
    """
    light = image_size <= LIGHT_IMAGE_SIZE
    span = MARGIN * max(extent[2] - extent[0], extent[3] - extent[1])
    smallest = _smallest_side(image_size)
    if view is None:
        largest = float(HUGE if light else image_size)
    else:
        largest = min(max(view[2] - view[0], view[3] - view[1]), max(plane_shape))
    largest = max(largest, span, smallest)
    if not light:
        return (_snapped(extent, largest, plane_shape),)
    # Doubled from the smallest, as everywhere: clicks at another zoom share embeddings.
    count = 1 + math.ceil(math.log2(largest / smallest))
    sides = [smallest * 2.0**octave for octave in range(count)][-MOST_SCALES:]
    regions = (_snapped(extent, side, plane_shape) for side in sides if side >= span)
    return tuple(dict.fromkeys(regions))


def _smallest_side(image_size: int) -> int:
    """Return the smallest region worth encoding: beyond it pixels are only blown up."""
    return 24 if image_size <= LIGHT_IMAGE_SIZE else image_size // 4


def _snapped(
    extent: Box, side: float, plane_shape: tuple[int, int], divisions: int = GRID_DIVISIONS
) -> Region:
    """Return a square region of at least this side around a box, on the grid, inside the plane.

    Sizes grow by quarters of an octave; positions by a part of the side.
    """
    quarter_octaves = math.ceil(4 * math.log2(side))
    whole_side = round(2 ** (quarter_octaves / 4))
    step = max(1, whole_side // divisions)
    height, width = (min(whole_side, length) for length in plane_shape)
    centre_row, centre_column = (extent[0] + extent[2]) / 2, (extent[1] + extent[3]) / 2
    row = _start(centre_row - height / 2, step, plane_shape[0] - height)
    column = _start(centre_column - width / 2, step, plane_shape[1] - width)
    return Region(row, column, height, width)


def _start(wanted: float, step: int, last: int) -> int:
    return min(max(round(wanted / step) * step, 0), last)
