"""Labels as medical volumes: NIfTI, NRRD and MetaImage through SimpleITK, and DICOM-SEG."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import LabelFileError
from napari_anysam.images.file_kinds import DICOM, ending_of, import_extra
from napari_anysam.images.geometry import Geometry

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["LABEL_VOLUMES", "check_label_volume", "write_label_volume"]

LABEL_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".mha", DICOM)
"""Endings; .mhd and .nhdr are two files each and are not written."""


def check_label_volume(path: Path, shape: tuple[int, ...], geometry: Geometry | None) -> None:
    """Check, before any work is done, that labels can be written where their image lies.

    Parameters
    ----------
    path : Path
        The new file; where it is no medical volume there is nothing to check.
    geometry
        As in ``write_label_volume``.
    shape : tuple of int
        Of the labels.

    Raises
    ------
    LabelFileError
        If the geometry has other dimensions, or a DICOM-SEG is asked for and there is no series, or
        one of which none can be made.
    ImageError
        If the extra "medical" is not installed.
    """
    if ending_of(path) not in LABEL_VOLUMES:
        return
    if ending_of(path) == DICOM:
        from napari_anysam.images.dicom_seg import check_series

        import_extra("highdicom", "medical", "DICOM-SEG files")
        planes = shape[0] if len(shape) == 3 else 1
        if geometry is None or len(geometry.files) != planes:
            raise LabelFileError(
                "A DICOM-SEG refers to a DICOM series with a file per plane, and the image has "
                "none; open the folder of the series, or write .nii.gz or .nrrd."
            )
        check_series(geometry.files, shape[-2:])
        return
    import_extra("SimpleITK", "medical", "Medical volumes")
    if geometry is not None and geometry.ndim < len(shape):
        raise LabelFileError(
            f"Labels of {len(shape)} dimensions do not fit an image of {geometry.ndim}; give the "
            "image that was segmented."
        )


def write_label_volume(path: Path, labels: NDArray[Any], geometry: Geometry | None) -> None:
    """Write a plane or a volume of labels.

    Parameters
    ----------
    path : Path
        The new file, with an ending of ``LABEL_VOLUMES``.
    labels : unsigned integer array (H, W) or (N, H, W)
        In the order of the image's axes.
    geometry : Geometry or None
        Of the image; without one voxels are 1 mm large and the first lies at the origin.

    Raises
    ------
    LabelFileError
        See ``check_label_volume``.
    OSError
        If the disk refuses.
    """
    check_label_volume(path, labels.shape, geometry)
    if geometry is None:
        geometry = Geometry.from_scale((1.0,) * labels.ndim)
    if geometry.ndim > labels.ndim:
        labels = labels[None]
    if ending_of(path) == DICOM:
        from napari_anysam.images.dicom_seg import write_segmentation

        write_segmentation(path, labels, geometry.files)
        return
    sitk = import_extra("SimpleITK", "medical", "Medical volumes")
    image = sitk.GetImageFromArray(np.ascontiguousarray(labels))
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    try:
        sitk.WriteImage(image, str(path), useCompression=True)
        # The writers of NIfTI and NRRD do not notice a full disk. One copy in memory at a time.
        del image
        written = sitk.ReadImage(str(path))
        whole = np.array_equal(sitk.GetArrayViewFromImage(written), labels)
    except RuntimeError:
        whole = False
    if not whole:
        full = shutil.disk_usage(path.parent).free < labels.nbytes
        number = errno.ENOSPC if full else errno.EIO
        raise OSError(number, os.strerror(number))
