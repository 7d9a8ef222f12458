"""Answers of many objects, painted into one label image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.segmentation.candidates import grid_step
from napari_anysam.segmentation.mask_options import MaskOptions, shape_logits, shape_mask
from napari_anysam.segmentation.windows import tight_window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_anysam.segmentation.candidates import Candidate, Prediction
    from napari_anysam.segmentation.prompts import Point, Prompt
    from napari_anysam.segmentation.regions import Region
    from napari_anysam.segmentation.windows import Window

__all__ = ["Canvas", "shaped_window"]


class Canvas:
    """Labels that objects are painted on; where they overlap the higher logit wins.

    Parameters
    ----------
    plane_shape : (H, W)
        Pixels of the plane.
    options : MaskOptions
        How logits become masks.

    Attributes
    ----------
    labels : int32 array (H, W)
        Object ids, 0 is background.
    """

    def __init__(self, plane_shape: tuple[int, int], options: MaskOptions) -> None:
        self.labels = np.zeros(plane_shape, np.int32)
        self._highest = np.full(plane_shape, -np.inf, np.float32)
        self._options = options

    def paint(self, prompt: Prompt, prediction: Prediction) -> None:
        """Paint the answer to a prompt."""
        candidate = prediction.best
        region = candidate.region
        logits = candidate.full_logits()
        mask = shape_mask(logits, self._options, _points_in(region, prompt))
        labels, highest = self.labels[region.slices], self._highest[region.slices]
        wins = mask & (logits > highest)
        labels[wins] = prediction.object_id
        highest[wins] = logits[wins]


def shaped_window(
    candidate: Candidate, options: MaskOptions, prompt: Prompt | None = None
) -> Window | None:
    """Turn a candidate into the mask that is shown and written; None if it is empty.

    Where logits are kept thinned they are shaped as they are, and the mask is interpolated between
    them by strips.

    Parameters
    ----------
    candidate : Candidate
    options : MaskOptions
    prompt : Prompt, optional
        What it answers, in pixels of the plane: its positive places tell which parts are meant.
    """
    region = candidate.region
    points = [] if prompt is None else _points_in(region, prompt)
    if candidate.logits.shape == region.shape:
        mask = shape_mask(candidate.logits, options, points)
        return tight_window(mask, (region.row, region.column))
    down, across = (
        have / full for have, full in zip(candidate.logits.shape, region.shape, strict=True)
    )
    on_grid = [((y + 0.5) * down - 0.5, (x + 0.5) * across - 0.5) for y, x in points]
    shaped = shape_logits(candidate.logits, options.thinned(grid_step(region)), on_grid)
    return replace(candidate, logits=shaped).window()


def _points_in(region: Region, prompt: Prompt) -> list[Point]:
    """Return the positive places of a prompt in pixels of a region."""
    return [(y - region.row, x - region.column) for y, x in _positive_places(prompt)]


def _positive_places(prompt: Prompt) -> Iterator[Point]:
    for point, positive in zip(prompt.points, prompt.polarity, strict=True):
        if positive:
            yield point
    for stroke in prompt.scribbles:
        if stroke.positive:
            yield from stroke.vertices
