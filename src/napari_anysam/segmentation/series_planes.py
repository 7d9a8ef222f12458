"""Planes of a time series of volumes, counted through all hidden axes of an image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_anysam.segmentation.prompts import Prompt

__all__ = ["SeriesPlanes"]


@dataclass(frozen=True, slots=True)
class SeriesPlanes:
    """Where time and depth are among the hidden axes of an image.

    Parameters
    ----------
    hidden_shape : tuple of int
        Lengths of the hidden axes.
    index : tuple of int
        Any plane of the series; it says where the other axes stand.
    time, depth : int
        Positions among the hidden axes.
    """

    hidden_shape: tuple[int, ...]
    index: tuple[int, ...]
    time: int
    depth: int

    def number(self, time: int, plane: int) -> int:
        """Return the number of a plane, row-major through all hidden axes."""
        index = list(self.index)
        index[self.time], index[self.depth] = time, plane
        return int(np.ravel_multi_index(index, self.hidden_shape))

    def place(self, number: int) -> tuple[int, int]:
        """Return time point and plane of a number."""
        index = np.unravel_index(number, self.hidden_shape)
        return int(index[self.time]), int(index[self.depth])

    def by_time(self, prompts: Iterable[Prompt]) -> dict[int, list[Prompt]]:
        """Return time point to prompts on planes, of prompts on numbered planes."""
        found: dict[int, list[Prompt]] = {}
        for prompt in prompts:
            time, plane = self.place(prompt.plane or 0)
            found.setdefault(time, []).append(replace(prompt, plane=plane))
        return found
