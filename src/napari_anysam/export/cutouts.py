"""Objects cut out of their image: one PNG each, transparent outside the mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.export.objects import masks_of
from napari_anysam.export.pictures import picture_reader, save_png

if TYPE_CHECKING:
    from pathlib import Path

    from napari_anysam.export.job import ExportJob
    from napari_anysam.export.objects import ObjectMask

__all__ = ["write"]


def write(job: ExportJob, path: Path) -> None:
    """Write ``object_00012.png``, in stacks ``object_00012_z0003.png``, 8-bit RGBA.

    Raises
    ------
    LabelFileError
        If there is no image.
    """
    picture = picture_reader(job.need_image(), job.contrast)
    path.mkdir()
    for place, plane in enumerate(job.labels.planes()):
        found = list(masks_of(plane.labels))
        if not found:
            continue
        rgb = picture(place)
        for one in found:
            rows, columns = _with_margin(one, job.margin, plane.labels.shape)
            alpha = np.zeros(plane.labels[rows, columns].shape, np.uint8)
            top, left = one.rows.start - rows.start, one.columns.start - columns.start
            height, width = one.mask.shape
            alpha[top : top + height, left : left + width] = one.mask * np.uint8(255)
            name = f"object_{one.object_id:05d}{plane.suffix}.png"
            save_png(path / name, np.dstack([rgb[rows, columns], alpha]))


def _with_margin(found: ObjectMask, margin: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and columns of an object's box and margin, inside its plane."""
    rows, columns = (
        slice(max(0, box.start - margin), min(size, box.stop + margin))
        for box, size in zip((found.rows, found.columns), shape, strict=True)
    )
    return rows, columns
