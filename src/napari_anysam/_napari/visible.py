"""What of a plane the viewer shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam._napari.coordinates import world_to_data

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam.segmentation.prompts import Box

__all__ = ["visible_box"]


def visible_box(viewer: Any, image: Any, frame: PlaneFrame) -> Box | None:
    """Return the part of a plane that the canvas shows, (y0, x0, y1, x1) in level-0 pixels.

    Parameters
    ----------
    viewer : napari viewer
    image : napari Image
    frame : PlaneFrame
        The plane of it that is shown.

    Returns
    -------
    box of half-open pixel edges, or None if no canvas drew the layer yet.
    """
    axes = list(frame.order[-2:])
    corners = np.asarray(image.corner_pixels, dtype=float)[:, axes]
    if not corners[1].any():  # both are the origin until a canvas draws the layer
        return None
    if getattr(image, "multiscale", False):
        # They count pixels of the level that is drawn.
        corners = corners * np.asarray(image.downsample_factors)[image.data_level][axes]
    low, high = corners
    if hasattr(viewer, "canvas"):  # from napari 0.9; its corners of pyramids are those of chunks
        seen = _seen(viewer, image, axes)
        low, high = np.maximum(low, seen.min(axis=0)), np.minimum(high, seen.max(axis=0))
    low = np.clip(np.floor(low), 0, frame.plane_shape)
    high = np.clip(np.ceil(high) + 1, 0, frame.plane_shape)
    if (high <= low).any():
        return None
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _seen(viewer: Any, image: Any, axes: list[int]) -> NDArray[np.float64]:
    """Return where the canvas' corners lie in an image, (4, 2) rows and columns."""
    dims, camera = viewer.dims, viewer.scene.camera
    half = np.asarray(viewer.canvas.size, dtype=float) / (2 * camera.zoom)
    world = np.tile(np.asarray(dims.point, dtype=float), (4, 1))
    signs = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])
    world[:, list(dims.displayed)] = np.asarray(camera.center[-2:]) + signs * half
    return world_to_data(dims, image, world)[:, axes]
