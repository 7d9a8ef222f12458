"""``anysam propagate --consensus``: along three axes of a volume instead of one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from napari_anysam.cli_options import label_sizes
from napari_anysam.errors import OptionsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from napari_anysam.images.files import ImageFile
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.prompts import Prompt

__all__ = ["add_consensus", "check_consensus", "spacing_of", "write_consensus"]


def add_consensus(parser: argparse.ArgumentParser) -> None:
    """Add the options to those of ``anysam propagate``."""
    group = parser.add_argument_group("three axes", "of a volume, instead of one")
    group.add_argument(
        "--consensus",
        action="store_true",
        help="follow objects along all three axes; the majority decides, voxel by voxel",
    )
    group.add_argument(
        "--spacing",
        nargs=3,
        type=float,
        metavar=("DZ", "DY", "DX"),
        help="distances of voxels (default: what STACK says, else 1 1 1)",
    )


def check_consensus(options: argparse.Namespace) -> None:
    """End with a usage error where options contradict each other."""
    if options.spacing is not None and not options.consensus:
        options.usage_error("--spacing goes with --consensus; leave it out, or give both.")
    one_axis = (
        options.direction != "both"
        or options.start is not None
        or options.stop is not None
        or options.follow_brightness
    )
    if options.consensus and one_axis:
        options.usage_error(
            "--consensus takes whole volumes; leave out --direction, --start, --stop and "
            "--follow-brightness."
        )
    if options.consensus and options.stop_at_ends is not None:
        options.usage_error(
            "--consensus sees where objects end from across; leave out --stop-at-ends."
        )


def write_consensus(
    options: argparse.Namespace,
    image: ImageFile,
    prompts: Sequence[Prompt],
    model: PromptableModel,
    axis: int,
    channel_axis: int | None,
) -> set[int]:
    """Write the labels; return the ids of the objects that are in them.

    Raises
    ------
    OptionsError
        If the spacing is no spacing.
    """
    import numpy as np
    from tqdm import tqdm

    from napari_anysam.images.label_files import write_labels
    from napari_anysam.segmentation.consensus import consensus

    with tqdm(None, "Three axes", unit=" planes", disable=options.quiet, file=sys.stderr) as bar:
        labels = consensus(
            image.array,
            prompts,
            model,
            spacing=options.spacing or spacing_of(image, channel_axis),
            axis=axis,
            region=options.region,
            contrast=options.contrast or "auto",
            channel_axis=channel_axis,
            progress=bar.update,
        )
    sizes = sizes_of_consensus(image, channel_axis, options.spacing)
    write_labels(options.output, labels, image.label_geometry(channel_axis), **sizes)
    return set(np.unique(labels).tolist()) - {0}


def sizes_of_consensus(
    image: ImageFile, channel_axis: int | None, spacing: Sequence[float] | None
) -> dict[str, Any]:
    """Return ``label_sizes``; of another spacing than the file's nobody names the unit."""
    sizes = label_sizes(image, channel_axis)
    if spacing is None or tuple(spacing) == sizes["scale"]:
        return sizes
    return sizes | {"scale": tuple(spacing), "units": ()}


def spacing_of(image: ImageFile, channel_axis: int | None) -> tuple[float, ...]:
    """Return what the file says, in one unit; a file that says nothing has cubes."""
    if image.scale is None:
        return (1.0, 1.0, 1.0)
    ndim = image.array.ndim
    space = [axis for axis in range(ndim) if channel_axis is None or axis != channel_axis % ndim]
    if image.units and len({image.units[axis] for axis in space}) > 1:
        raise OptionsError("The voxels are given in several units; say --spacing DZ DY DX.")
    return tuple(image.scale[axis] for axis in space)
