"""Labels on disk that are larger than a memory: a chunked pyramid, read and written by window.

Every level has each second row and column of the one before, so a window's coarser pixels follow
from the values that are written alone: nothing else is read, and there is no seam. The folder is an
OME-Zarr label image (version 0.5), whose chunks exist once something was written into them.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_anysam.errors import ImageError, LabelFileError
from napari_anysam.images.safe_writing import disk_errors, replace_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

    from numpy.typing import NDArray

__all__ = ["LabelPyramid", "WrittenChunk"]

CHUNK = 512
"""Rows and columns of a chunk."""

COARSEST = 1024
"""Levels are added until rows and columns are no more than this."""

_AXES = "tczyx"
_TYPES = {"t": "time", "c": "channel"}
_LARGEST_ID = "anysam_largest_id"


@dataclass(frozen=True, slots=True)
class WrittenChunk:
    """A chunk of a pyramid's first level that something was written into.

    Parameters
    ----------
    index : tuple of int
        Its plane along the leading axes.
    rows, columns : slice
        Half-open, inside the plane.
    file : Path
    stamp : tuple of int
        When its file was written, in nanoseconds, and the file's bytes.
    """

    index: tuple[int, ...]
    rows: slice
    columns: slice
    file: Path
    stamp: tuple[int, int]


class LabelPyramid:
    """An int32 label image on disk that takes ``[window]`` and ``[window] = values``.

    Parameters
    ----------
    path : path
        A folder that ``create`` made.

    Raises
    ------
    ImageError
        If there is no such label image.

    Attributes
    ----------
    path : Path
    levels : tuple of zarr.Array
        Largest first; only the last two axes, rows and columns, get smaller.
    version : int
        Counts what was written.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        import zarr

        self.path = Path(path)
        try:
            self._group = zarr.open_group(self.path, mode="r+")
            largest = self._group.attrs[_LARGEST_ID]
            count = len(self._group.attrs["ome"]["multiscales"][0]["datasets"])
            self.levels = tuple(self._group[str(level)] for level in range(count))
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise ImageError(
                f"{self.path} holds no labels that were begun here; choose a folder that does not "
                "exist yet."
            ) from error
        self._largest_id = int(largest)
        self.version = 0
        self._digests: dict[Path, tuple[tuple[int, int], bytes]] = {}

    @classmethod
    def create(
        cls,
        path: str | PathLike[str],
        shape: Sequence[int],
        scale: Sequence[float] | None = None,
    ) -> Self:
        """Make an empty one; it takes almost no room on disk until it is written to.

        Parameters
        ----------
        path : path
            A folder that does not exist.
        shape : tuple of int
            Up to three leading axes (time, channel, slice), then rows and columns.
        scale : sequence of float, optional
            Size of a pixel along each axis.

        Raises
        ------
        LabelFileError
            If something is there, or the disk refuses.
        """
        path, shape = Path(path), tuple(int(size) for size in shape)
        if path.exists():
            raise LabelFileError(f"{path} exists already; choose another name for the labels.")
        if not 2 <= len(shape) <= len(_AXES):
            raise LabelFileError(
                f"A label store has 2 to {len(_AXES)} axes, not {len(shape)}; slice the image."
            )
        replace_folder(path, lambda new: _make(new, shape, scale or (1.0,) * len(shape), path.stem))
        return cls(path)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first level."""
        return tuple(self.levels[0].shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the ids."""
        dtype: np.dtype[Any] = np.dtype(self.levels[0].dtype)
        return dtype

    @property
    def largest_id(self) -> int:
        """The largest id that was ever written."""
        return self._largest_id

    def written_chunks(self) -> Iterator[WrittenChunk]:
        """Walk through the chunks of the first level that exist, in row-major order.

        Raises
        ------
        LabelFileError
            If the disk refuses.
        """
        root = self.path / "0" / "c"
        with disk_errors(self.path):
            files = root.glob("/".join("*" * self.ndim)) if root.is_dir() else ()
            placed = [(tuple(map(int, file.relative_to(root).parts)), file) for file in files]
            found = [(place, file, file.stat()) for place, file in sorted(placed)]
        height, width = (int(size) for size in self.levels[0].chunks[-2:])
        for (*index, row, column), file, status in found:
            top, left = row * height, column * width
            yield WrittenChunk(
                tuple(index),
                slice(top, min(top + height, self.shape[-2])),
                slice(left, min(left + width, self.shape[-1])),
                file,
                (status.st_mtime_ns, status.st_size),
            )

    def digest(self) -> str:
        """Name what the store holds: SHA-256 of the files of the first level, chunk by chunk.

        Files are read again only if they were written since the last time.

        Raises
        ------
        LabelFileError
            If the disk refuses.
        """
        digests, whole = {}, sha256(f"{self.shape} {self.dtype}".encode())
        with disk_errors(self.path):
            for chunk in self.written_chunks():
                stamp, own = self._digests.get(chunk.file, (None, b""))
                if stamp != chunk.stamp:
                    own = sha256(chunk.file.read_bytes()).digest()
                digests[chunk.file] = chunk.stamp, own
                whole.update(str(chunk.file.relative_to(self.path)).encode() + own)
        self._digests = digests
        return whole.hexdigest()

    def __getitem__(self, window: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read a window of the first level."""
        return np.asarray(self.levels[0][window])

    def __setitem__(self, window: tuple[int | slice, ...], values: Any) -> None:
        """Write a window of the first level, and what follows from it into the coarser ones.

        Parameters
        ----------
        window : tuple
            One integer or slice of step 1 for every leading axis, then two slices of step 1.
        values : int or array
            One for every pixel of the window, or one for all.

        Raises
        ------
        LabelFileError
            If the disk refuses.
        """
        *leading, rows, columns = window
        extents = [_extent(rows, self.shape[-2]), _extent(columns, self.shape[-1])]
        whole = tuple(slice(start, stop) for start, stop in extents)
        self.version += 1
        with disk_errors(self.path):
            self.levels[0][(*leading, *whole)] = values
            self._note(int(np.max(values, initial=0)))
            values = np.asarray(values)
            for level in self.levels[1:]:
                if values.ndim:
                    (top, _), (left, _) = extents
                    values = values[..., top % 2 :: 2, left % 2 :: 2]
                extents = [(-(-start // 2), -(-stop // 2)) for start, stop in extents]
                if any(start == stop for start, stop in extents):
                    return
                level[(*leading, *(slice(start, stop) for start, stop in extents))] = values

    def _note(self, object_id: int) -> None:
        if object_id > self._largest_id:
            self._group.attrs[_LARGEST_ID] = self._largest_id = object_id


def _make(path: Path, shape: tuple[int, ...], scale: Sequence[float], name: str) -> None:
    import zarr

    group = zarr.create_group(path, zarr_format=3)
    names = _AXES[-len(shape) :]
    datasets = []
    for level, (height, width) in enumerate(_level_shapes(shape[-2], shape[-1])):
        group.create_array(
            str(level),
            shape=(*shape[:-2], height, width),
            dtype=np.int32,
            chunks=(*(1 for _ in shape[:-2]), min(CHUNK, height), min(CHUNK, width)),
            dimension_names=[*names],
        )
        sizes = [*scale[:-2], *(size * 2**level for size in scale[-2:])]
        transform = {"type": "scale", "scale": [float(size) for size in sizes]}
        datasets.append({"path": str(level), "coordinateTransformations": [transform]})
    axes = [{"name": axis, "type": _TYPES.get(axis, "space")} for axis in names]
    multiscale = {"name": name, "axes": axes, "datasets": datasets, "type": "nearest"}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], "image-label": {}}
    group.attrs[_LARGEST_ID] = 0


def _level_shapes(height: int, width: int) -> Iterator[tuple[int, int]]:
    yield height, width
    while max(height, width) > COARSEST:
        height, width = -(-height // 2), -(-width // 2)
        yield height, width


def _extent(part: int | slice, size: int) -> tuple[int, int]:
    if not isinstance(part, slice):
        raise TypeError("rows and columns of a label store are written as slices")
    start, stop, step = part.indices(size)
    if step != 1:
        raise TypeError("rows and columns of a label store are written without gaps")
    return start, max(start, stop)
