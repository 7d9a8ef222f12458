"""Labels as PNG: one file for a plane, a folder with one file per plane for a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import LabelFileError
from napari_anysam.export.colours import colour_of
from napari_anysam.images.label_encoding import write_png

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_anysam.export.job import ExportJob

__all__ = ["write"]


def write(job: ExportJob, path: Path) -> None:
    """Write 8-bit or 16-bit grey whose values are ids, or 8-bit indices of a colour table.

    Raises
    ------
    LabelFileError
        If an id is too large for a PNG.
    """
    most = int(job.labels.ids.max(initial=0))
    if most > 65535:
        raise LabelFileError(
            f"Label {most} does not fit into a PNG, which holds 65535; export as .tif or .zarr."
        )
    if job.indexed and most > 255:
        raise LabelFileError(
            f"Label {most} does not fit into a colour table, which holds 255; leave indexed out."
        )
    dtype = np.uint8 if most <= 255 else np.uint16
    one_file = len(job.labels.shape) == 2
    if not one_file:
        path.mkdir()
    for plane in job.labels.planes():
        file = path if one_file else path / f"{job.name}{plane.suffix}.png"
        values = plane.labels.astype(dtype, copy=False)
        if job.indexed:
            _write_indexed(file, values)
        else:
            write_png(file, values)


def _write_indexed(path: Path, labels: NDArray[Any]) -> None:
    from PIL import Image

    picture = Image.fromarray(labels).convert("P")
    picture.putpalette([value for index in range(256) for value in colour_of(index)])
    picture.save(path, format="PNG")
