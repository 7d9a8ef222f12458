"""Objects measured in mL and mm, where the image's layer says how large its pixels are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pint.errors import PintError

from napari_anysam._napari.coordinates import level0
from napari_anysam.errors import ImageError
from napari_anysam.images.axis_view import AxisView
from napari_anysam.segmentation.windows import tight_window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.export.measures import Measures

__all__ = ["COLUMNS", "measuring", "with_measures"]

COLUMNS = ("volume_ml", "longest_diameter_mm", "perpendicular_diameter_mm", "mean_intensity")
"""Of the features of a Labels layer, as in the tables that are exported."""


def measuring(work: Workspace, object_ids: Sequence[int]) -> Callable[[], dict[int, Measures]]:
    """Take what it needs to measure objects from the layers; what is returned reads the pixels.

    Of a time series of volumes the time point that is shown is measured, of a plane that plane.

    Parameters
    ----------
    work : Workspace
    object_ids : sequence of int
        Those that are not there are left out.

    Raises
    ------
    ImageError
        If there are no labels, no plane is shown, or the layer's units are no lengths.
    """
    target, frame = work.target, work.frame()
    if target is None:
        raise ImageError("There are no labels to measure yet; accept a mask first.")
    axes = frame.order[-3:]
    spacing = _millimetres(work.image, axes)
    labels = _volume(level0(target.layer), frame, axes)
    image = None if work.image.rgb else _volume(level0(work.image), frame, axes)
    return partial(_measured, labels, image, spacing, tuple(object_ids))


def with_measures(features: Any, measures: dict[int, Measures]) -> Any:
    """Return a layer's table of features with columns of what was measured."""
    table = features.copy()
    for name in COLUMNS:
        if name not in table:
            table[name] = np.nan
        for object_id, found in measures.items():
            value = getattr(found, name)
            table.loc[table["index"] == object_id, name] = np.nan if value is None else value
    return table


def _volume(array: Any, frame: PlaneFrame, axes: tuple[int, ...]) -> AxisView:
    fixed = {
        axis: index
        for axis, index in zip(frame.order[:-2], frame.index, strict=True)
        if axis not in axes
    }
    return AxisView(array, axes, fixed)


def _millimetres(image: Any, axes: Sequence[int]) -> tuple[float, ...]:
    """Return the size of a voxel along some axes of a layer."""
    origin = np.asarray(image.data_to_world(np.zeros(image.ndim)))
    sizes = []
    for axis in axes:
        step = np.zeros(image.ndim)
        step[axis] = 1
        size = float(np.linalg.norm(np.asarray(image.data_to_world(step)) - origin))
        try:
            sizes.append(float((size * image.units[axis]).to("mm").magnitude))
        except PintError as error:
            raise ImageError(
                f"{image.name!r} is measured in {image.units[axis]}, not in a length; open it with "
                "its pixel sizes, or set the layer's scale and units."
            ) from error
    return tuple(sizes)


def _measured(
    labels: AxisView,
    image: AxisView | None,
    spacing: tuple[float, ...],
    object_ids: tuple[int, ...],
) -> dict[int, Measures]:
    from napari_anysam.export.measures import measure_object

    boxes = _boxes(labels, object_ids)
    return {
        object_id: measure_object(
            np.asarray(labels[box]),
            object_id,
            spacing,
            None if image is None else np.asarray(image[box]),
        )
        for object_id, box in boxes.items()
    }


def _boxes(labels: AxisView, object_ids: tuple[int, ...]) -> dict[int, tuple[slice, ...]]:
    """Find the bounding boxes of objects, reading plane by plane."""
    found: dict[int, NDArray[np.int64]] = {}
    flat = len(labels.shape) == 2
    for plane in range(1 if flat else labels.shape[0]):
        values = labels[()] if flat else labels[(plane,)]
        for object_id in np.intersect1d(values, object_ids).tolist():
            window = tight_window(values == object_id)
            if window is None:
                continue
            (row, column), (height, width) = window.origin, window.shape
            box = np.array([[plane, row, column], [plane + 1, row + height, column + width]])
            before = found.get(object_id, box)
            found[object_id] = np.stack(
                [np.minimum(before[0], box[0]), np.maximum(before[1], box[1])]
            )
    return {
        object_id: tuple(
            slice(int(start), int(stop)) for start, stop in (box.T[1:] if flat else box.T)
        )
        for object_id, box in found.items()
    }
