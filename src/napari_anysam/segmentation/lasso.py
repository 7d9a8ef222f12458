"""What lies inside a lasso: the pixels whose centres a closed polygon encloses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.segmentation.candidates import NEVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_anysam.segmentation.prompts import Point
    from napari_anysam.segmentation.regions import Region

__all__ = ["clipped_logits", "polygon_mask"]


def clipped_logits(
    logits: NDArray[np.float32], region: Region, lasso: Sequence[Point] | None
) -> NDArray[np.float32]:
    """Return logits of a region, `NEVER` outside a lasso.

    Parameters
    ----------
    logits : float32 array (h, w)
        Positive is inside; one for each pixel of the region, or fewer.
    region : Region
        Of the plane.
    lasso : sequence of (y, x) or None
        In pixels of the plane; None leaves the logits as they are.
    """
    if lasso is None:
        return logits
    down, across = (have / full for have, full in zip(logits.shape, region.shape, strict=True))
    vertices = [
        ((y + 0.5 - region.row) * down - 0.5, (x + 0.5 - region.column) * across - 0.5)
        for y, x in lasso
    ]
    grid = replace(region, row=0, column=0, height=logits.shape[0], width=logits.shape[1])
    return np.where(polygon_mask(vertices, grid), logits, np.float32(NEVER))


def polygon_mask(vertices: Sequence[Point], region: Region) -> NDArray[np.bool_]:
    """Return the pixels of a region whose centres lie in a closed polygon.

    Parameters
    ----------
    vertices : sequence of (y, x)
        In pixels of the plane; integers are pixel centres.
    region : Region
        Of the same plane.

    Returns
    -------
    bool array (region.height, region.width)
    """
    from skimage.draw import polygon

    rows, columns = np.transpose(vertices)
    mask = np.zeros(region.shape, bool)
    mask[polygon(rows - region.row, columns - region.column, region.shape)] = True
    return mask
