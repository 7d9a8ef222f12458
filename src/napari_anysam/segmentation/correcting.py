"""A click on what a run has drawn: a correction of that mask, not a new one.

The mask and the box around it go to the network together with the click. The click alone is
answered far worse than the mask was that it shall correct; measured in ``docs/benchmarks.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_anysam.segmentation.derived_prompts import MASK_BOX_PADDING, padded_box
from napari_anysam.segmentation.prompts import Prompt

if TYPE_CHECKING:
    from napari_anysam.segmentation.prompts import Box, Point
    from napari_anysam.segmentation.windows import Window

__all__ = ["corrected_mask", "surroundings"]

NEAR = 0.5
"""A click belongs to a mask if it is no farther from its box than this part of the box's sides."""


def surroundings(window: Window, plane_shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns in which clicks belong to a mask, within its plane (H, W)."""
    (row, column), (height, width) = window.origin, window.shape
    down, across = int(NEAR * height) + 1, int(NEAR * width) + 1
    bottom, right = plane_shape
    return (
        slice(max(row - down, 0), min(row + height + down, bottom)),
        slice(max(column - across, 0), min(column + width + across, right)),
    )


def corrected_mask(prompt: Prompt, window: Window, plane_shape: tuple[int, int]) -> Prompt | None:
    """Return what to prompt with beside clicks that correct a mask.

    Parameters
    ----------
    prompt : Prompt
        Points and scribbles that the user has put on a plane with that mask.
    window : Window
        The mask, of the same object and plane.
    plane_shape : (H, W)
        Pixels of the plane.

    Returns
    -------
    Prompt or None
        The mask, and a box a little larger than it and the positive points. None where the prompt
        begins anew: with a box, a lasso or a mask of its own, or with a positive point that is not
        near the mask.
    """
    if prompt.box is not None or prompt.lasso is not None or prompt.mask is not None:
        return None
    rows, columns = surroundings(window, plane_shape)
    points = _positive(prompt)
    if any(
        not (rows.start <= row < rows.stop and columns.start <= column < columns.stop)
        for row, column in points
    ):
        return None
    box = padded_box(_box_around(window, points), MASK_BOX_PADDING, plane_shape)
    return Prompt(
        prompt.object_id, prompt.plane, box=box, mask=window.mask, mask_origin=window.origin
    )


def _positive(prompt: Prompt) -> list[Point]:
    clicks = zip(prompt.points, prompt.polarity, strict=True)
    strokes = (stroke.vertices for stroke in prompt.scribbles if stroke.positive)
    return [
        *(point for point, positive in clicks if positive),
        *(vertex for vertices in strokes for vertex in vertices),
    ]


def _box_around(window: Window, points: list[Point]) -> Box:
    """Return the half-open box around a mask and the pixels of points."""
    (top, left), (height, width) = window.origin, window.shape
    rows = [row for row, _ in points]
    columns = [column for _, column in points]
    return (
        min([top, *(row - 0.5 for row in rows)]),
        min([left, *(column - 0.5 for column in columns)]),
        max([top + height, *(row + 1.5 for row in rows)]),
        max([left + width, *(column + 1.5 for column in columns)]),
    )
