"""A label stack that grows plane by plane: readable at any moment, whole at the end.

Planes gather in a folder ``NAME.unfinished`` beside the target, as OME-Zarr labels that any reader
opens. At the end they take the target's place in one step; until then the old file stays. Whatever
ends the work before that, even a kill, leaves the planes that were finished and lets a later run go
on behind them.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from filelock import FileLock, Timeout

from napari_anysam.errors import LabelFileError
from napari_anysam.images.file_kinds import ending_of, stem_of
from napari_anysam.images.label_encoding import write_tiff
from napari_anysam.images.label_files import check_output, write_labels
from napari_anysam.images.label_zarr import make_label_zarr, multiscale_of
from napari_anysam.images.plane_chunks import chunk_shape, is_large, plane_chunks
from napari_anysam.images.safe_writing import (
    disk_errors,
    replace_file,
    replace_folder,
    swap_folders,
)
from napari_anysam.images.volume_files import LABEL_VOLUMES, check_label_volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from os import PathLike
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    from napari_anysam.images.geometry import Geometry

__all__ = [
    "LabelStack",
    "check_plane_size",
    "check_unfinished",
    "open_label_stack",
    "unfinished_folder",
]

Shape = tuple[int, ...]

_SLAB_BYTES = 2**26


def unfinished_folder(path: str | PathLike[str]) -> Path:
    """Return the folder in which the planes of a target gather."""
    target = check_output(path, 3)
    return target.with_name(f"{target.name}.unfinished")


def check_unfinished(path: str | PathLike[str]) -> None:
    """Raise LabelFileError, before any work is done, if an unfinished stack is in the way."""
    folder = unfinished_folder(path)
    if folder.exists():
        raise _unfinished(folder)


def check_plane_size(path: str | PathLike[str], shape: Shape, axis: int) -> None:
    """Raise LabelFileError if planes across an axis are too large for this kind of file."""
    target = check_output(path, 3)
    height, width = _plane_shape(shape, axis)
    if target.suffix.lower() != ".zarr" and is_large((height, width)):
        raise LabelFileError(
            f"Labels with planes of {height} x {width} pixels cannot be written to {target}; name "
            "a .zarr folder."
        )


def _unfinished(folder: Path) -> LabelFileError:
    return LabelFileError(
        f"{folder} holds the planes of a run that has not come to its end; go on with --resume, or "
        "begin anew with --restart."
    )


@contextmanager
def open_label_stack(
    path: str | PathLike[str],
    shape: Shape,
    dtype: DTypeLike = np.uint16,
    axis: int = 0,
    *,
    before: Literal["refuse", "resume", "restart"] = "refuse",
    axes: str = "zyx",
    scale: Sequence[float] | None = None,
    units: Sequence[str | None] = (),
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
    before : {"refuse", "resume", "restart"}
        What to do about an unfinished stack of this name: leave it alone, go on with it, or delete
        it.
    axes : str
        Name of every axis, of "t", "z", "y" and "x".
    scale : sequence of float, optional
        Size of a pixel along every axis.
    units : sequence of str or None, optional
        Unit of every size, as OME-Zarr spells it.
    geometry : Geometry or None
        Where the image's voxels lie, for medical volumes.

    Yields
    ------
    LabelStack
        Its ``write`` may be called in any order and more than once for a plane.

    Raises
    ------
    LabelFileError
        If it cannot be written there, the disk is full, another process writes it, an unfinished
        one of another shape is there, or planes are too large for anything but .zarr.

    Notes
    -----
    The target appears when the block ends. If an exception ends it, the target stays as it was
    and the finished planes stay in their folder; a note on the exception says so.
    """
    target = check_output(path, len(shape))
    check_plane_size(target, shape, axis)
    check_label_volume(target, shape, geometry)
    folder = unfinished_folder(target)
    _enter(folder, target, before)
    with _locked(folder, target):
        if before == "restart":
            _empty(folder)
        try:
            multiscale = multiscale_of(stem_of(target), axes, scale, units)
            stack = LabelStack(target, folder, shape, dtype, axis, multiscale, geometry)
            yield stack
            stack.finish()
        except BaseException as error:
            if _has_planes(folder):
                error.add_note(
                    f"The finished planes are kept in {folder / _LABELS}; --resume goes on behind "
                    "them."
                )
            raise


_LABELS, _DISCARDED, _LOCK = "labels.zarr", "discarded.zarr", "lock"


class LabelStack:
    """A label file that grows plane by plane; made by ``open_label_stack``.

    Attributes
    ----------
    folder : Path
        Where it grows; what else lies there goes away when it is finished.
    """

    def __init__(
        self,
        target: Path,
        folder: Path,
        shape: Shape,
        dtype: DTypeLike,
        axis: int,
        multiscale: dict[str, Any],
        geometry: Geometry | None,
    ) -> None:
        self.folder = folder
        self._target = target
        self._labels = folder / _LABELS
        self._axis = axis
        self._geometry = geometry
        if not self._labels.exists():
            _empty(folder)  # what lies beside labels that are gone tells of work that is gone

            def make(new: Path) -> None:
                with disk_errors(target):
                    make_label_zarr(new, shape, dtype, _chunks(shape, axis), multiscale)

            replace_folder(self._labels, make)
        self._array = _opened(self._labels, shape, dtype)

    def write(self, index: int, part: Callable[[slice, slice], NDArray[Any]]) -> None:
        """Write a plane, or replace the one that was written before.

        It is asked for chunk by chunk (``plane_chunks.py``): a huge one is never held as a whole.

        Parameters
        ----------
        index : int
            Along the stack's axis.
        part : callable
            Returns rows and columns of the plane's labels.
        """
        with disk_errors(self._target):
            for rows, columns in plane_chunks(self._plane_shape):
                self._array[self._key(index, rows, columns)] = part(rows, columns)

    def missing(self, ids: Iterable[int]) -> set[int]:
        """Return those ids that occur nowhere; planes are read until all have been met."""
        left = set(ids)
        for index in range(self._array.shape[self._axis]):
            if not left:
                break
            for chunk in plane_chunks(self._plane_shape):
                left.difference_update(np.unique(self._array[self._key(index, *chunk)]).tolist())
        return left

    def finish(self) -> None:
        """Put what was written in the target's place."""
        if self._target.suffix.lower() == ".zarr":
            with disk_errors(self._target):
                swap_folders(self._labels, self._target)
            return
        array = self._array
        if ending_of(self._target) in LABEL_VOLUMES:
            write_labels(self._target, array[...], self._geometry)
        else:
            pages = self._pages()
            replace_file(
                self._target, lambda path: write_tiff(path, pages, array.shape, array.dtype)
            )
        _discard(self._labels)

    def _key(self, index: int, *parts: slice) -> tuple[int | slice, ...]:
        key: list[int | slice] = list(parts or (slice(None), slice(None)))
        key.insert(self._axis, index)
        return tuple(key)

    @property
    def _plane_shape(self) -> tuple[int, int]:
        return _plane_shape(self._array.shape, self._axis)

    def _pages(self) -> Iterator[NDArray[Any]]:
        """Read along the first axis; across the chunks, many pages at a time."""
        page_bytes = self._array.nbytes // self._array.shape[0]
        slab = 1 if self._axis == 0 else max(1, _SLAB_BYTES // page_bytes)
        for start in range(0, self._array.shape[0], slab):
            yield from self._array[start : start + slab]


def _enter(folder: Path, target: Path, before: str) -> None:
    """Make the folder; refuse one that somebody may still want."""
    with disk_errors(target):
        if before != "refuse":
            folder.mkdir(exist_ok=True)
            return
        try:
            folder.mkdir()
        except FileExistsError as error:
            raise _unfinished(folder) from error


@contextmanager
def _locked(folder: Path, target: Path) -> Iterator[None]:
    """Keep other processes away, and no folder without planes; a killed one's lock is free."""
    lock = FileLock(folder / _LOCK)
    with disk_errors(target):
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise LabelFileError(
                f"Another process is writing {target}; wait for it, or choose another name."
            ) from error
    try:
        yield
    finally:
        lock.release()
        if not _has_planes(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _has_planes(folder: Path) -> bool:
    """Tell whether a plane was ever written: then its chunk is a file."""
    level = folder / _LABELS / "0" / "c"
    return any(path.is_file() for path in level.rglob("*"))


def _empty(folder: Path) -> None:
    _discard(folder / _LABELS)
    for path in folder.iterdir():
        if path.name != _LOCK:
            path.unlink()


def _discard(labels: Path) -> None:
    """Delete labels; after a kill they are there as a whole, or not at all."""
    old = labels.with_name(_DISCARDED)
    shutil.rmtree(old, ignore_errors=True)
    if labels.exists():
        labels.rename(old)
        shutil.rmtree(old)


def _plane_shape(shape: Shape, axis: int) -> tuple[int, int]:
    height, width = (size for place, size in enumerate(shape) if place != axis)
    return height, width


def _chunks(shape: Shape, axis: int) -> Shape:
    chunks = list(chunk_shape(_plane_shape(shape, axis)))
    chunks.insert(axis, 1)
    return tuple(chunks)


def _opened(path: Path, shape: Shape, dtype: DTypeLike) -> Any:
    import zarr

    try:
        array = zarr.open_array(path / "0", mode="r+", config={"write_empty_chunks": True})
    except (OSError, ValueError, KeyError) as error:
        raise LabelFileError(
            f"{path} cannot be gone on with ({error}); begin anew with --restart."
        ) from error
    if tuple(array.shape) != tuple(shape) or array.dtype != np.dtype(dtype):
        raise LabelFileError(
            f"{path} holds {array.dtype} labels of shape {array.shape}, not {np.dtype(dtype)} of "
            f"{tuple(shape)}; begin anew with --restart."
        )
    return array
