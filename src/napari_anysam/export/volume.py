"""Labels as NIfTI, NRRD, MetaImage or DICOM-SEG, where their image lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.errors import LabelFileError
from napari_anysam.images.geometry import Geometry
from napari_anysam.images.label_encoding import smallest_dtype
from napari_anysam.images.volume_files import write_label_volume

if TYPE_CHECKING:
    from pathlib import Path

    from napari_anysam.export.job import ExportJob

__all__ = ["write"]


def write(job: ExportJob, path: Path) -> None:
    """Write a plane or a volume; it is held in memory as a whole.

    Raises
    ------
    LabelFileError
        If the labels have time points or channels, or fit no geometry.
    """
    labels = job.labels
    if labels.axes[:-2] not in ("", "Z"):
        raise LabelFileError(
            f"Labels with the axes {labels.axes} are no single volume; export one time point."
        )
    geometry = job.geometry
    if geometry is None and labels.scale is not None:
        units = [None if unit is None else unit.name for unit in labels.units]
        geometry = Geometry.from_scale(labels.scale, units)
    values = np.asarray(labels.array[...])
    dtype = smallest_dtype(int(values.min()), int(values.max()))
    write_label_volume(path, values.astype(dtype, copy=False), geometry)
