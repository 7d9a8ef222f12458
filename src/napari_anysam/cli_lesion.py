"""The command line's ``anysam lesion``: one lesion through a volume, from its key slice."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_anysam.cli_options import (
    add_at_option,
    add_model_options,
    add_output_option,
    label_sizes,
    load_model,
    naming_slices,
    refuse_overwriting_input,
    tell,
)

if TYPE_CHECKING:
    import argparse

    import numpy as np
    from numpy.typing import NDArray

    from napari_anysam.images.files import ImageFile

__all__ = ["add_lesion"]


def add_lesion(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "lesion",
        help="segment a lesion from a box or a RECIST line on one slice",
        description="Follow a lesion from its key slice in both directions, as MedSAM2 does, and "
        "keep the largest connected component. Says its volume and diameters on stderr. The model "
        "medsam2 is made for this.",
    )
    parser.add_argument(
        "image", metavar="VOLUME", type=Path, help="NIfTI, NRRD, MHA, DICOM folder, TIFF, Zarr"
    )
    parser.add_argument(
        "--slice", dest="key_slice", metavar="K", type=int, required=True, help="key slice, from 0"
    )
    prompt = parser.add_mutually_exclusive_group(required=True)
    names = ("Y0", "X0", "Y1", "X1")
    prompt.add_argument("--box", nargs=4, type=float, metavar=names, help="half-open pixel edges")
    prompt.add_argument(
        "--recist", nargs=4, type=float, metavar=names, help="ends of the longest diameter, pixels"
    )
    parser.add_argument(
        "--window",
        nargs="+",
        metavar="NAME",
        default=["auto"],
        help="CT window (lung, abdomen, bone ...), mr, auto, or LOW HIGH (default: auto)",
    )
    parser.add_argument("--axis", type=int, default=0, help="axis of the slices (default: 0)")
    add_at_option(parser)
    add_output_option(parser, "labels: .nii.gz, .nrrd, .mha, .dcm (DICOM-SEG), .tif or .zarr")
    add_model_options(parser)
    parser.add_argument(
        "--region",
        choices=("auto", "plane"),
        help="plane shows whole slices to the network, auto zooms (default: plane where the "
        "network need not shrink them; the shipped model zooms)",
    )
    parser.add_argument(
        "--stop-at-end",
        action="store_true",
        help="look no further behind the first slice on which the model is unsure of the lesion",
    )
    parser.set_defaults(run=_lesion)


def _lesion(options: argparse.Namespace) -> None:
    from napari_anysam.images.files import read_image
    from napari_anysam.images.label_files import check_output, write_labels
    from napari_anysam.images.planes import Planes
    from napari_anysam.images.presets import find_window
    from napari_anysam.images.slicing import sliced
    from napari_anysam.images.volume_files import check_label_volume
    from napari_anysam.segmentation.key_slice import recist_box, segment_lesion

    check_output(options.output, ndim=3)
    refuse_overwriting_input(options)
    image, _ = sliced(read_image(options.image), options.at)
    with naming_slices():
        planes = Planes(image.array, axis=options.axis)
    check_label_volume(options.output, image.array.shape, image.label_geometry())
    window = find_window(_window(options.window), planes)
    line = options.recist
    recist = None if line is None else ((line[0], line[1]), (line[2], line[3]))
    if recist is not None:
        recist_box(recist, planes.plane_shape)  # a wrong line is told before the model is loaded
    model = load_model(options)
    labels = segment_lesion(
        image.array,
        options.key_slice,
        options.box,
        recist,
        model,
        window,
        options.axis,
        options.region,
        options.stop_at_end,
    )
    write_labels(options.output, labels, image.label_geometry(), **label_sizes(image))
    sys.stdout.write(f"{options.output}\n")
    if not options.quiet:
        tell(_report(labels, image, options.axis))


def _window(words: list[str]) -> str | tuple[float, float]:
    """Take two numbers as limits, everything else as a name."""
    try:
        low, high = (float(word) for word in words)
    except ValueError:
        return " ".join(words)
    return low, high


def _report(labels: NDArray[np.uint8], image: ImageFile, axis: int) -> str:
    import numpy as np

    from napari_anysam.export.measures import measure_object

    if not labels.any():
        return "nothing was found; try another box or window."
    geometry = image.label_geometry()
    if geometry is None:
        return f"{int(labels.sum())} voxels of unknown size."
    turned = labels.swapaxes(0, axis)
    spacing = list(geometry.scale)
    spacing[0], spacing[axis] = spacing[axis], spacing[0]
    found = measure_object(turned, 1, spacing, np.asarray(image.array[()]).swapaxes(0, axis))
    unit = image.about.get("value_unit", "")
    return (
        f"{found.volume_ml:.2f} mL, {found.longest_diameter_mm:.1f} x "
        f"{found.perpendicular_diameter_mm:.1f} mm on plane {found.plane}, "
        f"mean {found.mean_intensity:.1f} {unit}".rstrip()
    )
