"""A picture of best, median and worst: truth outlined in green, the answer in magenta."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw
from quality_prompts import extent, overlap
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

__all__ = ["View", "draw_picture", "view_of"]

TILE = 144
"""Pixels across a tile."""

LINE, TITLE_WIDTH = 14, 190
GREEN, MAGENTA = (0, 255, 0), (255, 0, 255)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """An object and its surroundings, cut out of a plane."""

    pixels: NDArray[np.uint8]
    truth: Mask
    answer: Mask
    iou: float


def view_of(pixels: NDArray[np.uint8], truth: Mask, answer: Mask) -> View:
    """Cut out a square of twice the true object, shifted into the plane.

    Parameters
    ----------
    pixels : uint8 array (H, W, 3)
        The plane as the network sees it.
    truth, answer : bool array (H, W)
        ``truth`` has at least one pixel.
    """
    side = 2 * max(part.stop - part.start for part in extent(truth)) + 8
    window = tuple(
        _around((part.start + part.stop) // 2, side, length)
        for part, length in zip(extent(truth), truth.shape, strict=True)
    )
    parts = (pixels[window].copy(), truth[window].copy(), answer[window].copy())
    return View(*parts, overlap(answer, truth))


def _around(centre: int, side: int, length: int) -> slice:
    start = min(max(centre - side // 2, 0), max(length - side, 0))
    return slice(start, min(start + side, length))


def draw_picture(rows: Mapping[str, Mapping[str, Sequence[View]]]) -> Image.Image:
    """Draw one row per set and for every kind of prompt its best, median and worst object.

    Parameters
    ----------
    rows : dict
        Title of the set to kind of prompt to views, of which three are shown.
    """
    kinds = list(dict.fromkeys(kind for views in rows.values() for kind in views))
    width, height = TITLE_WIDTH + 3 * TILE * len(kinds), LINE + (TILE + LINE) * len(rows)
    picture = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(picture)
    for place, kind in enumerate(kinds):
        label = f"{kind}: best, median, worst (truth green, answer magenta)"
        pen.text((TITLE_WIDTH + 3 * TILE * place, 1), label, fill="black")
    for number, (title, views) in enumerate(rows.items()):
        top = LINE + number * (TILE + LINE)
        pen.text((4, top + TILE // 2), title, fill="black")
        for place, kind in enumerate(kinds):
            left = TITLE_WIDTH + 3 * TILE * place
            for step, view in enumerate(_best_median_worst(views.get(kind, ()))):
                picture.paste(_tile(view), (left + step * TILE, top))
                pen.text((left + step * TILE + 2, top + TILE), f"{view.iou:.2f}", fill="black")
    return picture


def _best_median_worst(views: Sequence[View]) -> list[View]:
    ranked = sorted(views, key=lambda view: view.iou, reverse=True)
    return [ranked[0], ranked[len(ranked) // 2], ranked[-1]] if ranked else []


def _tile(view: View) -> Image.Image:
    """Enlarge or shrink a view to a tile, then draw lines of one pixel."""
    height, width = view.truth.shape
    scale = (TILE - 2) / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = np.array(Image.fromarray(view.pixels).resize(size, Image.Resampling.BILINEAR))
    for mask, colour in ((view.truth, GREEN), (view.answer, MAGENTA)):
        large = np.array(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
        pixels[large & ~ndimage.binary_erosion(large, border_value=1)] = colour
    return Image.fromarray(pixels)
