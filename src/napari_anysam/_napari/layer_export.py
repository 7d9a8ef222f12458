"""From a Labels layer, and the image below it, to an export."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam._napari.coordinates import spatial_shape
from napari_anysam._napari.preview import PREVIEW_NAME
from napari_anysam._napari.writers import geometry_of_layer
from napari_anysam.errors import LabelFileError
from napari_anysam.export.formats import FORMATS, export_labels
from napari_anysam.export.units import known_units
from napari_anysam.images.volume_files import LABEL_VOLUMES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["exportable_labels", "layer_export"]

_AXES = "TCZYX"


def exportable_labels(viewer: Any) -> list[Any]:
    """Return the Labels layers of a viewer, without the preview."""
    from napari.layers import Labels

    return [
        layer for layer in viewer.layers if isinstance(layer, Labels) and layer.name != PREVIEW_NAME
    ]


def layer_export(
    labels: Any, image: Any, path: Path, format_name: str, *, overwrite: bool = False
) -> Callable[[], Path]:
    """Take what an export needs from layers; what is returned writes it, on any thread.

    Axis names, scale and units go with the labels, and classes, scores, models and mothers from
    the layer's table of features.

    Parameters
    ----------
    labels : napari Labels
    image : napari Image or None
        Measured for "csv", cut for "cutouts", saved for "yolo".
    path : Path
        File or folder to make.
    format_name : str
        One of ``export.formats.FORMATS``.
    overwrite : bool
        Whether an earlier export may be replaced.

    Raises
    ------
    LabelFileError
        If there is no memory to take the labels as they are now.
    ImageError
        If a medical volume is asked for and the layer is sheared.
    """
    levels = labels.data
    array = levels[0] if labels.multiscale else levels
    if isinstance(array, np.ndarray):
        try:
            array = array.copy()  # the user goes on painting while it is written
        except MemoryError as error:
            raise LabelFileError(
                f"There is no memory for a copy of {labels.name!r}; save it in napari, and use "
                "'anysam export'."
            ) from error
    axes = _axes_of(labels)
    options: dict[str, Any] = dict(_about_objects(labels))
    if FORMATS[format_name].series:
        options["parents"] = _kin_of(labels)
    if axes is not None:
        options["units"] = known_units([_unit(unit) for unit in labels.units], axes)
    if FORMATS[format_name].endings and FORMATS[format_name].endings[0] in LABEL_VOLUMES:
        options["geometry"] = geometry_of_layer(tuple(array.shape), labels.as_layer_data_tuple()[1])
    if image is not None:
        options |= {
            "image": image.data[0] if image.multiscale else image.data,
            "channel_axis": -1 if image.rgb else None,
            "contrast": "auto" if image.rgb else tuple(map(float, image.contrast_limits)),
        }
        if spatial_shape(image) != tuple(array.shape):
            raise LabelFileError(
                f"{image.name!r} is not the image of {labels.name!r}: their shapes differ; choose "
                "another image, or none."
            )
    return partial(
        export_labels,
        array,
        path,
        format=format_name,
        axes=axes,
        scale=tuple(map(float, np.abs(labels.scale))),
        **options,
        overwrite=overwrite,
    )


def _axes_of(labels: Any) -> str | None:
    """Return the axes by their letters, if that is how the layer names them."""
    axes = "".join(str(name).upper() for name in labels.axis_labels)
    fits = len(axes) == labels.ndim == len(set(axes)) and set(axes) <= set(_AXES)
    return axes if fits and axes.endswith("YX") else None


def _unit(unit: Any) -> str | None:
    """Return a unit of napari by its name; pixels are none."""
    name = str(unit)
    return None if name in ("pixel", "dimensionless", "") else name


def _about_objects(labels: Any) -> dict[str, dict[int, Any]]:
    """Read what the table of features says of the objects."""
    table = labels.features
    if "index" not in table:
        return {}
    found: dict[str, dict[int, Any]] = {}
    for column, name, kind in (
        ("class", "object_classes", str),
        ("score", "object_scores", float),
        ("model", "object_models", str),
    ):
        if column in table:
            pairs = zip(table["index"], table[column], strict=True)
            found[name] = {int(one): kind(said) for one, said in pairs if _is_said(said)}
    return found


def _kin_of(labels: Any) -> dict[int, int]:
    """Read daughter to mother from the table of features."""
    table = labels.features
    if "index" not in table or "parent" not in table:
        return {}
    pairs = zip(table["index"], table["parent"], strict=True)
    links = {int(child): int(mother) for child, mother in pairs if _is_said(mother)}
    # Who has no mother is its own in the tables of other programs, or the child of 0.
    return {child: mother for child, mother in links.items() if mother not in (0, child)}


def _is_said(value: Any) -> bool:
    return value is not None and value == value and value != ""  # noqa: PLR0124 - NaN
