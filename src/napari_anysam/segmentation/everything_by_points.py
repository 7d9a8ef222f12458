"""Everything in one plane, for networks that answer prompts only: a grid of clicks, sifted.

As segment-anything's ``automatic_mask_generator.py`` does it: clicks on a grid are answered in
batches, answers that the network is unsure of or that depend on the threshold are dropped, and of
those that say the same the best one stays. Where a plane is large for the network, tiles of it are
looked at too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.errors import CapabilityError, OptionsError
from napari_anysam.networks import out_of_memory
from napari_anysam.segmentation.candidates import SAME_OBJECT, Candidate, grid_shape
from napari_anysam.segmentation.canvas import shaped_window
from napari_anysam.segmentation.mask_options import MaskOptions
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.regions import LIGHT_IMAGE_SIZE, Region
from napari_anysam.segmentation.session import KeptMask
from napari_anysam.segmentation.windows import seen_from

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    import torch

    from napari_anysam.networks.protocol import Embedding
    from napari_anysam.segmentation.interactive import PlanePredictor
    from napari_anysam.segmentation.plane_pixels import PlanePixels
    from napari_anysam.segmentation.prompts import Point
    from napari_anysam.segmentation.windows import Window

__all__ = ["EverythingOptions", "Found", "everything_by_points", "tiles"]

POINTS_AT_ONCE = 64
TILE_OVERLAP = 0.25
"""Neighbouring tiles share this part of their side, so that small objects lie whole in one."""


@dataclass(frozen=True, slots=True)
class EverythingOptions:
    """Which clicks are asked, and which of the answers stay.

    Parameters
    ----------
    points_per_side : int
        Clicks along each side of the plane; tiles get half as many.
    least_score : float
        Least predicted IoU.
    least_stability : float
        Least IoU of a mask with itself when the threshold moves by one logit up and down.
    most_overlap : float
        Of two masks whose IoU, or the part of the smaller one that they share, is larger, the one
        with the lower score is dropped.
    smallest_area : int
        Masks of fewer pixels are dropped.
    largest_part : float
        Masks of more than this part of the plane are dropped: they are background.

    Raises
    ------
    OptionsError
        If a value is out of its range.
    """

    points_per_side: int = 16
    least_score: float = 0.7
    least_stability: float = 0.85
    most_overlap: float = 0.7
    smallest_area: int = 16
    largest_part: float = 0.5

    def __post_init__(self) -> None:
        """Check every value."""
        if self.points_per_side < 1:
            raise OptionsError(f"points_per_side is {self.points_per_side}; give 1 or more.")
        if self.smallest_area < 0:
            raise OptionsError(f"The smallest area is {self.smallest_area}; give 0 or more.")
        for name in ("least_score", "least_stability", "most_overlap", "largest_part"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise OptionsError(f"{name} is {value:g}; give a number from 0 to 1.")


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found so far.

    Parameters
    ----------
    done, total : int
        Clicks that were answered, and all that will be.
    objects : tuple of KeptMask
        The best one first; none says the same as another.
    """

    done: int
    total: int
    objects: tuple[KeptMask, ...]


def everything_by_points(
    predictor: PlanePredictor,
    pixels: PlanePixels,
    plane_key: Hashable,
    plane_shape: tuple[int, int],
    options: EverythingOptions | None = None,
    masks: MaskOptions | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Found]:
    """Look for every object of a plane.

    Parameters
    ----------
    predictor : PlanePredictor
        Its model takes clicks.
    pixels : PlanePixels
        Reads regions of the plane; asked only if a tile is not cached.
    plane_key : hashable
        Names the plane's pixels and their conditioning.
    plane_shape : (H, W)
        Pixels of the plane.
    options : EverythingOptions, optional
    masks : MaskOptions, optional
        How logits become masks.
    cancelled : callable, optional
        Asked between encoder blocks; ``Cancelled`` is raised when it answers True.

    Yields
    ------
    Found
        After every batch of clicks; the last one holds all objects.

    Raises
    ------
    CapabilityError
        If the model takes no clicks.
    """
    model = predictor.model
    if not model.capabilities.points:
        raise CapabilityError(
            f"{model.name} takes no clicks, so it cannot look for everything; choose another model."
        )
    options = EverythingOptions() if options is None else options
    sift = _Sift(options, MaskOptions() if masks is None else masks, plane_shape, model.name)
    regions = tuple(
        dict.fromkeys(
            pixels.fitted(tile, model.image_size) for tile in tiles(plane_shape, model.image_size)
        )
    )
    whole = Region.whole(plane_shape)
    half = max(1, options.points_per_side // 2)
    grids = [
        _grid(region.shape, options.points_per_side if region == whole else half)
        for region in regions
    ]
    done, total = 0, sum(map(len, grids))
    for region, grid in zip(regions, grids, strict=True):
        embedding = predictor.embedding(pixels, plane_key, region, cancelled)
        for start in range(0, len(grid), POINTS_AT_ONCE):
            points = grid[start : start + POINTS_AT_ONCE]
            sift.add(_answers(predictor, embedding, region, points, sift))
            done += len(points)
            yield Found(done, total, tuple(sift.objects))


def tiles(plane_shape: tuple[int, int], image_size: int) -> tuple[Region, ...]:
    """Return the plane, and overlapping tiles of it of half the side, of a quarter ...

    They end at the network's own scale; light networks look twice as closely.

    Parameters
    ----------
    plane_shape : (H, W)
        Pixels of the plane.
    image_size : int
        Side of the network's square input.
    """
    closest = image_size // 2 if image_size <= LIGHT_IMAGE_SIZE else image_size
    regions = [Region.whole(plane_shape)]
    side = max(plane_shape)
    while side > closest:
        side = math.ceil(side / 2)
        rows, columns = (_starts(length, side) for length in plane_shape)
        height, width = (min(side, length) for length in plane_shape)
        regions += [Region(row, column, height, width) for row in rows for column in columns]
    return tuple(regions)


def _starts(length: int, side: int) -> list[int]:
    if length <= side:
        return [0]
    shared = side * TILE_OVERLAP
    count = math.ceil((length - shared) / (side - shared))
    return [round(start) for start in np.linspace(0, length - side, count)]


def _grid(shape: tuple[int, int], per_side: int) -> list[Point]:
    rows, columns = ((np.arange(per_side) + 0.5) / per_side * length - 0.5 for length in shape)
    return [(float(row), float(column)) for row in rows for column in columns]


class _Sift:
    """Keeps the best of what says the same."""

    def __init__(
        self,
        options: EverythingOptions,
        masks: MaskOptions,
        plane_shape: tuple[int, int],
        model: str,
    ) -> None:
        self.options = options
        self.masks = masks
        self.plane_shape = plane_shape
        self.model = model
        self.objects: list[KeptMask] = []

    def add(self, objects: Iterable[KeptMask]) -> None:
        """Let objects compete with those that are there."""
        ranked = sorted([*self.objects, *objects], key=lambda one: -(one.score or 0))
        kept: list[KeptMask] = []
        for one in ranked:
            if not any(_same(one, other, self.options.most_overlap) for other in kept):
                kept.append(one)
        self.objects = kept

    def takes(self, window: Window, region: Region) -> bool:
        """Whether a mask from a region is neither too small, too large, nor cut off."""
        largest = self.options.largest_part * math.prod(self.plane_shape)
        if not max(1, self.options.smallest_area) <= window.area <= largest:
            return False
        inner_ends = zip(
            (region.row, region.column), region.shape, self.plane_shape, window.slices, strict=True
        )
        return not any(
            (start > 0 and part.start == start)
            or (start + length < whole and part.stop == start + length)
            for start, length, whole, part in inner_ends
        )


def _answers(
    predictor: PlanePredictor,
    embedding: Embedding,
    region: Region,
    points: Sequence[Point],
    sift: _Sift,
) -> Iterator[KeptMask]:
    """Ask a batch of clicks, and yield the masks that are sure, stable and in one piece."""
    model = predictor.model
    # Fewer pixels than the region has may have been encoded.
    down, across = (
        have / full for have, full in zip(embedding.image_shape, region.shape, strict=True)
    )
    prompts = [
        Prompt(points=[((y + 0.5) * down - 0.5, (x + 0.5) * across - 0.5)]) for y, x in points
    ]
    answer = out_of_memory.decode(model, embedding, prompts, multimask=True)
    logits, scores = answer.logits.flatten(0, 1), answer.scores.flatten()
    for number in _sure(logits, scores, sift.options):
        pixels = out_of_memory.upscale(model, logits[number][None, None], grid_shape(region))
        candidate = Candidate(
            region,
            pixels[0, 0].float().cpu().numpy(),
            float(scores[number]),
            logits[number].float().cpu().numpy(),
        )
        window = shaped_window(candidate, sift.masks)
        if window is not None and sift.takes(window, region):
            yield KeptMask(window, candidate.score, sift.model)


def _sure(logits: torch.Tensor, scores: torch.Tensor, options: EverythingOptions) -> list[int]:
    """Return which masks (N, h, w) are worth drawing: sure, stable, and not said twice.

    Not torchvision's ``nms``: it knows boxes only, and its import brings in triton, whose library
    crashes where it is first loaded beside OpenGL.
    """
    drawn = (logits > 0).flatten(1).float()
    areas = drawn.sum(1)
    larger = (logits > -1).flatten(1).sum(1).clamp(min=1)
    stability = (logits > 1).flatten(1).sum(1) / larger
    good = (scores >= options.least_score) & (stability >= options.least_stability) & (areas > 0)
    ranked = scores.masked_fill(~good, -1).argsort(descending=True)[: int(good.sum())]
    drawn, areas = drawn[ranked], areas[ranked]
    shared = drawn @ drawn.T
    twins = (shared / (areas[:, None] + areas - shared) > SAME_OBJECT).cpu().numpy()
    kept: list[int] = []
    for place in range(len(twins)):
        if not twins[place, kept].any():
            kept.append(place)
    numbers: list[int] = ranked[kept].tolist()
    return numbers


def _same(one: KeptMask, other: KeptMask, most_overlap: float) -> bool:
    """Whether two masks share most of both, or most of the smaller one."""
    first, second = one.window, other.window
    shared = np.count_nonzero(seen_from(first, second) & second.mask)
    return bool(shared > most_overlap * min(first.area, second.area))
