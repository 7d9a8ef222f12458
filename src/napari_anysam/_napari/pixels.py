"""The pixels behind a layer, as planes of the axes that the viewer shows, encoded as they look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam._napari.coordinates import level0
from napari_anysam.images.conditioning import Conditioning
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.plane_pixels import WindowedPlane

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

    from napari_anysam._napari.coordinates import PlaneFrame

__all__ = ["AxisView", "PlaneSource", "conditioning_of", "plane_source", "stack_of"]


class AxisView:
    """An array seen with some axes fixed and the others reordered; nothing is read before use.

    Parameters
    ----------
    array : array-like
        numpy, dask, zarr, or anything else that takes integers and slices.
    axes : sequence of int
        Axes of ``array`` that the view has, in the view's order.
    fixed : mapping of int to int
        Index of every other axis.
    channels : bool
        Whether the array's last axis holds RGB or RGBA; the view ends with its first three.
    """

    def __init__(
        self, array: Any, axes: tuple[int, ...], fixed: dict[int, int], *, channels: bool = False
    ) -> None:
        self._array = array
        self._axes = (*axes, array.ndim - 1) if channels else axes
        self._fixed = fixed
        self._channels = channels
        shape = tuple(int(array.shape[axis]) for axis in self._axes)
        self.shape = (*shape[:-1], min(shape[-1], 3)) if channels else shape
        self.ndim = len(self.shape)
        self.dtype = np.dtype(array.dtype)

    def __getitem__(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read a part: one integer or slice per axis of the view."""
        keys = [*key, *(slice(None),) * (self.ndim - len(key))]
        if self._channels and isinstance(keys[-1], slice):
            keys[-1] = slice(*keys[-1].indices(self.shape[-1]))
        whole: list[int | slice] = [slice(None)] * self._array.ndim
        for axis, index in self._fixed.items():
            whole[axis] = index
        for axis, part in zip(self._axes, keys, strict=True):
            whole[axis] = part
        kept = [axis for axis, part in zip(self._axes, keys, strict=True) if _is_slice(part)]
        values = np.asarray(self._array[tuple(whole)])
        return values.transpose(np.argsort(np.argsort(kept)))


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
        Multiscale layers give all levels that the hidden axes have in full.
    frame : PlaneFrame
        Which plane.
    identity : hashable
        Changes when the layer's pixels change; part of the key of cached embeddings.
    """
    fixed = dict(zip(frame.order[:-2], frame.index, strict=True))
    views = [
        AxisView(level, frame.order[-2:], fixed, channels=layer.rgb)
        for level in _levels(layer, frame.order[:-2])
    ]
    planes = Planes.single(views, channel_axis=2 if layer.rgb else None)
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


def _levels(layer: Any, hidden: tuple[int, ...]) -> list[Any]:
    """Return a layer's arrays; those that are smaller along a hidden axis show other planes."""
    first = level0(layer)
    if not getattr(layer, "multiscale", False):
        return [first]
    others = [
        level
        for level in list(layer.data)[1:]
        if all(level.shape[axis] == first.shape[axis] for axis in hidden)
    ]
    return [first, *others]


def _is_slice(part: int | slice) -> bool:
    return isinstance(part, slice)
