"""A box as a thin line over an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Shapes

from napari_anysam._napari.coordinates import corners_from_box, spatial_shape
from napari_anysam._napari.preview import below_prompts
from napari_anysam._napari.prompt_layers import copy_transform

if TYPE_CHECKING:
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam.segmentation.prompts import Box

__all__ = ["BoxOutline"]

_COLOUR = "#ffffff"
_WIDTH_PER_PIXEL = 1 / 1200


class BoxOutline:
    """One Shapes layer with one rectangle, there while a box is shown.

    Parameters
    ----------
    viewer : napari viewer
    name : str
        Of the layer.
    role : str
        What the box is, for the layer's metadata.
    """

    def __init__(self, viewer: Any, name: str, role: str) -> None:
        self._viewer = viewer
        self._name = name
        self._role = role
        self._layer: Shapes | None = None

    def draw(self, image: Any, frame: PlaneFrame, box: Box) -> None:
        """Draw a box of half-open pixel edges (y0, x0, y1, x1) on a plane of an image."""
        self.remove()
        layer = Shapes(
            [frame.coordinates(corners_from_box(box))],
            shape_type="rectangle",
            name=self._name,
            edge_color=_COLOUR,
            edge_width=max(0.2, max(spatial_shape(image)[-2:]) * _WIDTH_PER_PIXEL),
            face_color="transparent",
            metadata={"anysam": {"role": self._role, "image": str(image.unique_id)}},
        )
        copy_transform(image, layer)
        layer.editable = False
        self._layer = layer
        layers = self._viewer.layers
        active = layers.selection.active
        layers.insert(below_prompts(layers), layer)
        layers.selection.active = active

    def remove(self) -> None:
        """Take the layer away, if it is still there."""
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
