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

__all__ = ["check_series", "read_segmentation", "write_segmentation"]

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
        is kept as the segment's tracking identifier. DICOM wants a segment at least, so labels
        without an object have one named "no object", without a pixel.
    files : sequence of str
        The files of the series, one for each plane.

    Raises
    ------
    LabelFileError
        If the series lacks what DICOM-SEG requires.
    """
    ids = np.unique(np.concatenate([np.unique(plane) for plane in volume]))
    ids = ids[ids > 0]
    _segmentation(files, _numbered(volume, ids), ids.tolist()).save_as(path)


def check_series(files: Sequence[str], plane_shape: tuple[int, ...]) -> None:
    """Check, before any work is done, that a DICOM-SEG can be made of a series.

    It is tried with the first and the last file: what is missing is missing in all of them.

    Parameters
    ----------
    files : sequence of str
        The files of the series, one for each plane.
    plane_shape : (H, W)

    Raises
    ------
    LabelFileError
        If the series lacks what DICOM-SEG requires.
    """
    ends = [files[0], files[-1]] if len(files) > 1 else files
    labels = np.zeros((len(ends), *plane_shape), np.uint8)
    labels[:, 0, 0] = 1
    _segmentation(ends, labels, [1])


def _segmentation(files: Sequence[str], segments: NDArray[Any], ids: Sequence[int]) -> Any:
    """Make the DICOM object of the numbers of segments; ``ids`` are their objects, in order."""
    highdicom = import_extra("highdicom", "medical", _NEEDS)
    pydicom = import_extra("pydicom", "medical", _NEEDS)
    described = [_description(highdicom, number, one) for number, one in enumerate(ids, start=1)]
    try:
        sources = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
        return highdicom.seg.Segmentation(
            source_images=sources,
            pixel_array=segments,
            segmentation_type="BINARY",
            segment_descriptions=described or [_description(highdicom, 1, None)],
            # Where there is no object every frame says so: a file without frames is none.
            omit_empty_frames=bool(described),
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


def _numbered(volume: NDArray[Any], ids: NDArray[Any]) -> NDArray[Any]:
    """Return the numbers of segments, plane by plane: a whole volume of indices is large."""
    segments = np.zeros(volume.shape, np.uint8 if ids.size < 256 else np.uint16)
    for own, plane in zip(segments, volume, strict=True):
        inside = plane > 0
        own[inside] = np.searchsorted(ids, plane[inside]) + 1
    return segments


def _description(highdicom: Any, number: int, object_id: int | None) -> Any:
    """Describe the segment of an object, or with None the one that says that there is none."""
    codes = import_extra("pydicom.sr.codedict", "medical", _NEEDS).codes
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label="no object" if object_id is None else f"object {object_id}",
        segmented_property_category=codes.SCT.Tissue,
        segmented_property_type=codes.SCT.Tissue,
        algorithm_type="SEMIAUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=_MAKER, version=__version__, family=codes.DCM.ArtificialIntelligence
        ),
        tracking_id=None if object_id is None else str(object_id),
        tracking_uid=None if object_id is None else highdicom.UID(),
    )
