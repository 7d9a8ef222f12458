"""Label images to files: TIFF, PNG, OME-Zarr and medical volumes, always all or nothing.

Whatever is written grows beside its target under a hidden name and takes the target's place in
one step at the end. A full disk, an error or a killed process leaves the old file as it was.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import LabelFileError
from napari_anysam.images.file_kinds import ending_of, stem_of
from napari_anysam.images.label_encoding import smallest_dtype, write_png, write_tiff
from napari_anysam.images.label_zarr import make_label_zarr, multiscale_of
from napari_anysam.images.safe_writing import replace_file, replace_folder
from napari_anysam.images.volume_files import LABEL_VOLUMES, write_label_volume

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from numpy.typing import DTypeLike, NDArray

    from napari_anysam.images.geometry import Geometry

__all__ = ["LabelFileError", "check_output", "write_labels"]

_TIFF = (".tif", ".tiff", ".btf")
_ENDINGS = (*_TIFF, ".png", ".zarr", *LABEL_VOLUMES)


def check_output(path: str | PathLike[str], ndim: int = 2) -> Path:
    """Check, before any work is done, that labels can be written there.

    Parameters
    ----------
    path : path
        Target: .tif, .tiff, .btf, .zarr, .nii, .nii.gz, .nrrd, .mha, .dcm (DICOM-SEG), or .png for
        a single plane. It may exist already.
    ndim : int
        Dimensions of the labels.

    Returns
    -------
    Path
        The target with links followed, so that a link's file is replaced and not the link.

    Raises
    ------
    LabelFileError
        If its ending is unknown, its folder is missing or not writable, or a folder of another
        kind is in its place.
    """
    path = Path(os.path.realpath(path))
    ending = ending_of(path)
    if ending not in _ENDINGS:
        raise LabelFileError(
            f"{path.name} has no ending for labels; use .tif, .png or .zarr, or .nii.gz, .nrrd, "
            ".mha or .dcm for medical volumes."
        )
    if ending == ".png" and ndim != 2:
        raise LabelFileError(f"A stack does not fit into {path.name}; use .tif or .zarr.")
    if not path.parent.is_dir():
        raise LabelFileError(f"There is no folder {path.parent}; make it first.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise LabelFileError(f"The folder {path.parent} is not writable; choose another one.")
    if path.is_dir() and not (ending == ".zarr" and _is_zarr_labels(path)):
        raise LabelFileError(
            f"{path} is a folder that holds no labels, and is left alone; choose another name."
        )
    if ending == ".zarr" and path.is_file():
        raise LabelFileError(f"{path} is a file and no Zarr folder; choose another name.")
    return path


def write_labels(
    path: str | PathLike[str],
    labels: NDArray[Any],
    geometry: Geometry | None = None,
    *,
    axes: str | None = None,
    scale: Sequence[float] | None = None,
    units: Sequence[str | None] = (),
) -> Path:
    """Write a label image or stack, as uint8 (PNG only), uint16 or uint32.

    Parameters
    ----------
    path : path
        Target, of a kind that ``check_output`` takes.
    labels : integer or bool array (H, W) or (N, H, W)
        0 is background.
    geometry : Geometry or None
        Where the image's voxels lie, for medical volumes.
    axes : str, optional
        Name of every axis for OME-Zarr, of "t", "z", "y" and "x"; by default the last of "zyx".
    scale : sequence of float, optional
        Size of a pixel along every axis, for OME-Zarr.
    units : sequence of str or None, optional
        Unit of every size, as OME-Zarr spells it.

    Returns
    -------
    Path
        Where it lies.

    Raises
    ------
    LabelFileError
        If it cannot be written there, or a label does not fit the format.
    """
    labels = np.asarray(labels)
    target = check_output(path, labels.ndim)
    dtype = _fitting_dtype(labels, target)
    if target.suffix.lower() == ".zarr":
        axes = axes or "zyx"[-labels.ndim :]
        _write_zarr(target, labels, dtype, multiscale_of(stem_of(target), axes, scale, units))
        return target
    values = labels.astype(dtype, copy=False)
    if target.suffix.lower() == ".png":
        replace_file(target, lambda path: write_png(path, values))
    elif ending_of(target) in LABEL_VOLUMES:
        replace_file(
            target, lambda path: write_label_volume(path, values, geometry), ending_of(target)
        )
    else:
        planes = values[None] if values.ndim == 2 else values
        replace_file(target, lambda path: write_tiff(path, planes, values.shape, dtype))
    return target


def _write_zarr(
    target: Path, labels: NDArray[Any], dtype: DTypeLike, multiscale: dict[str, Any]
) -> None:
    chunks = (1,) * (labels.ndim - 2) + labels.shape[-2:]

    def fill(path: Path) -> None:
        make_label_zarr(path, labels.shape, dtype, chunks, multiscale)[...] = labels

    replace_folder(target, fill)


def _fitting_dtype(labels: NDArray[Any], target: Path) -> np.dtype[Any]:
    if labels.dtype.kind not in "bui" or labels.ndim not in (2, 3) or not labels.size:
        raise LabelFileError(
            f"Labels of type {labels.dtype} and shape {labels.shape} cannot be written; give "
            "integers in a 2D or 3D array."
        )
    most, png = int(labels.max()), target.suffix.lower() == ".png"
    dtype = smallest_dtype(int(labels.min()), most, least_bytes=1 if png else 2)
    if png and dtype.itemsize > 2:
        raise LabelFileError(f"Label {most} does not fit into {target.name}; use .tif or .zarr.")
    return dtype


def _is_zarr_labels(path: Path) -> bool:
    """Tell whether a folder is a Zarr array, or OME-Zarr labels."""
    if (path / ".zarray").is_file():
        return True
    metadata = path / "zarr.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        import json

        node = json.loads(metadata.read_text())
        return node["node_type"] == "array" or "image-label" in node["attributes"]["ome"]
    return False
