"""Adding many points or shapes to a layer in one go: napari takes a while for each addition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam._napari.coordinates import corners_from_box

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_anysam._napari.drawn_prompts import PromptParts

__all__ = ["Additions", "shapes_of"]


@dataclass(slots=True)
class Additions:
    """What is to be added to a layer.

    Parameters
    ----------
    data : list of array
        One point (ndim,), or the vertices (K, ndim) of a shape, in the layer's coordinates.
    object_ids : list of int
    polarity : list of bool
    shape_types : list of str
        As napari names them; empty for points.
    """

    data: list[Any] = field(default_factory=list)
    object_ids: list[int] = field(default_factory=list)
    polarity: list[bool] = field(default_factory=list)
    shape_types: list[str] = field(default_factory=list)

    def add(self, data: Any, object_id: int, *, positive: bool, shape_type: str = "") -> None:
        """Note one point or shape."""
        self.data.append(data)
        self.object_ids.append(object_id)
        self.polarity.append(positive)
        if shape_type:
            self.shape_types.append(shape_type)

    def into_points(self, layer: Any) -> None:
        """Add them to a Points layer."""
        if self.data:
            layer.add(np.array(self.data))
            self._tell(layer)
            layer.refresh_colors()
            layer.selected_data = set()  # they would lend their meaning to the next one

    def into_shapes(self, layer: Any, strokes: dict[bool, str]) -> None:
        """Add them to a Shapes layer, in the stroke of their polarity."""
        if self.data:
            colours = [strokes[positive] for positive in self.polarity]
            layer.add(self.data, shape_type=self.shape_types, edge_color=colours)
            self._tell(layer)
            layer.selected_data = set()

    def _tell(self, layer: Any) -> None:
        """Say in the features what the last ones mean; what the next will mean stays."""
        defaults = layer.feature_defaults.iloc[0].to_dict()
        features = layer.features.copy()
        before = len(features) - len(self.data)
        words = ["positive" if positive else "negative" for positive in self.polarity]
        for name, values in (("object_id", self.object_ids), ("polarity", words)):
            if name in features:  # somebody may have dropped the column
                features[name] = [*features[name].tolist()[:before], *values]
        layer.features = features
        layer.feature_defaults = defaults


def shapes_of(parts: PromptParts) -> Iterator[tuple[Any, str, bool]]:
    """Yield vertices (row, column), napari's type and polarity of the shapes of a prompt."""
    if parts.box is not None:
        yield corners_from_box(parts.box), "rectangle", True
    if parts.lasso is not None:
        yield parts.lasso, "polygon", True
    for stroke in parts.scribbles:
        yield stroke.vertices, "path", stroke.positive
