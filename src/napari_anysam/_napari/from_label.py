"""A label of any Labels layer as a rough mask of the running object: one click on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_anysam._napari.coordinates import level0, spatial_shape
from napari_anysam.errors import ImageError
from napari_anysam.images.axis_view import AxisView
from napari_anysam.segmentation.labels import plane_strips
from napari_anysam.segmentation.windows import STRIP_PIXELS, Window, joined_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam.segmentation.label_census import LabelCensus

__all__ = ["LabelPicker", "found_window", "label_window", "labels_like", "pickable_layers"]


def labels_like(viewer: Any, image: Any) -> list[Any]:
    """Return the Labels layers with an image's pixels, but for those that only help us."""
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, Labels)
        and layer.metadata.get("anysam", {}).get("role") not in ("preview", "brush")
        and spatial_shape(layer) == spatial_shape(image)
    ]


def label_window(layer: Any, value: int, frame: PlaneFrame) -> Window | None:
    """Return one label of a plane in its bounding box; None if it is not there."""
    fixed = dict(zip(frame.order[:-2], frame.index, strict=True))
    view = AxisView(level0(layer), frame.order[-2:], fixed)
    return joined_window(values == value for _, values in plane_strips(view, ()))


def found_window(labels: Any, value: int, frame: PlaneFrame, census: LabelCensus) -> Window | None:
    """Return one label of a plane, read only where it was counted; None if it is not there."""
    region = census.region_of(value, frame.index)
    if region is None:
        return None
    rows, columns = region
    origin = rows.start, columns.start
    count = max(1, STRIP_PIXELS // (columns.stop - columns.start))
    starts = range(rows.start, rows.stop, count)
    parts = (slice(start, min(start + count, rows.stop)) for start in starts)
    return joined_window(
        (np.asarray(labels[(*frame.index, part, columns)]) == value for part in parts), origin
    )


def pickable_layers(viewer: Any, image: Any, ours: Any) -> list[Any]:
    """Return the layers whose labels can become prompts on an image, the likeliest first.

    Parameters
    ----------
    viewer : napari viewer
    image : napari Image
    ours : napari Labels or None
        Comes last: the user knows its labels already.

    Raises
    ------
    ImageError
        If there is none.
    """
    layers = labels_like(viewer, image)[::-1]
    if not layers:
        raise ImageError(
            f"No Labels layer has the pixels of {image.name!r}; open one of the same shape, or "
            "paint one."
        )
    return sorted(layers, key=lambda layer: layer == ours)


class LabelPicker:
    """Waits for a click on a label, in napari's pick mode.

    Parameters
    ----------
    viewer : napari viewer
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layers: list[Any] = []
        self._on_pick: Callable[[Any, int], None] | None = None

    def start(self, layers: list[Any], on_pick: Callable[[Any, int], None]) -> None:
        """Let a click pick a label of any of these layers; the first is made the active one.

        Parameters
        ----------
        layers : list of napari Labels
        on_pick : callable
            Called with the layer and the label that was clicked.
        """
        self.stop()
        selection = self._viewer.layers.selection
        if selection.active not in layers:
            selection.active = layers[0]
        for layer in layers:
            layer.mode = "pick"
            layer.mouse_drag_callbacks.insert(0, self._press)
        self._layers, self._on_pick = layers, on_pick

    def stop(self) -> None:
        """Leave the layers to napari again."""
        layers, self._layers = self._layers, []
        for layer in layers:
            layer.mouse_drag_callbacks.remove(self._press)
            if str(layer.mode) == "pick":
                layer.mode = "pan_zoom"

    @property
    def waits(self) -> bool:
        """Whether a click would pick a label now."""
        active = self._viewer.layers.selection.active
        return active in self._layers and str(active.mode) == "pick"

    def _press(self, layer: Any, event: Any) -> None:
        if event.type != "mouse_press" or str(layer.mode) != "pick":
            return
        value = layer.get_value(
            event.position,
            view_direction=event.view_direction,
            dims_displayed=event.dims_displayed,
            world=True,
        )
        value = value[1] if isinstance(value, tuple) else value  # (level, label) of a pyramid
        if value and self._on_pick is not None:
            self._on_pick(layer, int(value))
