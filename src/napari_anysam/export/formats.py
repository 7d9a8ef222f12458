"""The formats that labels can be exported to, and ``export_labels``, which chooses one.

Whatever the format, it grows beside its target and takes its place in one step; nothing is
overwritten unasked.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import LabelFileError
from napari_anysam.export import (
    coco,
    ctc,
    cutouts,
    ome_tiff,
    ome_zarr,
    png,
    table,
    tracks,
    volume,
    yolo,
)
from napari_anysam.export.job import ExportJob, image_planes
from napari_anysam.export.label_image import LabelImage
from napari_anysam.export.objects import Objects
from napari_anysam.images.file_kinds import ending_of, stem_of
from napari_anysam.images.planes import first_level
from napari_anysam.images.safe_writing import replace_file, replace_folder
from napari_anysam.segmentation.lineage import check_lineage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from napari_anysam.images.conditioning import Contrast
    from napari_anysam.images.geometry import Geometry

__all__ = ["FORMATS", "Format", "check_target", "export_labels", "find_format"]


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write labels.

    Parameters
    ----------
    name : str
        What a caller asks for.
    title : str
        As people call it.
    write : callable
        Takes the job and the path of a new file or folder.
    endings : tuple of str
        Endings of its files, of which one is required; empty for folders of any name.
    folder : bool
        Whether it is a folder.
    holds : str
        Regular expression of the paths inside its folder; another file there is somebody else's.
    series : bool
        Whether it is for time series, so that the first axis is T where nobody says otherwise.
    """

    name: str
    title: str
    write: Callable[[ExportJob, Path], None]
    endings: tuple[str, ...] = ()
    folder: bool = False
    holds: str = ""
    series: bool = False


_PLACE = r"(_[tcz]\d{4,})*"

FORMATS: Mapping[str, Format] = {
    one.name: one
    for one in (
        Format("ome-tiff", "OME-TIFF", ome_tiff.write, (".tif", ".tiff", ".btf")),
        Format("ome-zarr", "OME-Zarr", ome_zarr.write, (".zarr",), folder=True),
        Format("png", "PNG, one plane", png.write, (".png",)),
        Format(
            "png-planes",
            "PNG, folder of planes",
            png.write,
            folder=True,
            holds=r".+_[tcz]\d{4,}\.png",
        ),
        Format("coco-rle", "COCO, run lengths", coco.write_rle, (".json",)),
        Format("coco-polygons", "COCO, polygons", coco.write_polygons, (".json",)),
        Format(
            "yolo",
            "YOLO, folder",
            yolo.write,
            folder=True,
            holds=r"data\.yaml|labels(/[^/]+\.txt)?|images(/[^/]+\.png)?",
        ),
        Format("csv", "CSV table", table.write, (".csv",)),
        Format("nifti", "NIfTI", volume.write, (".nii.gz", ".nii")),
        Format("nrrd", "NRRD", volume.write, (".nrrd",)),
        Format("mha", "MetaImage", volume.write, (".mha",)),
        Format("dicom-seg", "DICOM-SEG", volume.write, (".dcm",)),
        Format(
            "cutouts",
            "Cut-outs, folder",
            cutouts.write,
            folder=True,
            holds=rf"object_\d{{5,}}{_PLACE}\.png",
        ),
        Format("tracks", "Tracks, CSV table", tracks.write, (".csv",), series=True),
        Format(
            "ctc",
            "Cell Tracking Challenge, folder",
            ctc.write,
            folder=True,
            holds=r"res_track\.txt|mask\d{3,}\.tif",
            series=True,
        ),
    )
}


def export_labels(
    labels: Any,
    path: str | PathLike[str],
    *,
    format: str | None = None,
    axes: str | None = None,
    scale: Sequence[float] | None = None,
    units: str | Sequence[str | None] | None = None,
    image: Any = None,
    channel_axis: int | None = None,
    contrast: Contrast = "auto",
    class_names: Sequence[str] | None = None,
    object_classes: Mapping[int, str] | None = None,
    object_scores: Mapping[int, float] | None = None,
    object_models: Mapping[int, str] | None = None,
    parents: Mapping[int, int] | None = None,
    file_names: Sequence[str] = (),
    geometry: Geometry | None = None,
    margin: int = 0,
    indexed: bool = False,
    overwrite: bool = False,
) -> Path:
    """Export labels for other programs; ids are kept.

    Parameters
    ----------
    labels : integer or bool array
        2D to 5D, rows and columns last; 0 is background. dask and zarr are read block by block
        for OME-Zarr and OME-TIFF, plane by plane for the others; of multiscale labels the largest
        level is taken.
    path : path
        Target. Its folder exists. ``IMAGE.zarr/labels/NAME`` adds the labels to an OME-Zarr image.
    format : str
        One of ``FORMATS``; by default after the ending: .tif, .tiff and .btf ("ome-tiff"), .zarr
        ("ome-zarr"), .png ("png"), .json ("coco-rle"), .csv ("csv"), .nii.gz and .nii ("nifti"),
        .nrrd ("nrrd"), .mha ("mha"), .dcm ("dicom-seg"). Folders need a name: "yolo", "cutouts",
        "ctc", and "png-planes" for stacks; so does "tracks", a .csv.
    axes : str
        Letters of "TCZYX" that end with "YX"; by default the last ones of "TZYX", in 5D "TCZYX",
        and "TYX" for "tracks" and "ctc".
    scale : sequence of float
        Size of a pixel along every axis, or along rows and columns.
    units : str or sequence of str
        Unit of all axes of space, or one per axis.
    image : array-like
        The image that was segmented: measured for "csv", cut for "cutouts", saved for "yolo".
    channel_axis : int
        Axis of the image that holds channels, where it is no 8-bit RGB (H, W, 3 or 4).
    contrast : "auto" or (low, high)
        Values of the image shown black and white in 8-bit pictures.
    class_names : sequence of str
        All classes in the order of their numbers; by default the ones that occur.
    object_classes, object_scores, object_models : mapping
        By id: class name, predicted IoU, name of the model.
    parents : mapping
        Daughter to mother, for "tracks" and "ctc"; links of objects without a pixel are left out.
    file_names : sequence of str
        Names of the planes' image files, for COCO and YOLO; by default the target's name and the
        plane's position.
    geometry : Geometry
        Where the voxels lie, for NIfTI, NRRD, MHA and DICOM-SEG (``read_image(path).geometry``);
        by default after ``scale`` and ``units``.
    margin : int
        Pixels around a cut-out.
    indexed : bool
        Whether a PNG has a colour table; for ids up to 255.
    overwrite : bool
        Whether an earlier export may be replaced.

    Returns
    -------
    Path
        Where it lies.

    Raises
    ------
    LabelFileError
        If something does not fit, the target exists or cannot be written, or the disk is full;
        the target is then as it was.
    ImageError
        If the image cannot be read.
    LineageError
        If somebody descends from itself.
    """
    labels = first_level(labels)
    chosen = find_format(path, format, np.ndim(labels))
    if axes is None and chosen.series and np.ndim(labels) == 3:
        axes = "TYX"
    label_image = LabelImage(labels, axes, scale, units)
    target = check_target(path, chosen, overwrite=overwrite)
    job = ExportJob(
        labels=label_image,
        name=stem_of(target) if chosen.endings else target.name,
        objects=Objects.of(class_names, object_classes, object_scores, object_models),
        image=None if image is None else image_planes(image, label_image, channel_axis),
        contrast=contrast,
        margin=margin,
        indexed=indexed,
        file_names=tuple(file_names),
        parents=check_lineage(parents or {}),
        geometry=geometry,
    )
    if chosen.name == "ome-zarr" and ome_zarr.image_around(target):
        ome_zarr.write_into_image(job, target)
    elif chosen.folder:
        replace_folder(target, lambda new: chosen.write(job, new))
    else:
        replace_file(target, lambda new: chosen.write(job, new), ending_of(target))
    return target


def find_format(path: str | PathLike[str], name: str | None = None, ndim: int = 2) -> Format:
    """Find a format by its name, else by the target's ending.

    Raises
    ------
    LabelFileError
        If there is none, or it does not go with the ending or the dimensions.
    """
    path = Path(path)
    ending = ending_of(path)
    if name is None and ome_zarr.image_around(path):
        name = "ome-zarr"
    if name is None:
        fitting = [one for one in FORMATS.values() if ending in one.endings]
        if not fitting:
            raise LabelFileError(
                f"{path.name} has no ending of an export; use .tif, .zarr, .png, .json, .csv or "
                f".nii.gz, or name the format ({', '.join(FORMATS)})."
            )
        chosen = fitting[0]
    elif name in FORMATS:
        chosen = FORMATS[name]
    else:
        raise LabelFileError(f"There is no format {name!r}; use one of {', '.join(FORMATS)}.")
    if chosen.name == "png" and ndim > 2:
        raise LabelFileError(
            f"A stack does not fit into {path.name}; give a folder and the format png-planes."
        )
    inside = chosen.name == "ome-zarr" and ome_zarr.image_around(path) is not None
    if chosen.endings and ending not in chosen.endings and not inside:
        raise LabelFileError(
            f"{path.name} has not the ending of {chosen.name}; use {' or '.join(chosen.endings)}."
        )
    return chosen


def check_target(path: str | PathLike[str], chosen: Format, *, overwrite: bool = False) -> Path:
    """Check, before any work is done, that an export can be written there.

    Parameters
    ----------
    path : path
        Target.
    chosen : Format
        Its format.
    overwrite : bool
        Whether an earlier export of the same kind may be replaced.

    Returns
    -------
    Path
        The target with links followed.

    Raises
    ------
    LabelFileError
        If it exists, its folder is missing or not writable, or what is there is something else.
    """
    path = Path(os.path.realpath(path))
    parent = path.parent
    inside = ome_zarr.image_around(path) if chosen.name == "ome-zarr" else None
    if inside is not None and not parent.exists():
        parent = inside
    if not parent.is_dir():
        raise LabelFileError(f"There is no folder {parent}; make it first.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise LabelFileError(f"The folder {parent} is not writable; choose another one.")
    if not path.exists():
        return path
    if path.is_dir() != chosen.folder:
        kind = "a folder" if path.is_dir() else "a file"
        raise LabelFileError(f"{path} is {kind} and no {chosen.name}; choose another name.")
    if not overwrite:
        raise LabelFileError(
            f"{path} exists already; choose another name, or say that it may be replaced "
            "(overwrite=True, --force)."
        )
    if chosen.folder:
        _check_replaceable(path, chosen)
    return path


def _check_replaceable(path: Path, chosen: Format) -> None:
    """Refuse to delete a folder that no export has written."""
    if chosen.name == "ome-zarr":
        if ome_zarr.is_label_group(path):
            return
        raise LabelFileError(
            f"{path} is no OME-Zarr of labels, and is left alone; choose another name (labels of "
            "an image: IMAGE.zarr/labels/NAME)."
        )
    pattern = re.compile(chosen.holds)
    for one in sorted(path.rglob("*")):
        inside = one.relative_to(path).as_posix()
        if not pattern.fullmatch(inside):
            raise LabelFileError(
                f"{path} holds {inside}, which is none of {chosen.name}, and is left alone; "
                "choose another name."
            )
