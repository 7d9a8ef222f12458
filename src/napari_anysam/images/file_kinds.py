"""What a file is, told from its name: endings that read and write alike, volumes, films, DICOM."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_anysam.errors import ImageError

if TYPE_CHECKING:
    from os import PathLike

__all__ = [
    "DICOM",
    "VIDEOS",
    "VOLUMES",
    "ending_of",
    "import_extra",
    "is_dicom_file",
    "is_dicom_folder",
    "stem_of",
]

VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
DICOM = ".dcm"
VIDEOS = (".mp4", ".avi", ".mov")

_FILES_LOOKED_AT = 32


def ending_of(path: str | PathLike[str]) -> str:
    """Return a file's ending in small letters; of a compressed NIfTI both parts, ".nii.gz"."""
    name = Path(path).name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def stem_of(path: str | PathLike[str]) -> str:
    """Return a file's name without its ending."""
    name = Path(path).name
    return name[: len(name) - len(ending_of(path))]


def is_dicom_file(path: Path) -> bool:
    """Tell whether a file begins as DICOM files do (PS3.10, 7.1: "DICM" after 128 bytes)."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def is_dicom_folder(path: Path) -> bool:
    """Tell whether one of the first files of a folder is a DICOM file."""
    if not path.is_dir():
        return False
    files = sorted(one for one in path.iterdir() if one.is_file())
    return any(is_dicom_file(one) for one in files[:_FILES_LOOKED_AT])


def import_extra(module: str, extra: str, what: str) -> Any:
    """Import a module that an extra of this package brings.

    Parameters
    ----------
    module : str
        Its name.
    extra : str
        "medical" or "video".
    what : str
        What it is needed for, the beginning of a sentence: "Medical volumes".

    Raises
    ------
    ImageError
        If it is not installed; the message has the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImageError(
            f"{what} need {error.name}, which is not installed; "
            f'pip install "napari-anysam[{extra}]"'
        ) from error
