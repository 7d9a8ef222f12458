"""Medical volumes: NIfTI, NRRD, MetaImage and DICOM, read through SimpleITK.

Values are what the file means: SimpleITK applies rescale slope and intercept, so CT comes in
Hounsfield units. Arrays are (z, y, x); where their voxels lie is told by ``Geometry``.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import AnySAMWarning, ImageError
from napari_anysam.images.file_kinds import import_extra, is_dicom_file
from napari_anysam.images.geometry import Geometry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_anysam.images.files import ImageFile

__all__ = ["read_series", "read_volume", "series_of"]

_POSITION, _MODALITY, _DESCRIPTION = "0020|0032", "0008|0060", "0008|103e"
_CLASS, _SLOPE, _INTERCEPT = "0008|0016", "0028|1053", "0028|1052"
_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
_EVEN = 0.02


def read_volume(path: Path) -> ImageFile:
    """Read a NIfTI, NRRD or MetaImage file, one DICOM file, or a folder with a DICOM series.

    Raises
    ------
    ImageError
        If SimpleITK is not installed, the file cannot be read, or a folder holds several series.
    """
    sitk = _simple_itk()
    if path.is_dir():
        found = series_of(path)
        if len(found) != 1:
            raise ImageError(
                f"{path} holds {len(found)} DICOM series; put each into a folder of its own."
            )
        return read_series(path, found[0])
    if is_dicom_file(path):
        return _read_dicom_file(path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise _readable(path, error) from error
    return _as_file(image, {})


def series_of(folder: Path) -> list[str]:
    """Return the identifiers of the DICOM series in a folder, as GDCM tells them apart."""
    return list(_simple_itk().ImageSeriesReader.GetGDCMSeriesIDs(str(folder)))


def read_series(folder: Path, series: str) -> ImageFile:
    """Read a DICOM series, planes sorted along their normal.

    Warns
    -----
    AnySAMWarning
        If planes are missing or tilted: positions and volumes are then approximate.
    """
    sitk = _simple_itk()
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series)
    if len(files) == 1:
        from pathlib import Path

        return _read_dicom_file(Path(files[0]))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    reader.MetaDataDictionaryArrayUpdateOn()
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise _readable(folder, error) from error

    def tag(plane: int, key: str) -> str:
        present = reader.HasMetaDataKey(plane, key)
        return str(reader.GetMetaData(plane, key)).strip() if present else ""

    places = [tag(plane, _POSITION).split("\\") for plane in range(len(files))]
    if all(len(place) == 3 for place in places):
        _warn_of_gaps(image, np.array(places, float), folder)
    rescales = {(tag(plane, _SLOPE), tag(plane, _INTERCEPT)) for plane in range(len(files))}
    about = _described(tag(0, _MODALITY), tag(0, _DESCRIPTION), sorted(rescales))
    return _as_file(image, about, files)


def _read_dicom_file(path: Path) -> ImageFile:
    sitk = _simple_itk()
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()

    def tag(key: str) -> str:
        return str(reader.GetMetaData(key)).strip() if reader.HasMetaDataKey(key) else ""

    if tag(_CLASS) == _SEGMENTATION:
        from napari_anysam.images.dicom_seg import read_segmentation

        return read_segmentation(path)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise _readable(path, error) from error
    about = _described(tag(_MODALITY), tag(_DESCRIPTION), [(tag(_SLOPE), tag(_INTERCEPT))])
    return _as_file(image, about, [str(path)])


def _as_file(image: Any, about: dict[str, Any], files: Sequence[str] = ()) -> ImageFile:
    """Bring an image of SimpleITK to an array with axes, sizes and a geometry."""
    from napari_anysam.images.files import ImageFile

    sitk = _simple_itk()
    array = sitk.GetArrayFromImage(image)
    ndim = image.GetDimension()
    if not 2 <= ndim <= 4:
        raise ImageError(f"The file has {ndim} dimensions; give one with two to four.")
    coloured = image.GetNumberOfComponentsPerPixel() > 1
    axes = "TZYX"[-ndim:] + "S" * coloured
    space = min(ndim, 3)
    direction = np.array(image.GetDirection()).reshape(ndim, ndim)[:space, :space]
    geometry = Geometry(
        image.GetSpacing()[:space],
        image.GetOrigin()[:space],
        tuple(direction.ravel()),
        tuple(files),
    )
    units: tuple[str | None, ...] = ("millimeter",) * space
    scale = geometry.scale
    if ndim == 4:
        scale, units = (float(image.GetSpacing()[3]), *scale), (None, *units)
    if coloured:
        scale, units = (*scale, 1.0), (*units, None)
    kept = [place for place, name in enumerate(axes) if array.shape[place] != 1 or name in "YXS"]
    return ImageFile(
        array.reshape([array.shape[place] for place in kept]),
        "".join(axes[place] for place in kept),
        tuple(scale[place] for place in kept),
        tuple(units[place] for place in kept),
        geometry,
        about,
    )


def _described(
    modality: str, description: str, rescales: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Say in plain values what DICOM says of the values."""
    about: dict[str, Any] = {"modality": modality} if modality else {}
    if description:
        about["description"] = description
    applied = [[float(slope), float(start)] for slope, start in rescales if slope and start]
    if applied:
        about["rescale_applied"] = applied
    if modality == "CT":
        about["value_unit"] = "HU"
    return about


def _warn_of_gaps(image: Any, places: NDArray[np.float64], folder: Path) -> None:
    """Compare where the planes lie with where the geometry puts them."""
    expected = np.array(
        [image.TransformIndexToPhysicalPoint((0, 0, plane)) for plane in range(len(places))]
    )
    off = float(np.abs(places - expected).max())
    if off > _EVEN * image.GetSpacing()[2]:
        warnings.warn(
            f"Planes of {folder} are missing or tilted: some lie up to {off:.1f} mm from where "
            "they are put, so positions and volumes are approximate; export the whole series.",
            AnySAMWarning,
            stacklevel=2,
        )


def _readable(path: Path, error: RuntimeError) -> ImageError:
    """Make one sentence of SimpleITK's report of many lines."""
    if "orthonormal" in str(error):
        return ImageError(f"The axes of {path} are sheared; resample it to right angles.")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1].removeprefix("sitk::ERROR:").strip().rstrip(".")
    return ImageError(f"{path} could not be read ({reason}); export it again.")


def _simple_itk() -> Any:
    sitk = import_extra("SimpleITK", "medical", "Medical volumes")
    # Its warnings about single tags go to stderr past Python; what matters is said here.
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    return sitk
