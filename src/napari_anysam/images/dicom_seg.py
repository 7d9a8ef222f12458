"""DICOM-SEG: labels as a DICOM object that refers to its series, through highdicom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam import __version__
from napari_anysam.errors import ImageError, LabelFileError
from napari_anysam.images.file_kinds import import_extra
from napari_anysam.images.geometry import Geometry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_anysam.images.files import ImageFile

__all__ = ["read_segmentation", "write_segmentation"]

_MAKER = "napari-anysam"
_NEEDS = "DICOM-SEG files"


def write_segmentation(path: Path, volume: NDArray[Any], files: Sequence[str]) -> None:
    """Write labels of a DICOM series; patient, study, frame of reference and positions are kept.

    Parameters
    ----------
    path : Path
        The new file.
    volume : unsigned integer array (N, H, W)
        Every object becomes a segment. DICOM numbers segments from 1 without gaps; the object's id
        is kept as the segment's tracking identifier.
    files : sequence of str
        The files of the series, one for each plane.

    Raises
    ------
    LabelFileError
        If there is no object, or the series lacks what DICOM-SEG requires.
    """
    highdicom = import_extra("highdicom", "medical", _NEEDS)
    pydicom = import_extra("pydicom", "medical", _NEEDS)
    ids = np.unique(volume)
    ids = ids[ids > 0]
    if not ids.size:
        raise LabelFileError(
            "A DICOM-SEG needs at least one object and the labels are empty; segment one first."
        )
    segments = np.searchsorted(ids, volume) + 1
    segments[volume == 0] = 0
    try:
        sources = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
        segmentation = highdicom.seg.Segmentation(
            source_images=sources,
            pixel_array=segments.astype(np.uint8 if ids.size < 256 else np.uint16),
            segmentation_type="BINARY",
            segment_descriptions=[
                _description(highdicom, number, int(one)) for number, one in enumerate(ids, start=1)
            ],
            series_instance_uid=highdicom.UID(),
            series_number=1000,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer=_MAKER,
            manufacturer_model_name=_MAKER,
            software_versions=__version__,
            device_serial_number="1",
            series_description="Segmentation by napari-anysam",
        )
    except (AttributeError, ValueError, TypeError, pydicom.errors.InvalidDicomError) as error:
        detail = str(error).strip().rstrip(".")
        raise LabelFileError(
            f"No DICOM-SEG could be made of this series ({detail}); write .nii.gz or .nrrd."
        ) from error
    segmentation.save_as(path)


def read_segmentation(path: Path) -> ImageFile:
    """Read the labels of a DICOM-SEG, (z, y, x); planes between its first and last are filled up.

    Raises
    ------
    ImageError
        If its segments overlap or its planes are no regular stack.
    """
    from napari_anysam.images.files import ImageFile

    highdicom = import_extra("highdicom", "medical", _NEEDS)
    segmentation = highdicom.seg.segread(path)
    try:
        volume = segmentation.get_volume(combine_segments=True, allow_missing_positions=True)
    except (RuntimeError, ValueError) as error:
        detail = str(error).strip().rstrip(".")
        raise ImageError(
            f"{path} holds no volume of labels ({detail}); write its segments as NIfTI first."
        ) from error
    table = np.zeros(segmentation.number_of_segments + 1, np.uint32)
    for number in segmentation.segment_numbers:
        name = segmentation.get_segment_description(number).tracking_id
        table[number] = int(name) if name is not None and name.isdecimal() else number
    geometry = _geometry_of(volume)
    if np.linalg.det(geometry.matrix) < 0:  # planes the other way round than series are sorted
        volume = volume.flip_spatial(0)
        geometry = _geometry_of(volume)
    return ImageFile(
        table[np.asarray(volume.array)],
        "ZYX",
        geometry.scale,
        ("millimeter",) * 3,
        geometry,
        {"modality": "SEG"},
    )


def _geometry_of(volume: Any) -> Geometry:
    affine = np.array(volume.affine, float)  # (plane, row, column) -> (x, y, z), LPS
    affine[:3] = affine[2::-1].copy()
    return Geometry.from_affine(affine)


def _description(highdicom: Any, number: int, object_id: int) -> Any:
    codes = import_extra("pydicom.sr.codedict", "medical", _NEEDS).codes
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=f"object {object_id}",
        segmented_property_category=codes.SCT.Tissue,
        segmented_property_type=codes.SCT.Tissue,
        algorithm_type="SEMIAUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=_MAKER, version=__version__, family=codes.DCM.ArtificialIntelligence
        ),
        tracking_id=str(object_id),
        tracking_uid=highdicom.UID(),
    )
