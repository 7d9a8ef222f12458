"""The padded box as a thin line around the box that the user drew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Shapes

from napari_anysam._napari.coordinates import corners_from_box, spatial_shape
from napari_anysam._napari.preview import below_prompts
from napari_anysam._napari.prompt_layers import copy_transform
from napari_anysam.segmentation.derived_prompts import padded_box

if TYPE_CHECKING:
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam.segmentation.prompts import Box

__all__ = ["OUTLINE_NAME", "PaddingOutline"]

OUTLINE_NAME = "AnySAM box padding"
_COLOUR = "#ffffff"
_WIDTH_PER_PIXEL = 1 / 1200


class PaddingOutline:
    """One Shapes layer with one rectangle, there while a padded box is answered.

    Parameters
    ----------
    viewer : napari viewer
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layer: Shapes | None = None

    def show(self, image: Any, frame: PlaneFrame, box: Box | None, padding: float) -> None:
        """Draw what a box grows to; nothing where there is no box or no padding."""
        self.remove()
        if box is None or padding == 0:
            return
        corners = corners_from_box(padded_box(box, padding, frame.plane_shape))
        layer = Shapes(
            [frame.coordinates(corners)],
            shape_type="rectangle",
            name=OUTLINE_NAME,
            edge_color=_COLOUR,
            edge_width=max(0.2, max(spatial_shape(image)[-2:]) * _WIDTH_PER_PIXEL),
            face_color="transparent",
            metadata={"anysam": {"role": "padding", "image": str(image.unique_id)}},
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
