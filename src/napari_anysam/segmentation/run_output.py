"""What writing the labels of a finished run takes, beside the planes that have gathered.

Planes gather as OME-Zarr on disk (``images/label_stack.py``). That is the output where Zarr is
asked for; TIFF is written of it page by page, and medical volumes as a whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_anysam.images.file_kinds import DICOM
from napari_anysam.images.volume_files import LABEL_VOLUMES

if TYPE_CHECKING:
    from napari_anysam.segmentation.run_size import RunSize

__all__ = ["COMPRESSED", "OutputRoom", "room_for_output"]

COMPRESSED = 0.05
"""Part of their bytes that labels take on disk, at most as a rule."""

BLOCK_BYTES = 4096
"""A plane's file takes this much at least."""

COPIES = 3
"""Of labels in memory while SimpleITK writes them and they are compared with the file."""

DICOM_VOXEL_BYTES = 6
"""What highdicom holds for a voxel besides the labels, measured with one object."""


@dataclass(frozen=True, slots=True)
class OutputRoom:
    """What writing takes.

    Parameters
    ----------
    memory_bytes : int
        While the output is written.
    disk_bytes : int
        Of the output, beside the planes that have gathered.
    least_disk_bytes : int
        What planes and output take together however well they compress.
    """

    memory_bytes: int = 0
    disk_bytes: int = 0
    least_disk_bytes: int = 0


def room_for_output(
    ending: str, shape: tuple[int, ...], label_bytes: int, size: RunSize
) -> OutputRoom:
    """Count what an output takes.

    Parameters
    ----------
    ending : str
        In small letters, such as ".nii.gz"; see ``file_kinds.ending_of``.
    shape : tuple of int
        Of the whole stack of labels.
    label_bytes : int
        Bytes of a label's pixel.
    size : RunSize
        Of the run.
    """
    voxels = math.prod(shape)
    whole = voxels * label_bytes
    least = size.planes * BLOCK_BYTES
    if ending == ".zarr":
        return OutputRoom(0, 0, least)
    if ending == DICOM:
        # A bit for every pixel of every object's plane, gathered and then joined.
        frames = (size.visits + size.anchors) * size.plane_pixels // 8
        return OutputRoom(whole + DICOM_VOXEL_BYTES * voxels + 2 * frames, frames, least)
    if ending not in LABEL_VOLUMES:
        return OutputRoom(0, int(COMPRESSED * whole), least)
    if ending == ".nii":  # the only one that is not compressed
        return OutputRoom(COPIES * whole, whole, least + whole)
    return OutputRoom(COPIES * whole, int(COMPRESSED * whole), least)
