"""Label images to files: TIFF, PNG, Zarr and medical volumes, always all or nothing.

Whatever is written grows beside its target under a hidden name and takes the target's place in
one step at the end. A full disk, an error or a killed process leaves the old file as it was.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_anysam.errors import LabelFileError
from napari_anysam.images.file_kinds import ending_of, stem_of
from napari_anysam.images.label_encoding import smallest_dtype, write_png, write_tiff
from napari_anysam.images.safe_writing import (
    beside,
    disk_errors,
    replace_file,
    replace_folder,
    swap_folders,
)
from napari_anysam.images.volume_files import (
    LABEL_VOLUMES,
    check_label_volume,
    write_label_volume,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from numpy.typing import DTypeLike, NDArray

    from napari_anysam.images.geometry import Geometry

__all__ = ["LabelFileError", "LabelStack", "check_output", "open_label_stack", "write_labels"]

Shape: TypeAlias = tuple[int, ...]

_TIFF = (".tif", ".tiff", ".btf")
_ENDINGS = (*_TIFF, ".png", ".zarr", *LABEL_VOLUMES)
_SLAB_BYTES = 2**26


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
    if path.is_dir() and not (ending == ".zarr" and _is_zarr_array(path)):
        raise LabelFileError(
            f"{path} is a folder that is no Zarr array, and is left alone; choose another name."
        )
    if ending == ".zarr" and path.is_file():
        raise LabelFileError(f"{path} is a file and no Zarr folder; choose another name.")
    return path


def write_labels(
    path: str | PathLike[str], labels: NDArray[Any], geometry: Geometry | None = None
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
        _write_zarr(target, labels, dtype)
        return target
    values = labels.astype(dtype, copy=False)
    if target.suffix.lower() == ".png":
        replace_file(target, lambda path: write_png(path, values))
    elif ending_of(target) in LABEL_VOLUMES:
        _write_volume(target, values, geometry)
    else:
        planes = values[None] if values.ndim == 2 else values
        replace_file(target, lambda path: write_tiff(path, planes, values.shape, dtype))
    return target


class LabelStack:
    """A label file that grows plane by plane; made by ``open_label_stack``."""

    def __init__(
        self,
        target: Path,
        scratch: Path,
        shape: Shape,
        dtype: DTypeLike,
        axis: int,
        geometry: Geometry | None = None,
    ) -> None:
        self._target = target
        self._geometry = geometry
        self._scratch = scratch
        self._axis = axis
        self._array = _new_zarr(scratch, target, shape, dtype, axis)
        self._written: set[int] = set()

    @property
    def written(self) -> frozenset[int]:
        """Indices of the planes that have been written."""
        return frozenset(self._written)

    def write(self, index: int, labels: NDArray[Any]) -> None:
        """Write a plane of the stack, or replace the one that was written before.

        Parameters
        ----------
        index : int
            Along the stack's axis.
        labels : integer array
            The plane, in the shape of the two other axes.
        """
        key: list[int | slice] = [slice(None)] * self._array.ndim
        key[self._axis] = index
        with disk_errors(self._target):
            self._array[tuple(key)] = labels
        self._written.add(index)

    def finish(self, target: Path) -> None:
        """Put what was written in the target's place."""
        if target.suffix.lower() == ".zarr":
            with disk_errors(target):
                swap_folders(self._scratch, target)
            return
        if ending_of(target) in LABEL_VOLUMES:
            _write_volume(target, self._array[...], self._geometry)
            return
        array, pages = self._array, self._pages()
        replace_file(target, lambda path: write_tiff(path, pages, array.shape, array.dtype))

    def _pages(self) -> Iterator[NDArray[Any]]:
        """Read along the first axis; across the chunks, many pages at a time."""
        page_bytes = self._array.nbytes // self._array.shape[0]
        slab = 1 if self._axis == 0 else max(1, _SLAB_BYTES // page_bytes)
        for start in range(0, self._array.shape[0], slab):
            yield from self._array[start : start + slab]

    def keep_partial(self, error: BaseException) -> None:
        """Keep finished planes beside the target and note on the error where they are."""
        count = len(self._written)
        if not (count and self._scratch.exists()):
            return
        planes = "The one finished plane is" if count == 1 else f"The {count} finished planes are"
        partial = _partial(self._target)
        try:
            self.finish(partial)
        except OSError as second:
            error.add_note(f"{planes} lost, because they could not be written either: {second}")
        else:
            error.add_note(f"{planes} kept in {partial}.")


@contextmanager
def open_label_stack(
    path: str | PathLike[str],
    shape: Shape,
    dtype: DTypeLike = np.uint16,
    axis: int = 0,
    geometry: Geometry | None = None,
) -> Iterator[LabelStack]:
    """Write a label stack plane by plane; planes that are never written stay 0.

    Parameters
    ----------
    path : path
        Target .tif, .tiff, .btf, .zarr, .nii, .nii.gz, .nrrd, .mha or .dcm. Medical volumes are
        held in memory as a whole when the stack is finished.
    shape : tuple of three int
        Shape of the whole stack, in the order of the image's axes.
    dtype : dtype
        Unsigned integers that hold every object id.
    axis : int
        Axis along which the planes come, from 0 on.
    geometry : Geometry or None
        Where the image's voxels lie, for medical volumes.

    Yields
    ------
    LabelStack
        Its ``write`` may be called in any order and more than once for a plane.

    Raises
    ------
    LabelFileError
        If it cannot be written there, or the disk is full.

    Notes
    -----
    The target appears when the block ends. If an exception ends it, the target stays as it was
    and the finished planes are kept beside it as ``NAME.partial.tif`` (or ``.zarr``); a note on
    the exception says so.
    """
    target = check_output(path, len(shape))
    if ending_of(target) in LABEL_VOLUMES:
        check_label_volume(target, shape, geometry)
    scratch = beside(target, ".zarr")
    try:
        stack = LabelStack(target, scratch, shape, dtype, axis, geometry)
        try:
            yield stack
            stack.finish(target)
        except BaseException as error:
            stack.keep_partial(error)
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_volume(target: Path, labels: NDArray[Any], geometry: Geometry | None) -> None:
    replace_file(target, lambda path: write_label_volume(path, labels, geometry), ending_of(target))


def _write_zarr(target: Path, labels: NDArray[Any], dtype: DTypeLike) -> None:
    def fill(path: Path) -> None:
        _new_zarr(path, target, labels.shape, dtype)[...] = labels

    replace_folder(target, fill)


def _new_zarr(path: Path, target: Path, shape: Shape, dtype: DTypeLike, axis: int = 0) -> Any:
    """Make an array whose chunks are planes."""
    import zarr

    planar = tuple(1 if position == axis else size for position, size in enumerate(shape))
    chunks = shape if len(shape) == 2 else planar
    with disk_errors(target):
        return zarr.create_array(
            path,
            shape=shape,
            chunks=chunks,
            dtype=np.dtype(dtype),
            dimension_names=[*"zyx"][-len(shape) :],
        )


def _partial(target: Path) -> Path:
    ending = target.name[len(stem_of(target)) :]
    return target.with_name(f"{stem_of(target)}.partial{ending}")


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


def _is_zarr_array(path: Path) -> bool:
    if (path / ".zarray").is_file():
        return True
    metadata = path / "zarr.json"
    with suppress(OSError, ValueError):
        import json

        return bool(json.loads(metadata.read_text())["node_type"] == "array")
    return False
