"""OME-Zarr labels (NGFF 0.5) of one level, which say what a pixel measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import DTypeLike

__all__ = ["make_label_zarr", "multiscale_of"]

_TYPES = {"t": "time"}


def make_label_zarr(
    path: Path,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    chunks: tuple[int, ...],
    multiscale: dict[str, Any],
) -> Any:
    """Make labels that are 0 everywhere; return their array.

    Parameters
    ----------
    path : Path
        The new folder.
    shape, chunks : tuple of int
        Of the array.
    dtype : dtype
        Unsigned integers.
    multiscale : dict
        What ``multiscale_of`` returns.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    import zarr

    group = zarr.create_group(path, zarr_format=3)
    array = group.create_array(
        "0",
        shape=shape,
        chunks=chunks,
        dtype=np.dtype(dtype),
        dimension_names=[named["name"] for named in multiscale["axes"]],
        # A plane without an object is finished too.
        config={"write_empty_chunks": True},
    )
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], "image-label": {}}
    return array


def multiscale_of(
    name: str, axes: str, scale: Sequence[float] | None, units: Sequence[str | None]
) -> dict[str, Any]:
    """Describe one level, as OME-Zarr wants it.

    Parameters
    ----------
    name : str
        Of the labels.
    axes : str
        Name of every axis, of "t", "z", "y" and "x".
    scale : sequence of float or None
        Size of a pixel along every axis; 1 where nothing is known.
    units : sequence of str or None
        Unit of every size, as OME-Zarr spells it; may be empty.
    """
    named: list[dict[str, str]] = []
    for axis, unit in zip(axes, units or (None,) * len(axes), strict=True):
        named.append({"name": axis, "type": _TYPES.get(axis, "space")})
        if unit is not None:
            named[-1]["unit"] = unit
    sizes = [float(size) for size in scale or (1.0,) * len(axes)]
    transform = {"type": "scale", "scale": sizes}
    return {
        "name": name,
        "axes": named,
        "datasets": [{"path": "0", "coordinateTransformations": [transform]}],
    }
