"""The pixels behind a layer, as planes of the axes that the viewer shows, encoded as they look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam._napari.coordinates import level0
from napari_anysam.images.axis_view import AxisView
from napari_anysam.images.conditioning import Conditioning
from napari_anysam.images.planes import Planes

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

    from napari_anysam._napari.coordinates import PlaneFrame

__all__ = ["PlaneSource", "conditioning_of", "plane_source", "stack_of"]


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


def conditioning_of(layer: Any) -> Conditioning:
    """Return the contrast limits and gamma that the user sees; RGB is taken as it is."""
    if not layer.rgb:
        low, high = (float(value) for value in layer.contrast_limits)
        return Conditioning(((low, high),), float(layer.gamma))
    dtype = np.dtype(level0(layer).dtype)
    # As napari shows RGB: integers over their whole range, floats from 0 to 1.
    high = float(np.iinfo(dtype).max) if dtype.kind in "ui" else 1.0
    return Conditioning(((0.0, high),))


def plane_source(layer: Any, frame: PlaneFrame, identity: Hashable) -> PlaneSource:
    """Take one plane of an image layer as it is shown.

    Parameters
    ----------
    layer : napari Image
        Multiscale layers give their finest level.
    frame : PlaneFrame
        Which plane.
    identity : hashable
        Changes when the layer's pixels change; part of the key of cached embeddings.
    """
    fixed = dict(zip(frame.order[:-2], frame.index, strict=True))
    view = AxisView(level0(layer), frame.order[-2:], fixed, channels=layer.rgb)
    planes = Planes.single(view, channel_axis=2 if layer.rgb else None)
    conditioning = conditioning_of(layer)
    return PlaneSource(planes, conditioning, frame, (identity, frame, conditioning))


def stack_of(layer: Any, frame: PlaneFrame, axis: int) -> Planes:
    """Return the planes along one hidden data axis; other hidden axes stay where they stand."""
    fixed = {
        other: index
        for other, index in zip(frame.order[:-2], frame.index, strict=True)
        if other != axis
    }
    view = AxisView(level0(layer), (axis, *frame.order[-2:]), fixed, channels=layer.rgb)
    return Planes(view, axis=0, channel_axis=3 if layer.rgb else None)
