"""Answers of many objects, painted into one label image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.segmentation.mask_options import MaskOptions, shape_mask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_anysam.segmentation.candidates import Prediction
    from napari_anysam.segmentation.prompts import Point, Prompt

__all__ = ["Canvas"]


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
        points = [(y - region.row, x - region.column) for y, x in _positive_places(prompt)]
        logits = candidate.full_logits()
        mask = shape_mask(logits, self._options, points)
        labels, highest = self.labels[region.slices], self._highest[region.slices]
        wins = mask & (logits > highest)
        labels[wins] = prediction.object_id
        highest[wins] = logits[wins]


def _positive_places(prompt: Prompt) -> Iterator[Point]:
    for point, positive in zip(prompt.points, prompt.polarity, strict=True):
        if positive:
            yield point
    for stroke in prompt.scribbles:
        if stroke.positive:
            yield from stroke.vertices
