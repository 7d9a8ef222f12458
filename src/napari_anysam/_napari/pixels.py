"""The pixels behind a layer, as planes of the axes that the viewer shows, encoded as they look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_anysam.images.axis_view import views_of_layers
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.plane_pixels import WindowedPlane

if TYPE_CHECKING:
    from collections.abc import Hashable

    import numpy as np
    from numpy.typing import NDArray

    from napari_anysam._napari.appearance import Look
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam.images.conditioning import Conditioning

__all__ = ["PlaneSource", "plane_source", "series_of", "stack_of"]


@dataclass(frozen=True, slots=True, eq=False)
class PlaneSource:
    """One plane of a layer: where its pixels are and how they are conditioned.

    Made in the window's thread, read in the inference thread, so it holds no layer.
    """

    planes: Planes
    conditioning: Conditioning
    frame: PlaneFrame
    key: Hashable

    def read(self) -> NDArray[np.uint8]:
        """Return the plane as uint8 (H, W, 3), as the user sees it."""
        return self.conditioning.apply(self.planes.read(0))

    def pixels(self) -> WindowedPlane:
        """Return the plane as what is read region by region, from the level that suits."""
        return WindowedPlane(self.planes, self.conditioning)


def plane_source(look: Look, frame: PlaneFrame, identity: Hashable) -> PlaneSource:
    """Take one plane of an image layer as it is shown.

    Parameters
    ----------
    look : Look
        The layers and their conditioning; multiscale layers give all levels that the hidden axes
        have in full, as far as each layer has them.
    frame : PlaneFrame
        Which plane.
    identity : hashable
        Changes when the chosen layer's pixels change; part of the key of cached embeddings.
    """
    fixed = dict(zip(frame.order[:-2], frame.index, strict=True))
    levels, channel_axis = _levels(look, frame.order[-2:], fixed)
    conditioning = look.at(frame)
    key = (identity, frame, conditioning, look.tokens)
    return PlaneSource(Planes.single(levels, channel_axis), conditioning, frame, key)


def stack_of(look: Look, frame: PlaneFrame, axis: int) -> Planes:
    """Return the planes along one hidden data axis; other hidden axes stay where they stand."""
    fixed = {
        other: index
        for other, index in zip(frame.order[:-2], frame.index, strict=True)
        if other != axis
    }
    levels, channel_axis = _levels(look, (axis, *frame.order[-2:]), fixed)
    return Planes(levels, 1 if channel_axis == 0 else 0, channel_axis)


def series_of(look: Look, frame: PlaneFrame, axes: tuple[int, int]) -> tuple[Any, int | None]:
    """Return pixels (first axis, second axis, H, W) level by level, and the axis of channels.

    Parameters
    ----------
    look : Look
    frame : PlaneFrame
        Hidden axes other than ``axes`` stay where it stands.
    axes : (int, int)
        Hidden data axes.
    """
    hidden = zip(frame.order[:-2], frame.index, strict=True)
    fixed = {other: index for other, index in hidden if other not in axes}
    return _levels(look, (*axes, *frame.order[-2:]), fixed)


def _levels(look: Look, axes: tuple[int, ...], fixed: dict[int, int]) -> tuple[Any, int | None]:
    """Return the pixels of all layers, level by level, and the axis of their channels if any."""
    rgb = look.layers[0].rgb
    return views_of_layers([_arrays(layer) for layer in look.layers], axes, fixed, rgb=rgb)


def _arrays(layer: Any) -> list[Any]:
    """Return a layer's arrays, the largest first."""
    return list(layer.data) if getattr(layer, "multiscale", False) else [layer.data]
