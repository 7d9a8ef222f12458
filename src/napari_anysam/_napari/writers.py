"""A Labels layer saved as NIfTI, NRRD, MetaImage or DICOM-SEG (File > Save Selected Layers).

Where it lies is what the file of its image said (``metadata["geometry"]``, which labels made here
take over from the image), else the layer's own transform, with napari's world read as in
``readers``: (z, y, x) in the layer's units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import ImageError, LabelFileError
from napari_anysam.images.geometry import Geometry, millimetres

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["geometry_of_layer", "write_volume"]


def write_volume(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a Labels layer.

    Parameters
    ----------
    path : str
        Target: .nii.gz, .nii, .nrrd, .mha or .dcm.
    data : integer array (H, W) or (N, H, W)
        numpy, dask or zarr.
    meta : mapping
        The layer's attributes.

    Raises
    ------
    LabelFileError
        If the layer is no single plane or volume, its transform shears, the extra "medical" is
        missing, or it cannot be written there.
    """
    from napari_anysam.images.label_files import write_labels

    if isinstance(data, list | tuple) or getattr(data, "ndim", 0) not in (2, 3):
        raise LabelFileError(
            "The layer is no single plane or volume; choose one level or time point first."
        )
    try:
        geometry = geometry_of_layer(data.shape, meta)
        return [str(write_labels(path, np.asarray(data), geometry))]
    except ImageError as error:  # a ValueError, which napari takes for "another writer, please"
        raise LabelFileError(str(error)) from error


def geometry_of_layer(shape: tuple[int, ...], meta: Mapping[str, Any]) -> Geometry:
    """Return where the voxels of a layer lie.

    Raises
    ------
    ImageError
        If the layer's own transform is needed and shears.
    """
    told = (meta.get("metadata") or {}).get("geometry")
    if told is not None:
        geometry = Geometry.from_dict(told)
        if geometry.ndim >= len(shape):
            return geometry
    return Geometry.from_affine(_sizes(meta, len(shape)) @ _transform(meta, len(shape)))


def _transform(meta: Mapping[str, Any], ndim: int) -> Any:
    """Return the matrix from the layer's indices to napari's world."""
    from napari.utils.transforms import CompositeAffine

    own = CompositeAffine(
        scale=meta.get("scale", (1.0,) * ndim),
        translate=meta.get("translate", (0.0,) * ndim),
        rotate=meta.get("rotate"),
        shear=meta.get("shear"),
        ndim=ndim,
    )
    outer = meta.get("affine")
    return own.affine_matrix if outer is None else np.asarray(outer) @ own.affine_matrix


def _sizes(meta: Mapping[str, Any], ndim: int) -> Any:
    """Return the matrix that turns the layer's units into mm; what has no unit of length stays."""
    units = meta.get("units") or ("pixel",) * ndim
    return np.diag([*(millimetres(str(unit)) or 1.0 for unit in units), 1.0])
