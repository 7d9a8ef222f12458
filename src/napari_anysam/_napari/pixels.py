"""The pixels behind a layer, as planes of the axes that the viewer shows, encoded as they look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.images.axis_view import views_of_levels
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.plane_pixels import WindowedPlane

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from napari_anysam._napari.appearance import Look
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam.images.axis_view import AxisView
    from napari_anysam.images.conditioning import Conditioning

__all__ = ["JoinedViews", "PlaneSource", "plane_source", "stack_of"]


class JoinedViews:
    """Views of equal shape as the channels of one array, on its first axis.

    Parameters
    ----------
    views : sequence of AxisView
        Types may differ; what is read has the type that holds them all.
    """

    def __init__(self, views: Sequence[AxisView]) -> None:
        self._views = tuple(views)
        self.shape = (len(self._views), *self._views[0].shape)
        self.ndim = len(self.shape)
        self.dtype = np.result_type(*(view.dtype for view in self._views))

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read a part: a slice of the channels, then one integer or slice per axis of a view."""
        channels, *rest = key
        views = self._views[channels]
        views = views if isinstance(views, tuple) else (views,)
        return np.stack([view[tuple(rest)].astype(self.dtype, copy=False) for view in views])


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


def _levels(look: Look, axes: tuple[int, ...], fixed: dict[int, int]) -> tuple[Any, int | None]:
    """Return the pixels of all layers, level by level, and the axis of their channels if any."""
    rgb = look.layers[0].rgb
    pyramids = [views_of_levels(_arrays(layer), axes, fixed, channels=rgb) for layer in look.layers]
    if len(pyramids) == 1:
        return pyramids[0], len(axes) if rgb else None
    by_shape = [{view.shape: view for view in reversed(views)} for views in pyramids]
    shared = [
        JoinedViews([views[first.shape] for views in by_shape])
        for first in pyramids[0]
        if all(first.shape in views for views in by_shape)
    ]
    return shared, 0


def _arrays(layer: Any) -> list[Any]:
    """Return a layer's arrays, the largest first."""
    return list(layer.data) if getattr(layer, "multiscale", False) else [layer.data]
