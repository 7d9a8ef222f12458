"""How objects look in napari: their colours, and the table of features of their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.utils.colormaps import label_colormap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_anysam.segmentation.lineage import Lineage
    from napari_anysam.segmentation.object_summaries import ObjectSummary

__all__ = ["Colour", "colours_of", "features_of"]

Colour = tuple[float, float, float, float]
"""Red, green, blue and alpha, 0 to 1."""

_NEW_LABELS = label_colormap(49, 0.5)  # what napari gives a new Labels layer


def colours_of(labels: Any, object_ids: Sequence[int]) -> NDArray[np.float64]:
    """Return the colours of objects, (N, 4).

    Parameters
    ----------
    labels : napari Labels or None
        None if there are none yet: the colours that a new layer will give them.
    object_ids : sequence of int
    """
    colormap = _NEW_LABELS if labels is None else labels.colormap
    colours = [np.ravel(colormap.map(int(object_id))) for object_id in object_ids]
    return np.array(colours, dtype=float).reshape(-1, 4)


def features_of(
    summaries: Sequence[ObjectSummary],
    before: pd.DataFrame | None = None,
    parents: Lineage | None = None,
) -> pd.DataFrame:
    """Return objects as the features table of a Labels layer, one row for each.

    Parameters
    ----------
    summaries : sequence of ObjectSummary
    before : DataFrame, optional
        The layer's table; its other columns are kept, by their ``index``.
    parents : mapping, optional
        Daughter to mother, for a column "parent" (0 without one); None for no such column.
    """
    table = pd.DataFrame(
        {
            "index": [one.object_id for one in summaries],
            "class": [one.class_name for one in summaries],
            "score": [one.score for one in summaries],
            "area": [one.area for one in summaries],
            "model": [one.model for one in summaries],
            "planes": [max(1, len(one.planes)) for one in summaries],
        }
    )
    if parents is not None:
        table["parent"] = [parents.get(one.object_id, 0) for one in summaries]
    if before is None or "index" not in before:
        return table
    others = before.drop(columns=[name for name in table if name != "index"], errors="ignore")
    if len(others.columns) < 2:
        return table
    return table.merge(others.drop_duplicates("index"), on="index", how="left")
