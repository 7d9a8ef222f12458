"""How labels become the bytes of a TIFF or a PNG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import LabelFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

__all__ = ["smallest_dtype", "write_png", "write_tiff"]

# Beyond this a classic TIFF's 32-bit offsets could overflow, however well the labels compress.
BIG_TIFF_BYTES = 2**32 - 2**26


def smallest_dtype(least: int, most: int, least_bytes: int = 2) -> np.dtype[Any]:
    """Return the smallest unsigned type that holds all labels.

    Parameters
    ----------
    least, most : int
        Smallest and largest label.
    least_bytes : int
        1 allows uint8; with 2 it is uint16 or uint32.

    Raises
    ------
    LabelFileError
        If a label is below 0 or does not fit into 32 bits.
    """
    for dtype in (np.uint8, np.uint16, np.uint32):
        if np.dtype(dtype).itemsize >= least_bytes and least >= 0 and most <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    raise LabelFileError("Labels below 0 or above 4294967295 cannot be written; renumber them.")


def write_tiff(
    path: Path,
    pages: Iterable[NDArray[Any]],
    shape: tuple[int, ...],
    dtype: DTypeLike,
    *,
    axes: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    tile: tuple[int, int] | None = None,
) -> None:
    """Write an OME-TIFF page by page, losslessly compressed; BigTIFF where it could be needed.

    Parameters
    ----------
    path : Path
        The new file.
    pages : iterable of array (H, W)
        All planes in order, or with ``tile`` their tiles, row by row.
    shape : tuple of int
        Of the whole; its last two axes are rows and columns.
    dtype : dtype
        Unsigned integers.
    axes : str
        Letters of OME's axes, "YX" or "ZYX" by default.
    metadata : mapping
        More of what tifffile writes into the OME-XML, such as ``PhysicalSizeX``.
    tile : (height, width)
        Edges of a tile, multiples of 16, where planes are too large for memory.
    """
    import tifffile

    dtype = np.dtype(dtype)
    tifffile.imwrite(
        path,
        iter(pages),
        shape=shape,
        dtype=dtype,
        ome=True,
        bigtiff=int(np.prod(shape, dtype=object)) * dtype.itemsize > BIG_TIFF_BYTES,
        compression="zlib",
        photometric="minisblack",
        tile=tile,
        metadata={"axes": axes or "ZYX"[-len(shape) :], **(metadata or {})},
    )


def write_png(path: Path, labels: NDArray[Any]) -> None:
    """Write a uint8 or uint16 (H, W) plane as a grey PNG."""
    import imageio.v3 as iio

    path.write_bytes(iio.imwrite("<bytes>", labels, plugin="pillow", extension=".png"))
