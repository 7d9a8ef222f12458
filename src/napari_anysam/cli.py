"""The command line: ``anysam segment``, ``propagate``, ``lesion``, ``replay``, ``models`` ...

Results go to files and their paths to stdout; progress and errors go to stderr. Torch is imported
only when everything that can be checked without it has been checked.
"""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from napari_anysam import __version__
from napari_anysam.cli_export import add_export
from napari_anysam.cli_lesion import add_lesion
from napari_anysam.cli_masks import add_mask_options, mask_options
from napari_anysam.cli_models import add_models
from napari_anysam.cli_options import (
    add_image_options,
    add_model_options,
    add_output_option,
    add_prompts_option,
    add_region_option,
    label_dtype,
    label_sizes,
    load_model,
    naming_slices,
    open_image,
    refuse_overwriting_input,
    tell,
    warn_of_missing,
)
from napari_anysam.cli_precompute import add_precompute
from napari_anysam.cli_propagate import add_propagate
from napari_anysam.cli_replay import add_replay
from napari_anysam.cli_tracks import add_track
from napari_anysam.errors import AnySAMError, PromptError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_anysam.segmentation.prompts import Prompt

__all__ = ["main"]

FAILED, CANCELLED = 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0 where all went well, 1 after an error that was told in one line, 130 after Ctrl-C or a
        request to end. Wrong usage exits with 2.
    """
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        _refuse(parser, unknown)
    try:
        with _ending_like_ctrl_c():
            options.run(options)
    except AnySAMError as error:
        tell(f"error: {_with_notes(str(error), error)}")
        return FAILED
    except KeyboardInterrupt as error:
        tell(_with_notes("cancelled.", error))
        return CANCELLED
    return 0


def _refuse(parser: argparse.ArgumentParser, unknown: Sequence[str]) -> NoReturn:
    """End with a usage error; a second image is the likeliest word that no option takes."""
    words = f"unrecognized arguments: {' '.join(unknown)}"
    if any(Path(word).exists() for word in unknown):
        words += (
            "\nA command takes one image at a time; planes in files of their own are joined to one "
            "stack before, such as a TIFF of several pages."
        )
    parser.error(words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anysam", description="Segment anything, from prompts, without a window."
    )
    parser.add_argument("--version", action="version", version=f"napari-anysam {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_segment(commands)
    add_propagate(commands)
    add_track(commands)
    add_lesion(commands)
    add_precompute(commands)
    add_replay(commands)
    add_export(commands)
    add_models(commands)
    _add_doctor(commands)
    return parser


def _add_doctor(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor",
        help="tell what a support request needs",
        description="Versions, devices and why they are chosen, folders and models.",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> None:
    import json

    from napari_anysam.doctor import examine

    report = examine()
    if options.json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
        return
    for title, content in report.items():
        if not isinstance(content, dict):
            sys.stdout.write(f"{title}: {content}\n")
            continue
        sys.stdout.write(f"{title}:\n")
        sys.stdout.writelines(f"  {name}: {value}\n" for name, value in content.items())


def _add_segment(commands: Any) -> None:
    parser = commands.add_parser(
        "segment",
        help="segment one image",
        description="Segment the prompted objects of one image, or all that a model finds.",
    )
    parser.add_argument("image", metavar="IMAGE", type=Path, help="TIFF, PNG, JPEG, Zarr or DICOM")
    objects = parser.add_mutually_exclusive_group(required=True)
    add_prompts_option(objects)
    objects.add_argument(
        "--from-labels",
        metavar="LABELS",
        type=Path,
        help="label image whose objects become prompts, their ids kept",
    )
    objects.add_argument(
        "--everything",
        action="store_true",
        help="every object: what the model proposes, or answers at a grid of points",
    )
    parser.add_argument(
        "--as",
        dest="label_kind",
        choices=("box", "mask", "points"),
        help="what the objects of --from-labels become (default: box)",
    )
    add_output_option(parser, "label image: .tif, .png, .zarr, .nii.gz, .nrrd, .mha or .dcm")
    add_model_options(parser)
    add_region_option(parser)
    add_image_options(parser)
    add_mask_options(parser)
    _add_proposals(parser)
    parser.set_defaults(run=_segment, usage_error=parser.error)


def _add_proposals(parser: argparse.ArgumentParser) -> None:
    proposals = parser.add_argument_group(
        "proposals", "of models that propose objects; left out, the settings decide"
    )
    proposals.add_argument("--conf", type=float, help="least confidence, 0 to 1")
    proposals.add_argument("--iou", type=float, help="boxes that overlap more are one, 0 to 1")
    proposals.add_argument(
        "--retina-masks",
        action=argparse.BooleanOptionalAction,
        help="draw masks at the resolution of the image",
    )


def _segment(options: argparse.Namespace) -> None:
    from napari_anysam.images.label_files import check_output, write_labels
    from napari_anysam.images.planes import Planes
    from napari_anysam.images.volume_files import check_label_volume
    from napari_anysam.segmentation.everything import check_proposes
    from napari_anysam.segmentation.mask_options import MaskOptions
    from napari_anysam.segmentation.prompts import check_prompts

    if options.label_kind is not None and options.from_labels is None:
        options.usage_error("--as goes with --from-labels; leave it out, or give labels.")
    check_output(options.output, ndim=2)
    refuse_overwriting_input(options)
    shaping = mask_options(options)
    if options.everything and shaping != MaskOptions():
        options.usage_error("Masks are shaped for prompts; leave those options out.")
    prompts = [] if options.everything else _prompts_for_image(options)
    image, _, channel_axis = open_image(options, 2)
    with naming_slices():
        planes = Planes.single(image.array, channel_axis)
    geometry = image.label_geometry(channel_axis)
    check_label_volume(options.output, planes.plane_shape, geometry)
    if not options.everything:
        check_prompts(prompts, planes.plane_shape)
        label_dtype(prompts)

    changes = _proposal_changes(options)
    model = load_model(options)
    if changes:
        proposing = check_proposes(model)
        proposing.options = replace(proposing.options, **changes)
    from napari_anysam import segment, segment_everything

    pixels: dict[str, Any] = {"contrast": options.contrast or "auto", "channel_axis": channel_axis}
    if options.everything:
        labels = segment_everything(image.array, model, **pixels)
    else:
        labels = segment(image.array, prompts, model, options.region, options=shaping, **pixels)
    write_labels(options.output, labels, geometry, **label_sizes(image, channel_axis))
    warn_of_missing({prompt.object_id for prompt in prompts} - set(labels.ravel().tolist()))
    sys.stdout.write(f"{options.output}\n")


def _prompts_for_image(options: argparse.Namespace) -> list[Prompt]:
    if options.from_labels is None:
        from napari_anysam.segmentation.prompt_files import read_prompts

        return read_prompts(options.prompts)
    from napari_anysam.images.files import read_image
    from napari_anysam.segmentation.label_prompts import prompts_from_labels

    labels = read_image(options.from_labels).array
    if labels.ndim != 2:
        raise PromptError(f"{options.from_labels} is no 2D label image; give one of the image.")
    return prompts_from_labels(labels, options.label_kind or "box")


def _proposal_changes(options: argparse.Namespace) -> dict[str, Any]:
    """Return what is said about proposals, once it is known to make sense."""
    from napari_anysam.networks.protocol import ProposalOptions

    said = {name: getattr(options, name) for name in ("conf", "iou", "retina_masks")}
    changes = {name: value for name, value in said.items() if value is not None}
    ProposalOptions(**changes)
    return changes


@contextmanager
def _ending_like_ctrl_c() -> Iterator[None]:
    """Keep what is finished when a scheduler ends the process (SIGTERM), as on Ctrl-C."""

    def end(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, end)
    except ValueError:  # not on the main thread, where signals cannot arrive either
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _with_notes(message: str, error: BaseException) -> str:
    return " ".join([message, *getattr(error, "__notes__", ())]).replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
