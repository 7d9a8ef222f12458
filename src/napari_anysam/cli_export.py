"""The command line's ``anysam export``: labels for other programs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from napari_anysam.images.files import ImageFile
    from napari_anysam.images.geometry import Geometry

__all__ = ["add_export"]


def add_export(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "export",
        help="write labels for other programs",
        description="Write labels as OME-TIFF, OME-Zarr, PNG, COCO, YOLO, CSV table, cut-outs, "
        "NIfTI, NRRD, MHA, DICOM-SEG or tracks (CSV, Cell Tracking Challenge).",
    )
    parser.add_argument(
        "labels",
        metavar="LABELS",
        type=Path,
        help="TIFF, PNG, NPY, Zarr, NIfTI, NRRD, MHA or DICOM-SEG",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        type=Path,
        required=True,
        help=".tif, .zarr, .png, .json, .csv, .nii.gz, .nrrd, .mha, .dcm, IMAGE.zarr/labels/NAME, "
        "or a folder with --format",
    )
    parser.add_argument(
        "--format",
        metavar="NAME",
        help="ome-tiff, ome-zarr, png, png-planes, coco-rle, coco-polygons, yolo, csv, cutouts, "
        "nifti, nrrd, mha, dicom-seg, tracks or ctc (default: after the ending of OUT)",
    )
    parser.add_argument("--axes", help="letters of TCZYX, YX last (default: what LABELS says)")
    parser.add_argument(
        "--scale",
        nargs="+",
        type=float,
        metavar="SIZE",
        help="size of a pixel along every axis, or rows and columns (default: what LABELS says)",
    )
    parser.add_argument(
        "--units",
        nargs="+",
        metavar="UNIT",
        help="one for space, or one for every axis: um, nm ...",
    )
    parser.add_argument(
        "--image",
        type=Path,
        help="to measure (csv), cut (cutouts), save beside (yolo); a medical one also says where "
        "the labels lie",
    )
    parser.add_argument("--channel-axis", type=int, metavar="K", help="axis of channels in IMAGE")
    parser.add_argument(
        "--contrast",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="intensities shown black and white (default: 0.5 and 99.5 percentiles)",
    )
    parser.add_argument(
        "--classes", metavar="FILE", type=Path, help="CSV with the columns id, name, score, model"
    )
    parser.add_argument("--class-names", nargs="+", metavar="NAME", help="all classes in order")
    parser.add_argument(
        "--lineage",
        metavar="FILE",
        type=Path,
        help="CSV with the columns child, parent (tracks, ctc)",
    )
    parser.add_argument("--margin", type=int, default=0, help="pixels around a cut-out")
    parser.add_argument("--indexed", action="store_true", help="PNG with a colour table")
    parser.add_argument(
        "--level", type=int, metavar="L", default=0, help="level of pyramids (default: 0)"
    )
    parser.add_argument("--force", action="store_true", help="replace an earlier export")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from napari_anysam.errors import LabelFileError
    from napari_anysam.export.formats import check_target, export_labels, find_format
    from napari_anysam.export.objects import Objects, read_objects
    from napari_anysam.export.units import known_units
    from napari_anysam.images.files import read_image, read_labels
    from napari_anysam.segmentation.lineage import read_lineage

    labels = read_labels(options.labels, options.level)
    chosen = find_format(options.output, options.format, labels.array.ndim)
    check_target(options.output, chosen, overwrite=options.force)
    for source in (options.labels, options.image, options.classes, options.lineage):
        if source is not None and source.resolve() == options.output.resolve():
            raise LabelFileError(f"{options.output} is also an input; choose another name for OUT.")
    objects = Objects.of(options.class_names)
    if options.classes is not None:
        objects = read_objects(options.classes, options.class_names)
    image = None if options.image is None else read_image(options.image, options.level)
    names = [options.image.name] if image is not None and labels.array.ndim == 2 else ()
    axes = options.axes or _label_axes(labels, series=chosen.series)
    scale, units = options.scale, options.units
    if units is not None and len(units) == 1:
        units = units[0]
    sized = _with_sizes(labels, image)
    if scale is None and sized.scale is not None:
        # A depth that is called time keeps its size and loses its unit.
        named = axes if axes is not None and len(axes) == len(sized.axes) else sized.axes
        units = units or known_units(sized.units, named)
        scale = sized.scale
    path = export_labels(
        labels.array,
        options.output,
        format=chosen.name,
        axes=axes,
        scale=scale,
        units=units,
        image=None if image is None else image.array,
        channel_axis=_channel_axis(options, image, labels.array.ndim),
        contrast=options.contrast or "auto",
        class_names=objects.class_names or None,
        object_classes=objects.classes,
        object_scores=objects.scores,
        object_models=objects.models,
        parents=None if options.lineage is None else read_lineage(options.lineage),
        file_names=names,
        geometry=_geometry(options, labels, image),
        margin=options.margin,
        indexed=options.indexed,
        overwrite=options.force,
    )
    report = {"path": str(path), "format": chosen.name, "shape": list(labels.array.shape)}
    sys.stdout.write(f"{json.dumps(report) if options.json else options.output}\n")


def _with_sizes(labels: ImageFile, image: ImageFile | None) -> ImageFile:
    """Return what tells the sizes of pixels: labels with units, or a medical image of their shape.

    Zarr labels have a size where they have no unit, and it may only say that none is known.
    """
    if any(labels.units) or image is None or image.geometry is None:
        return labels
    return image if tuple(image.array.shape) == tuple(labels.array.shape) else labels


def _geometry(
    options: argparse.Namespace, labels: ImageFile, image: ImageFile | None
) -> Geometry | None:
    """Return where a medical image lies, else where the labels do, unless sizes are given."""
    if options.scale is not None:
        return None
    found = None if image is None else image.geometry
    return found or labels.geometry


def _label_axes(labels: ImageFile, *, series: bool) -> str | None:
    """Return the file's axes; one of unknown meaning counts as depth, in a series first as time."""
    axes = labels.axes.replace("I", "Q")
    if series and "T" not in axes:
        axes = axes.replace("Q", "T", 1)
    return axes.replace("Q", "Z") or None


def _channel_axis(
    options: argparse.Namespace, image: ImageFile | None, label_ndim: int
) -> int | None:
    if options.channel_axis is not None or image is None or image.array.ndim == label_ndim:
        given: int | None = options.channel_axis
        return given
    return image.channel_axis
