"""What the commands that look at images share: options, and what is made of them."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_anysam.errors import PromptError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np

    from napari_anysam.images.files import ImageFile
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.prompts import Prompt

__all__ = [
    "add_at_option",
    "add_image_options",
    "add_model_options",
    "add_output_option",
    "add_prompts_option",
    "add_region_option",
    "label_dtype",
    "label_sizes",
    "load_model",
    "naming_slices",
    "open_image",
    "refuse_overwriting_input",
    "tell",
    "warn_of_missing",
]

_MOST_16_BIT, _MOST_LABEL = 2**16 - 1, 2**31 - 1


def add_prompts_option(parser: argparse._ActionsContainer, *, required: bool = False) -> None:
    """Add ``--prompts``."""
    words = "JSON, or the CSV of a napari Points layer"
    parser.add_argument("--prompts", metavar="FILE", type=Path, required=required, help=words)


def add_output_option(
    parser: argparse.ArgumentParser, words: str, *, required: bool = True
) -> None:
    """Add ``--output``."""
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=required, help=words)


def add_model_options(parser: argparse.ArgumentParser, precision_help: str | None = None) -> None:
    """Add which model computes, where and how, and ``--quiet``."""
    parser.add_argument(
        "--model",
        metavar="NAME",
        default="anysam-nano",
        help="catalogue name or checkpoint file (default: anysam-nano, the shipped model)",
    )
    parser.add_argument("--variant", help="member of a family, where a checkpoint cannot tell")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument(
        "--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto", help=precision_help
    )
    parser.add_argument(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="side of the square that the network sees (default: what it was made for); SAM 2 and "
        "SAM 2.1 take 512 instead of 1024: several times quicker, and coarser",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")


def add_region_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--region``."""
    parser.add_argument(
        "--region",
        choices=("auto", "plane"),
        default="auto",
        help="auto zooms to small objects; plane encodes whole planes",
    )


def add_image_options(parser: argparse.ArgumentParser, contrast_help: str | None = None) -> None:
    """Add which part of an image's file is looked at, and how it is shown to the network."""
    parser.add_argument(
        "--contrast",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help=contrast_help
        or "intensities shown black and white (default: 0.5 and 99.5 percentiles)",
    )
    add_at_option(parser)
    parser.add_argument("--channel-axis", type=int, metavar="K", help="axis that holds channels")
    parser.add_argument(
        "--level",
        type=int,
        metavar="L",
        default=0,
        help="level of a pyramid; prompts and labels are in its pixels (default: 0, the largest)",
    )


def add_at_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--at``."""
    parser.add_argument(
        "--at",
        action="append",
        default=[],
        metavar="AXIS=INDEX",
        help="take one index along an axis of the file, such as T=3 or 0=3; may be repeated, and "
        "the other options count the axes that are left",
    )


def open_image(
    options: argparse.Namespace, ndim: int
) -> tuple[ImageFile, tuple[tuple[int, int], ...], int | None]:
    """Open the image that the options name.

    Parameters
    ----------
    options : argparse.Namespace
    ndim : int
        Dimensions that are wanted beside channels: 2 or 3.

    Returns
    -------
    ImageFile
        What ``--at`` leaves of it.
    tuple of (axis, index)
        What ``--at`` took.
    int or None
        The axis of channels: as it is told, else as the file names it.
    """
    from napari_anysam.images.files import read_image
    from napari_anysam.images.slicing import sliced

    image, taken = sliced(read_image(options.image, options.level), options.at)
    channel_axis: int | None = options.channel_axis
    if channel_axis is None and image.array.ndim == ndim + 1:
        channel_axis = image.channel_axis
    return image, taken, channel_axis


@contextmanager
def naming_slices() -> Iterator[None]:
    """Name the option that slices, where an image has too many dimensions."""
    from napari_anysam.errors import ImageError

    try:
        yield
    except ImageError as error:
        if "slice" in str(error):
            error.add_note("Here, --at AXIS=INDEX does that, and --channel-axis K names channels.")
        raise


def load_model(options: argparse.Namespace) -> PromptableModel:
    """Load the model that the options name."""
    from napari_anysam.cores import usable_cores
    from napari_anysam.networks.device import limit_torch_threads
    from napari_anysam.networks.load import load_with_report

    limit_torch_threads(usable_cores())
    return load_with_report(
        options.model,
        options.device,
        options.precision,
        options.variant,
        options.image_size,
        report=None if options.quiet else tell,
    )


def label_dtype(prompts: Sequence[Prompt]) -> type[np.unsignedinteger[Any]]:
    """Return the type of labels that holds every object id.

    Raises
    ------
    PromptError
        If an id fits into no label image.
    """
    import numpy as np

    most = max(prompt.object_id for prompt in prompts)
    if most > _MOST_LABEL:
        raise PromptError(
            f"object_id {most} does not fit into a label image; renumber the objects."
        )
    return np.uint16 if most <= _MOST_16_BIT else np.uint32


def label_sizes(
    image: ImageFile, channel_axis: int | None = None, axes: str | None = None
) -> dict[str, Any]:
    """Return names and pixel sizes of the labels' axes, as far as the image's file tells them.

    Parameters
    ----------
    image : ImageFile
        The image.
    channel_axis : int or None
        Its axis that labels do not have.
    axes : str, optional
        What the labels' axes are; by default what the file says, else the last of "ZYX".

    Returns
    -------
    dict
        "axes", "scale" and "units", as ``open_label_stack`` and ``write_labels`` take them.
    """
    from napari_anysam.export.units import find_unit, known_units

    ndim = image.array.ndim
    channels = None if channel_axis is None else channel_axis % ndim
    kept = [axis for axis in range(ndim) if axis != channels]
    names = "".join(image.axes[axis] for axis in kept) if image.axes else ""
    axes = axes or (names if names in ("TYX", "ZYX") else "ZYX"[-len(kept) :])
    units = [image.units[axis] for axis in kept] if image.units else [None] * len(kept)
    return {
        "axes": axes.lower(),
        "scale": None if image.scale is None else tuple(image.scale[axis] for axis in kept),
        "units": [
            None if unit is None else find_unit(unit, axis).name
            for unit, axis in zip(known_units(units, axes), axes, strict=True)
        ],
    }


def refuse_overwriting_input(options: argparse.Namespace) -> None:
    """Raise LabelFileError if the output is an input too."""
    from napari_anysam.errors import LabelFileError

    inputs = [getattr(options, name, None) for name in ("image", "prompts", "from_labels")]
    if options.output.resolve() in [path.resolve() for path in inputs if path is not None]:
        raise LabelFileError(f"{options.output} is also an input; choose another name for OUT.")


def warn_of_missing(missing: Iterable[int]) -> None:
    """Tell which objects have no pixel, if there are any."""
    names = ", ".join(str(number) for number in sorted(missing))
    if names:
        tell(f"warning: object {names} has no pixel in the result; try a box, or other points.")


def tell(words: str) -> None:
    """Write a line to stderr."""
    sys.stderr.write(f"anysam: {words}\n")
