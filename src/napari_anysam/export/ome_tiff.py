"""Labels as one OME-TIFF: readable by tifffile, Bio-Formats, Fiji and QuPath."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_anysam.images.label_encoding import smallest_dtype, write_tiff

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_anysam.export.job import ExportJob
    from napari_anysam.export.label_image import LabelImage

__all__ = ["write"]

# A plane above this is read and written tile by tile.
LARGE_PLANE_BYTES = 2**26
TILE = 512


def write(job: ExportJob, path: Path) -> None:
    """Write uint16 or uint32 labels with axes, pixel sizes and units in the OME-XML."""
    labels = job.labels
    dtype = smallest_dtype(0, int(labels.ids.max(initial=0)))
    height, width = labels.shape[-2:]
    large = height * width * dtype.itemsize > LARGE_PLANE_BYTES
    blocks = _tiles(labels) if large else (plane.labels for plane in labels.planes())
    write_tiff(
        path,
        (block.astype(dtype, copy=False) for block in blocks),
        labels.shape,
        dtype,
        axes=labels.axes,
        metadata=_sizes(labels),
        tile=(TILE, TILE) if large else None,
    )


def _tiles(labels: LabelImage) -> Iterator[NDArray[Any]]:
    """Read tiles in the order of a TIFF: plane by plane, row by row."""
    for _, block in labels.blocks(edge=TILE, planes=1):
        yield block.reshape(block.shape[-2:])


def _sizes(labels: LabelImage) -> dict[str, Any]:
    """Name pixel sizes as the attributes of OME's Pixels element do."""
    found: dict[str, Any] = {}
    if labels.scale is None:
        return found
    for axis, size, unit in zip(labels.axes, labels.scale, labels.units, strict=True):
        name = "TimeIncrement" if axis == "T" else f"PhysicalSize{axis}"
        if axis == "C":
            continue
        found[name] = size
        if unit is not None:
            found[f"{name}Unit"] = unit.symbol
        elif axis != "T":
            # Left out, the schema's default would make them micrometers.
            found[f"{name}Unit"] = "pixel"
    return found
