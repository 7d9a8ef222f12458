"""The layers that the user puts prompts into: points and boxes that carry the image's transform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.layers import Labels, Points, Shapes

from napari_anysam._napari.coordinates import (
    box_from_corners,
    corners_from_box,
    layer_map,
    spatial_shape,
)
from napari_anysam.segmentation.prompts import Prompt

if TYPE_CHECKING:
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam.segmentation.session import PromptKey

__all__ = [
    "PromptLayers",
    "copy_transform",
    "find_layer",
    "make_labels",
    "make_points",
    "make_shapes",
    "same_prompt",
]

_COLOURS = {"positive": "#35d06c", "negative": "#ff4b4b"}
_BOX_COLOUR = "#ffd91a"
_SMALLEST_BOX = 1.0
_TOLERANCE = 1e-3  # pixels; napari keeps shapes in float32
_TRANSFORM = ("scale", "translate", "rotate", "shear", "affine")


def make_points(image: Any) -> Points:
    """Return an empty Points layer for an image, coloured by polarity."""
    features = pd.DataFrame({"object_id": np.array([], int), "polarity": np.array([], str)})
    layer = Points(
        np.empty((0, image.ndim)),
        ndim=image.ndim,
        features=features,
        feature_defaults={"object_id": 1, "polarity": "positive"},
        face_color="polarity",
        face_color_cycle=_COLOURS,
        border_color="white",
        size=max(2.0, max(spatial_shape(image)[-2:]) / 45),
        name=f"{image.name} points",
        metadata=metadata_of("points", image),
    )
    # No larger lower limit: napari draws a placeholder of that size where a plane has no point.
    layer.canvas_size_limits = (2, 16)
    copy_transform(image, layer)
    return layer


def make_shapes(image: Any) -> Shapes:
    """Return an empty Shapes layer for an image."""
    layer = Shapes(
        None,
        ndim=image.ndim,
        features=pd.DataFrame({"object_id": np.array([], int)}),
        feature_defaults={"object_id": 1},
        edge_color=_BOX_COLOUR,
        face_color="transparent",
        edge_width=max(0.5, max(spatial_shape(image)[-2:]) / 400),
        name=f"{image.name} boxes",
        metadata=metadata_of("boxes", image),
    )
    copy_transform(image, layer)
    return layer


def make_labels(image: Any) -> Labels:
    """Return an empty Labels layer with an image's pixels; its memory is used as it is written."""
    layer = Labels(
        np.zeros(spatial_shape(image), dtype=np.int32),
        name=f"{image.name} labels",
        metadata=metadata_of("labels", image),
    )
    copy_transform(image, layer)
    return layer


def copy_transform(image: Any, layer: Any, origin: Any = None) -> None:
    """Give a layer an image's transform, units and axis labels.

    Parameters
    ----------
    image, layer : napari layers
        Of equal dimensions.
    origin : array (ndim,), optional
        The image's data coordinates at which the layer's own begin.
    """
    for name in _TRANSFORM:
        setattr(layer, name, getattr(image, name))
    layer.units = image.units
    layer.axis_labels = image.axis_labels
    if origin is not None:
        world = np.asarray(image.data_to_world(origin))
        layer.translate = np.asarray(image.affine.inverse(world))


def find_layer(viewer: Any, image: Any, role: str) -> Any:
    """Return the layer that was made for an image in this role, or None."""
    wanted = metadata_of(role, image)["anysam"]
    for layer in viewer.layers:
        if layer.metadata.get("anysam") == wanted:
            return layer
    return None


class PromptLayers:
    """The Points and the Shapes layer of one image, read and written as prompts.

    Parameters
    ----------
    viewer : napari viewer
    image : napari Image
    """

    def __init__(self, viewer: Any, image: Any) -> None:
        self._viewer = viewer
        self._image = image
        self.points: Points | None = find_layer(viewer, image, "points")
        self.shapes: Shapes | None = find_layer(viewer, image, "boxes")

    def ensure(self) -> tuple[Points, Shapes]:
        """Return both layers; one that is missing is made and added to the viewer."""
        if self.shapes is None:
            self.shapes = make_shapes(self._image)
            self._viewer.add_layer(self.shapes)
            # napari's buttons show a mode only if it is set after the layer was added.
            self.shapes.mode = "add_rectangle"
        if self.points is None:
            self.points = make_points(self._image)
            self._viewer.add_layer(self.points)
            self.points.mode = "add"
        return self.points, self.shapes

    def forget(self, layer: Any) -> bool:
        """Note that somebody removed a layer; say whether it was one of the two."""
        if layer is self.points:
            self.points = None
        elif layer is self.shapes:
            self.shapes = None
        else:
            return False
        return True

    def set_next(self, object_id: int, *, positive: bool = True) -> None:
        """Say what the next point and the next box will mean."""
        if self.points is not None:
            polarity = "positive" if positive else "negative"
            self.points.feature_defaults = {"object_id": object_id, "polarity": polarity}
        if self.shapes is not None:
            self.shapes.feature_defaults = {"object_id": object_id}

    def collect(self, frame: PlaneFrame) -> dict[PromptKey, Prompt]:
        """Read the prompts of every object on every plane.

        Returns
        -------
        dict
            (object id, plane number in ``frame``'s axes) to prompt, in the order of the layers.
            Where an object has several boxes on a plane, the last one counts.
        """
        found: dict[PromptKey, _Parts] = {}
        numbers, pixels = self._located_points(frame)
        points = zip(self._ids(self.points), numbers, pixels, self._polarity(), strict=True)
        for object_id, number, (row, column), positive in points:
            key = _key(object_id, number, frame)
            if number >= 0 and object_id > 0:
                found.setdefault(key, _Parts()).add_point(row, column, positive)
        numbers, boxes = self._located_boxes(frame)
        for object_id, number, box in zip(self._ids(self.shapes), numbers, boxes, strict=True):
            if number >= 0 and object_id > 0 and _is_drawn(box):
                key = _key(object_id, number, frame)
                found.setdefault(key, _Parts()).box = _clipped(box, frame.plane_shape)
        return {key: parts.prompt(key) for key, parts in found.items()}

    def replace(self, key: PromptKey, prompt: Prompt | None, frame: PlaneFrame) -> None:
        """Make the layers show this prompt, and no other, for one object on one plane."""
        self.ensure()
        self._replace_points(key, prompt, frame.numbered(key[1]))
        self._replace_boxes(key, prompt, frame.numbered(key[1]))

    def _replace_points(self, key: PromptKey, prompt: Prompt | None, frame: PlaneFrame) -> None:
        layer = self.points
        if layer is None:
            return
        numbers, _ = self._located_points(frame)
        mine = (numbers == (frame.number or 0)) & (self._ids(layer) == key[0])
        defaults = layer.feature_defaults.iloc[0].to_dict()
        layer.remove([int(index) for index in np.flatnonzero(mine)])
        if prompt is not None and prompt.points:
            coordinates = layer_map(self._image, layer)(frame.coordinates(prompt.points))
            for point, positive in zip(coordinates, prompt.polarity, strict=True):
                self.set_next(key[0], positive=positive)
                layer.add(point)
        # Selected points would lend their meaning to the next one.
        layer.selected_data = set()
        layer.feature_defaults = defaults

    def _replace_boxes(self, key: PromptKey, prompt: Prompt | None, frame: PlaneFrame) -> None:
        layer = self.shapes
        if layer is None:
            return
        numbers, boxes = self._located_boxes(frame)
        mine = (numbers == (frame.number or 0)) & (self._ids(layer) == key[0])
        wanted = None if prompt is None else prompt.box
        if wanted is not None and any(
            np.allclose(_clipped(boxes[index], frame.plane_shape), wanted, atol=_TOLERANCE)
            for index in np.flatnonzero(mine)[-1:]
        ):
            return
        if mine.any():
            layer.remove([int(index) for index in np.flatnonzero(mine)])
        if wanted is not None:
            defaults = layer.feature_defaults.iloc[0].to_dict()
            layer.feature_defaults = {**defaults, "object_id": key[0]}
            corners = layer_map(self._image, layer)(frame.coordinates(corners_from_box(wanted)))
            layer.add(corners, shape_type="rectangle")
            layer.feature_defaults = defaults

    def _located_points(self, frame: PlaneFrame) -> tuple[Any, Any]:
        if self.points is None or not len(self.points.data):
            return np.zeros(0, np.int64), np.zeros((0, 2))
        return frame.locate(layer_map(self.points, self._image)(self.points.data))

    def _located_boxes(self, frame: PlaneFrame) -> tuple[Any, list[Any]]:
        if self.shapes is None or not len(self.shapes.data):
            return np.zeros(0, np.int64), []
        to_image = layer_map(self.shapes, self._image)
        located = [frame.locate(to_image(corners)) for corners in self.shapes.data]
        numbers = [numbers[0] if (numbers == numbers[0]).all() else -1 for numbers, _ in located]
        return np.array(numbers), [box_from_corners(pixels) for _, pixels in located]

    def _ids(self, layer: Any) -> Any:
        """Return the object id of every point or box; 1 where somebody dropped the column."""
        if layer is None:
            return np.zeros(0, int)
        column = layer.features.get("object_id")
        count = len(layer.data)
        return np.ones(count, int) if column is None else np.asarray(column, dtype=int)

    def _polarity(self) -> Any:
        if self.points is None:
            return np.zeros(0, bool)
        column = self.points.features.get("polarity")
        count = len(self.points.data)
        return np.ones(count, bool) if column is None else np.asarray(column) != "negative"


class _Parts:
    """What the layers say about one object on one plane."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self.polarity: list[bool] = []
        self.box: Any = None

    def add_point(self, row: float, column: float, positive: bool) -> None:
        self.points.append((float(row), float(column)))
        self.polarity.append(bool(positive))

    def prompt(self, key: PromptKey) -> Prompt:
        return Prompt(key[0], key[1], self.points, self.polarity, self.box)


def same_prompt(one: Prompt | None, other: Prompt | None) -> bool:
    """Tell whether two prompts of one object on one plane say the same."""
    if one is None or other is None:
        return one is other
    if one.polarity != other.polarity or (one.box is None) != (other.box is None):
        return False
    boxes = one.box is None or np.allclose(one.box, other.box or (), rtol=0, atol=_TOLERANCE)
    return bool(boxes and np.allclose(one.points, other.points, rtol=0, atol=_TOLERANCE))


def _key(object_id: Any, number: Any, frame: PlaneFrame) -> PromptKey:
    return int(object_id), (int(number) if frame.index else None)


def _is_drawn(box: Any) -> bool:
    y0, x0, y1, x1 = box
    return bool(y1 - y0 >= _SMALLEST_BOX and x1 - x0 >= _SMALLEST_BOX)


def _clipped(box: Any, plane_shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """Cut a box to the plane; one that lies outside stays as it is, to be refused."""
    y0, x0, y1, x1 = box
    height, width = plane_shape
    if y1 <= 0 or x1 <= 0 or y0 >= height or x0 >= width:
        return y0, x0, y1, x1
    return max(y0, 0.0), max(x0, 0.0), min(y1, float(height)), min(x1, float(width))


def metadata_of(role: str, image: Any) -> dict[str, Any]:
    """Return the metadata by which ``find_layer`` finds a layer again."""
    return {"anysam": {"role": role, "image": str(image.unique_id)}}
