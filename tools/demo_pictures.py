"""Pictures of results: outlines and prompts drawn over an image, planes side by side."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw
from skimage.segmentation import find_boundaries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_anysam import Prompt

GOLDEN_RATIO = 0.618034


def overlay(
    plane: NDArray[np.uint8],
    labels: NDArray[np.integer],
    prompts: Sequence[Prompt] = (),
    scale: int = 3,
) -> Image.Image:
    """Draw outlines and prompts over a plane.

    Parameters
    ----------
    plane : uint8 array (H, W, 3)
        As the network saw it.
    labels : integer array (H, W)
        Each object gets a colour of its own.
    prompts : sequence of Prompt
        Clicks become discs, boxes become dashed rectangles, in their object's colour.
    scale : int
        Screen pixels per pixel of the plane.
    """
    height, width = labels.shape
    picture = Image.fromarray(plane).resize((width * scale, height * scale), Image.BILINEAR)
    pixels = np.array(picture)
    enlarged = labels.repeat(scale, axis=0).repeat(scale, axis=1)
    outline = find_boundaries(enlarged, mode="inner")
    for object_id in np.unique(labels[labels > 0]):
        inside = enlarged == object_id
        pixels[inside] = (0.75 * pixels[inside] + 0.25 * np.array(colour(object_id))).astype(
            np.uint8
        )
        pixels[inside & outline] = colour(object_id)
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    for prompt in prompts:
        _draw_prompt(draw, prompt, scale)
    return picture


def montage(
    pictures: Sequence[Image.Image], titles: Sequence[str], columns: int = 4
) -> Image.Image:
    """Put pictures of one size side by side, each with its title."""
    width, height = pictures[0].size
    gap, head = 6, 22
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + head + gap) + gap))
    draw = ImageDraw.Draw(sheet)
    for number, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        left = gap + (number % columns) * (width + gap)
        top = gap + (number // columns) * (height + head + gap)
        draw.text((left, top), title, fill="white", font_size=15)
        sheet.paste(picture, (left, top + head))
    return sheet


def colour(object_id: int) -> tuple[int, int, int]:
    """Return a bright colour; neighbouring numbers get colours far apart."""
    red, green, blue = colorsys.hsv_to_rgb(float(object_id) * GOLDEN_RATIO % 1, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _draw_prompt(draw: ImageDraw.ImageDraw, prompt: Prompt, scale: int) -> None:
    if prompt.box is not None:
        y0, x0, y1, x1 = (scale * edge for edge in prompt.box)
        draw.rectangle((x0, y0, x1, y1), outline="white", width=max(1, scale // 2))
    for (y, x), positive in zip(prompt.points, prompt.polarity, strict=True):
        row, column, radius = (y + 0.5) * scale, (x + 0.5) * scale, 1.5 * scale
        draw.ellipse(
            (column - radius, row - radius, column + radius, row + radius),
            fill="white" if positive else "red",
            outline="black",
            width=max(1, scale // 2),
        )
