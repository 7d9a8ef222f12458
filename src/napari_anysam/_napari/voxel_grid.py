"""The voxel-grid view: an oblique volume shown along its own axes, its transform parked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from napari_anysam._napari.appearance import lies_on

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["VoxelGrid"]

_TRANSFORM = ("scale", "translate", "rotate", "shear", "affine")


class VoxelGrid:
    """Parks the transforms of an image and of the layers that lie on it, and brings them back.

    While they are parked only the size of the voxels is left of them, so every slider position is
    one plane of voxels. Other layers stay where they are.

    Parameters
    ----------
    viewer : napari viewer
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._image: Any = None
        self._parked: WeakKeyDictionary[Any, Mapping[str, Any]] = WeakKeyDictionary()

    def holds(self, image: Any) -> bool:
        """Whether the transform of this image is parked."""
        return image is not None and image is self._image

    def park(self, image: Any) -> None:
        """Show an image along its own axes; another one that was shown so is brought back."""
        self.restore()
        upon = self._layers_upon(image)
        plain = _voxel_sizes(image)
        self._image = image
        for layer in upon:
            self._parked[layer] = _transform_of(layer)
            _set_transform(layer, plain)
        self._viewer.reset_view()

    def restore(self) -> None:
        """Bring the transforms back, to layers that were made in the meantime too."""
        image, self._image = self._image, None
        if image is None:
            return
        of_image = self._parked[image]
        for layer in self._layers_upon(image):
            _set_transform(layer, self._parked.get(layer, of_image))
        self._parked.clear()
        self._viewer.reset_view()

    def _layers_upon(self, image: Any) -> list[Any]:
        return [
            layer
            for layer in self._viewer.layers
            if layer is image or (layer.ndim == image.ndim and lies_on(layer, image))
        ]


def _transform_of(layer: Any) -> dict[str, Any]:
    values = {name: np.array(getattr(layer, name)) for name in _TRANSFORM[:-1]}
    return {**values, "affine": np.array(layer.affine.affine_matrix)}


def _set_transform(layer: Any, values: Mapping[str, Any]) -> None:
    for name in _TRANSFORM:
        setattr(layer, name, values[name])


def _voxel_sizes(image: Any) -> dict[str, Any]:
    """Return a transform that only scales, by the lengths of the voxel's edges in the world."""
    ndim = image.ndim
    origin = np.asarray(image.data_to_world(np.zeros(ndim)))
    edges = [np.asarray(image.data_to_world(edge)) - origin for edge in np.eye(ndim)]
    return {
        "scale": np.linalg.norm(edges, axis=1),
        "translate": np.zeros(ndim),
        "rotate": np.eye(ndim),
        "shear": np.zeros(ndim * (ndim - 1) // 2),
        "affine": np.eye(ndim + 1),
    }
