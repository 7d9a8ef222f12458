"""Answers of many objects, painted into one label image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.segmentation.mask_options import MaskOptions, shape_mask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_anysam.segmentation.candidates import Candidate, Prediction
    from napari_anysam.segmentation.prompts import Point, Prompt

__all__ = ["Canvas", "shaped_mask"]


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
        mask = shaped_mask(candidate, self._options, prompt)
        labels, highest = self.labels[region.slices], self._highest[region.slices]
        wins = mask & (candidate.logits > highest)
        labels[wins] = prediction.object_id
        highest[wins] = candidate.logits[wins]


def shaped_mask(candidate: Candidate, options: MaskOptions, prompt: Prompt) -> NDArray[np.bool_]:
    """Turn a candidate into the mask that is shown and written, in its region's window.

    Parameters
    ----------
    candidate : Candidate
    options : MaskOptions
    prompt : Prompt
        What it answers, in pixels of the plane: its positive places tell which parts are meant.
    """
    row, column = candidate.region.row, candidate.region.column
    points = [(y - row, x - column) for y, x in _positive_places(prompt)]
    return shape_mask(candidate.logits, options, points)


def _positive_places(prompt: Prompt) -> Iterator[Point]:
    for point, positive in zip(prompt.points, prompt.polarity, strict=True):
        if positive:
            yield point
    for stroke in prompt.scribbles:
        if stroke.positive:
            yield from stroke.vertices
