"""The padded box as a thin line around the box that the user drew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_anysam._napari.box_outline import BoxOutline
from napari_anysam.segmentation.derived_prompts import padded_box

if TYPE_CHECKING:
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam.segmentation.prompts import Box

__all__ = ["OUTLINE_NAME", "PaddingOutline"]

OUTLINE_NAME = "AnySAM box padding"


class PaddingOutline(BoxOutline):
    """There while a padded box is answered.

    Parameters
    ----------
    viewer : napari viewer
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, OUTLINE_NAME, "padding")

    def show(self, image: Any, frame: PlaneFrame, box: Box | None, padding: float) -> None:
        """Draw what a box grows to; nothing where there is no box or no padding."""
        if box is None or padding == 0:
            self.remove()
        else:
            self.draw(image, frame, padded_box(box, padding, frame.plane_shape))
