"""The layers that the user puts prompts into: points and shapes with the image's transform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.layers import Labels, Points, Shapes
from napari.utils.colormaps.standardize_color import transform_color

from napari_anysam._napari.coordinates import layer_map, spatial_shape
from napari_anysam._napari.drawn_prompts import (
    DrawnShape,
    PromptParts,
    kind_of,
    parts_of_prompt,
    said_beyond,
    same_prompt,
    same_shapes,
)
from napari_anysam._napari.prompt_drawing import Additions, shapes_of
from napari_anysam.segmentation.prompts import Prompt, merge_prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

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
_SAME_COLOUR = 0.01
_STROKES = {True: "#ffd91a", False: _COLOURS["negative"]}
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
        features=pd.DataFrame({"object_id": np.array([], int), "polarity": np.array([], str)}),
        feature_defaults=_meaning(1, positive=True),
        edge_color=_STROKES[True],
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
        metadata=metadata_of("labels", image) | _geometry_of(image),
    )
    copy_transform(image, layer)
    return layer


def copy_transform(image: Any, layer: Any, origin: Any = None) -> None:
    """Give a layer an image's transform, units and axis labels.

    What is so already is not set: napari measures all its layers whenever one of these is.

    Parameters
    ----------
    image, layer : napari layers
        Of equal dimensions.
    origin : array (ndim,), optional
        The image's data coordinates at which the layer's own begin.
    """
    wanted = {name: getattr(image, name) for name in _TRANSFORM}
    if origin is not None:
        world = np.asarray(image.data_to_world(origin))
        wanted["translate"] = np.asarray(image.affine.inverse(world))
    for name, value in wanted.items():
        if not np.array_equal(getattr(layer, name), value):
            setattr(layer, name, value)
    if layer.axis_labels != image.axis_labels:
        layer.axis_labels = image.axis_labels
    if layer.units != image.units:
        layer.units = image.units
        # napari 0.9.2 keeps the inverse of the transform in the units before, and would show other
        # planes, until the transform itself is set.
        layer.scale = layer.scale


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
        # What counts beside the layers, now and at any time: undone prompts may come back.
        self._held: dict[PromptKey, Prompt] = {}
        self._once_held: dict[PromptKey, Prompt] = {}

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
        """Say what the next point and the next shape will mean."""
        meaning = _meaning(object_id, positive=positive)
        if self.points is not None:
            self.points.feature_defaults = meaning
        if self.shapes is not None:
            self.shapes.feature_defaults = meaning
            with self.shapes.block_update_properties():  # of the shapes that are selected
                self.shapes.current_edge_color = _STROKES[positive]

    def collect(self, frame: PlaneFrame) -> dict[PromptKey, Prompt]:
        """Read the prompts of every object on every plane.

        Returns
        -------
        dict
            (object id, plane number in ``frame``'s axes) to prompt, in the order of the layers.
            Where an object has several boxes or lassos on a plane, the last one counts. What is
            held beside the layers comes first.
        """
        found: dict[PromptKey, PromptParts] = {}
        numbers, pixels = self._located_points(frame)
        points = zip(self._ids(self.points), numbers, pixels, self._polarity(), strict=True)
        for object_id, number, (row, column), positive in points:
            if number >= 0 and object_id > 0:
                key = _key(object_id, number, frame)
                found.setdefault(key, PromptParts()).add_point(row, column, positive)
        for shape in self._drawn_shapes(frame):
            if shape.number >= 0 and shape.object_id > 0 and shape.is_drawn:
                key = _key(shape.object_id, shape.number, frame)
                found.setdefault(key, PromptParts()).add_shape(shape, frame.plane_shape)
        drawn = [parts.prompt(key) for key, parts in found.items()]
        return merge_prompts([*self._held.values(), *drawn])

    def hold(self, prompt: Prompt) -> None:
        """Count a prompt that is not drawn into the layers: a mask, or one of thousands."""
        key = (prompt.object_id, prompt.plane)
        self._held[key] = self._once_held[key] = prompt

    def forget_held(self) -> None:
        """Drop what is held, because planes are counted along other axes now."""
        self._held.clear()
        self._once_held.clear()

    def separate_boxes(self, frame: PlaneFrame, next_id: int) -> None:
        """Give every further box of an object on one plane to an object of its own.

        Parameters
        ----------
        frame : PlaneFrame
        next_id : int
            Lowest id that they may get.
        """
        seen, ids = set(), self._ids(self.shapes).copy()
        next_id = max(next_id, int(ids.max(initial=0)) + 1)
        for shape in self._drawn_shapes(frame):
            if not shape.makes_box or shape.number < 0 or not shape.is_drawn:
                continue
            if (shape.object_id, shape.number) in seen:
                ids[shape.index] = next_id
                next_id += 1
            seen.add((shape.object_id, shape.number))
        if self.shapes is not None and (ids != self._ids(self.shapes)).any():
            self.shapes.features = self.shapes.features.assign(object_id=ids)

    def paint(self, colours_of: Callable[[Sequence[int]], NDArray[np.float64]]) -> None:
        """Draw the rims of points, and shapes, in the colours of their objects; negative ones red.

        Parameters
        ----------
        colours_of : callable
            Returns the (N, 4) colours of N objects.
        """
        if self.points is not None and len(self.points.data):
            colours = colours_of(self._ids(self.points))
            if not np.allclose(self.points.border_color, colours, atol=_SAME_COLOUR):
                self.points.border_color = colours
        if self.shapes is not None and len(self.shapes.data):
            colours = colours_of(self._ids(self.shapes))
            colours[~_polarity(self.shapes)] = transform_color(_STROKES[False])[0]
            if not np.allclose(self.shapes.edge_color, colours, atol=_SAME_COLOUR):
                self.shapes.edge_color = colours

    def replace(self, key: PromptKey, prompt: Prompt | None, frame: PlaneFrame) -> None:
        """Make the layers show this prompt, and no other, for one object on one plane."""
        self.ensure()
        self._held.pop(key, None)
        drawn = PromptParts() if prompt is None else self._take_held(key, prompt)
        self._replace_points(key, drawn, frame.numbered(key[1]))
        self._replace_shapes(key, drawn, frame.numbered(key[1]))

    def show(self, prompts: Mapping[PromptKey, Prompt], frame: PlaneFrame) -> None:
        """Show prompts of which the layers show nothing yet, hundreds of them in one go."""
        self.ensure()
        drawn = {}
        for key, prompt in prompts.items():
            self._held.pop(key, None)
            drawn[key] = self._take_held(key, prompt)
        self._draw(drawn, frame, points=True, shapes=True)

    def _take_held(self, key: PromptKey, prompt: Prompt) -> PromptParts:
        """Hold what the layers do not show of a prompt, and return what they show."""
        once = self._once_held.get(key)
        beyond = None if once is None else said_beyond(prompt, once)
        if once is not None and beyond is not None:
            self._held[key] = once
            return beyond
        if prompt.mask is not None:
            mask = Prompt(*key, mask=prompt.mask, mask_origin=prompt.mask_origin)
            self._held[key] = mask
        return parts_of_prompt(prompt)

    def _replace_points(self, key: PromptKey, drawn: PromptParts, frame: PlaneFrame) -> None:
        layer = self.points
        if layer is None:
            return
        numbers, _ = self._located_points(frame)
        mine = (numbers == (frame.number or 0)) & (self._ids(layer) == key[0])
        if not mine.any() and not drawn.points:
            return
        defaults = layer.feature_defaults.iloc[0].to_dict()
        layer.remove([int(index) for index in np.flatnonzero(mine)])
        layer.selected_data = set()
        layer.feature_defaults = defaults
        self._draw({key: drawn}, frame, points=True)

    def _replace_shapes(self, key: PromptKey, drawn: PromptParts, frame: PlaneFrame) -> None:
        layer = self.shapes
        if layer is None:
            return
        mine = [
            shape
            for shape in self._drawn_shapes(frame)
            if shape.number == (frame.number or 0) and shape.object_id == key[0]
        ]
        shown = PromptParts()
        for shape in mine:
            if shape.is_drawn:
                shown.add_shape(shape, frame.plane_shape)
        if same_shapes(shown, drawn):
            return
        if mine:
            layer.remove([shape.index for shape in mine])
        self._draw({key: drawn}, frame, shapes=True)

    def _draw(
        self,
        drawn: Mapping[PromptKey, PromptParts],
        frame: PlaneFrame,
        *,
        points: bool = False,
        shapes: bool = False,
    ) -> None:
        """Add the points, or the shapes, of prompts to their layers in one go."""
        clicks, outlines = Additions(), Additions()
        for key, parts in drawn.items():
            there = frame.numbered(key[1])
            if points and self.points is not None and parts.points:
                to_layer = layer_map(self._image, self.points)
                places = to_layer(there.coordinates(parts.points))
                for place, positive in zip(places, parts.polarity, strict=True):
                    clicks.add(place, key[0], positive=positive)
            if shapes and self.shapes is not None:
                to_layer = layer_map(self._image, self.shapes)
                for pixels, kind, positive in shapes_of(parts):
                    vertices = to_layer(there.coordinates(pixels))
                    outlines.add(vertices, key[0], positive=positive, shape_type=kind)
        clicks.into_points(self.points)
        outlines.into_shapes(self.shapes, _STROKES)

    def _located_points(self, frame: PlaneFrame) -> tuple[Any, Any]:
        if self.points is None or not len(self.points.data):
            return np.zeros(0, np.int64), np.zeros((0, 2))
        return frame.locate(layer_map(self.points, self._image)(self.points.data))

    def _drawn_shapes(self, frame: PlaneFrame) -> list[DrawnShape]:
        layer = self.shapes
        if layer is None or not len(layer.data):
            return []
        to_image = layer_map(layer, self._image)
        ids, polarity = self._ids(layer), _polarity(layer)
        shapes = []
        for index, (vertices, shape_type) in enumerate(
            zip(layer.data, layer.shape_type, strict=True)
        ):
            numbers, pixels = frame.locate(to_image(vertices))
            number = int(numbers[0]) if (numbers == numbers[0]).all() else -1
            positive = bool(polarity[index])
            meaning = int(ids[index]), kind_of(str(shape_type), positive=positive)
            shapes.append(DrawnShape(index, number, *meaning, pixels, positive))
        return shapes

    def _ids(self, layer: Any) -> Any:
        """Return the object id of every point or box; 1 where somebody dropped the column."""
        if layer is None:
            return np.zeros(0, int)
        column = layer.features.get("object_id")
        count = len(layer.data)
        return np.ones(count, int) if column is None else np.asarray(column, dtype=int)

    def _polarity(self) -> Any:
        return np.zeros(0, bool) if self.points is None else _polarity(self.points)


def _polarity(layer: Any) -> Any:
    column = layer.features.get("polarity")
    count = len(layer.data)
    return np.ones(count, bool) if column is None else np.asarray(column) != "negative"


def _meaning(object_id: int, *, positive: bool) -> dict[str, Any]:
    return {"object_id": object_id, "polarity": "positive" if positive else "negative"}


def _key(object_id: Any, number: Any, frame: PlaneFrame) -> PromptKey:
    return int(object_id), (int(number) if frame.index else None)


def _geometry_of(image: Any) -> dict[str, Any]:
    """Return what the file of a medical image says of where it lies, to be saved with labels."""
    return {name: image.metadata[name] for name in ("geometry",) if name in image.metadata}


def metadata_of(role: str, image: Any) -> dict[str, Any]:
    """Return the metadata by which ``find_layer`` finds a layer again."""
    return {"anysam": {"role": role, "image": str(image.unique_id)}}
