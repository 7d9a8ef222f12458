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
from typing import TYPE_CHECKING, Any

from napari_anysam import __version__
from napari_anysam.cli_export import add_export
from napari_anysam.cli_lesion import add_lesion
from napari_anysam.cli_masks import add_mask_options, mask_options
from napari_anysam.cli_models import add_models
from napari_anysam.cli_precompute import add_precompute
from napari_anysam.cli_replay import add_replay
from napari_anysam.errors import AnySAMError, PromptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np

    from napari_anysam.images.label_files import LabelStack
    from napari_anysam.images.planes import Planes
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.tracking import PropagationResult

__all__ = ["main"]

FAILED, CANCELLED = 1, 130
_MOST_16_BIT, _MOST_LABEL = 2**16 - 1, 2**31 - 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0 where all went well, 1 after an error that was told in one line, 130 after Ctrl-C or a
        request to end. Wrong usage exits with 2.
    """
    options = _parser().parse_args(arguments)
    try:
        with _ending_like_ctrl_c():
            options.run(options)
    except AnySAMError as error:
        _tell(f"error: {_with_notes(str(error), error)}")
        return FAILED
    except KeyboardInterrupt as error:
        _tell(_with_notes("cancelled.", error))
        return CANCELLED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anysam", description="Segment anything, from prompts, without a window."
    )
    parser.add_argument("--version", action="version", version=f"napari-anysam {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_segment(commands)
    _add_propagate(commands)
    add_lesion(commands, _load)
    add_precompute(commands, _load)
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
        description="Segment the prompted objects of one image, or all that a model proposes.",
    )
    parser.add_argument("image", metavar="IMAGE", type=Path, help="TIFF, PNG, JPEG, Zarr or DICOM")
    objects = parser.add_mutually_exclusive_group(required=True)
    _add_prompts(objects)
    objects.add_argument(
        "--from-labels",
        metavar="LABELS",
        type=Path,
        help="label image whose objects become prompts, their ids kept",
    )
    objects.add_argument(
        "--everything",
        action="store_true",
        help="every object that the model proposes (fastsam-s, fastsam-x)",
    )
    parser.add_argument(
        "--as",
        dest="label_kind",
        choices=("box", "mask", "points"),
        help="what the objects of --from-labels become (default: box)",
    )
    _add_common(parser, "label image: .tif, .png, .zarr, .nii.gz, .nrrd, .mha or .dcm")
    add_mask_options(parser)
    _add_proposals(parser)
    parser.set_defaults(run=_segment, usage_error=parser.error)


def _add_propagate(commands: Any) -> None:
    parser = commands.add_parser(
        "propagate",
        help="follow objects through a stack or time series",
        description="Follow the prompted objects through a z-stack or a time series.",
    )
    parser.add_argument(
        "image",
        metavar="STACK",
        type=Path,
        help="TIFF, Zarr, NIfTI, NRRD, MHA, MP4, AVI, or a folder with a DICOM series",
    )
    _add_prompts(parser, required=True)
    _add_common(
        parser,
        "label stack, in the order of the image's axes: .tif, .zarr, .nii.gz, .nrrd, .mha or .dcm",
    )
    parser.add_argument(
        "--axis", type=int, help="axis to follow objects along (default: 0, or 1 after channels)"
    )
    parser.add_argument(
        "--direction", choices=("both", "forward", "backward"), default="both", help="from prompts"
    )
    parser.add_argument("--start", type=int, help="first plane to answer (default: 0)")
    parser.add_argument("--stop", type=int, help="plane to stop before (default: all)")
    parser.add_argument(
        "--follow-brightness",
        action="store_true",
        help="let the contrast follow series that bleach, smoothly; instead of --contrast",
    )
    parser.set_defaults(run=_propagate, usage_error=parser.error)


def _add_prompts(parser: argparse._ActionsContainer, *, required: bool = False) -> None:
    words = "JSON, or the CSV of a napari Points layer"
    parser.add_argument("--prompts", metavar="FILE", type=Path, required=required, help=words)


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


def _add_common(parser: argparse.ArgumentParser, output_help: str) -> None:
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help=output_help)
    parser.add_argument(
        "--model",
        metavar="NAME",
        default="anysam-nano",
        help="catalogue name or checkpoint file (default: anysam-nano, the shipped model)",
    )
    parser.add_argument("--variant", help="member of a family, where a checkpoint cannot tell")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto")
    parser.add_argument(
        "--region",
        choices=("auto", "plane"),
        default="auto",
        help="auto zooms to small objects; plane encodes whole planes",
    )
    parser.add_argument(
        "--contrast",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="intensities shown black and white (default: 0.5 and 99.5 percentiles)",
    )
    parser.add_argument("--channel-axis", type=int, metavar="K", help="axis that holds channels")
    parser.add_argument(
        "--level",
        type=int,
        metavar="L",
        default=0,
        help="level of a pyramid; prompts and labels are in its pixels (default: 0, the largest)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")


def _segment(options: argparse.Namespace) -> None:
    from napari_anysam.images.files import read_image
    from napari_anysam.images.label_files import check_output, write_labels
    from napari_anysam.images.planes import Planes
    from napari_anysam.segmentation.everything import check_proposes
    from napari_anysam.segmentation.mask_options import MaskOptions
    from napari_anysam.segmentation.prompts import check_prompts

    if options.label_kind is not None and options.from_labels is None:
        options.usage_error("--as goes with --from-labels; leave it out, or give labels.")
    check_output(options.output, ndim=2)
    _refuse_overwriting_input(options)
    shaping = mask_options(options)
    if options.everything and shaping != MaskOptions():
        options.usage_error("Masks are shaped for prompts; leave those options out.")
    prompts = [] if options.everything else _prompts_for_image(options)
    image = read_image(options.image, options.level)
    channel_axis = options.channel_axis
    if channel_axis is None and image.array.ndim == 3:
        channel_axis = image.channel_axis
    planes = Planes.single(image.array, channel_axis)
    if not options.everything:
        check_prompts(prompts, planes.plane_shape)
        _label_dtype(prompts)

    changes = _proposal_changes(options)
    model = _load(options)
    if changes or options.everything:
        proposing = check_proposes(model)
        proposing.options = replace(proposing.options, **changes)
    from napari_anysam import segment, segment_everything

    pixels = {"contrast": options.contrast or "auto", "channel_axis": channel_axis}
    if options.everything:
        labels = segment_everything(image.array, model, **pixels)
    else:
        labels = segment(image.array, prompts, model, options.region, options=shaping, **pixels)
    write_labels(options.output, labels, image.label_geometry(channel_axis))
    _warn_of_missing(prompts, set(labels.ravel().tolist()))
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


def _propagate(options: argparse.Namespace) -> None:
    from napari_anysam.images.files import read_image
    from napari_anysam.images.label_files import check_output, open_label_stack
    from napari_anysam.images.planes import Planes
    from napari_anysam.segmentation.prompt_files import read_prompts

    if options.follow_brightness and options.contrast is not None:
        options.usage_error("Give --contrast or --follow-brightness, not both.")
    check_output(options.output, ndim=3)
    _refuse_overwriting_input(options)
    image = read_image(options.image, options.level)
    channel_axis = options.channel_axis
    if channel_axis is None and image.array.ndim == 4:
        channel_axis = image.channel_axis
    axis = options.axis if options.axis is not None else int(channel_axis == 0)
    planes = Planes(image.array, axis, channel_axis)
    plane_axis = _without_channels(axis, channel_axis, image.array.ndim)
    prompts = read_prompts(options.prompts, plane_axis)
    dtype = _label_dtype(prompts)
    total = _count_results(prompts, planes, options)

    model = _load(options)
    from napari_anysam import propagate

    results = propagate(
        image.array,
        prompts,
        model=model,
        axis=axis,
        direction=options.direction,
        start=options.start,
        stop=options.stop,
        region=options.region,
        contrast="follow" if options.follow_brightness else options.contrast or "auto",
        channel_axis=channel_axis,
    )
    shape = list(planes.plane_shape)
    shape.insert(plane_axis, planes.count)
    geometry = image.label_geometry(channel_axis)
    with open_label_stack(options.output, tuple(shape), dtype, plane_axis, geometry) as stack:
        found = _write_results(_progress(results, total, options), stack)
    _warn_of_missing(prompts, found)
    sys.stdout.write(f"{options.output}\n")


def _write_results(results: Iterable[PropagationResult], stack: LabelStack) -> set[int]:
    """Write results as they come; return the ids of the objects that were found anywhere."""
    found: set[int] = set()
    for result in results:
        stack.write(result.index, result.labels)
        masks = zip(result.object_ids, result.masks, strict=True)
        found.update(object_id for object_id, mask in masks if mask.any())
    return found


def _load(options: argparse.Namespace) -> PromptableModel:
    from napari_anysam.cores import usable_cores
    from napari_anysam.networks.device import limit_torch_threads
    from napari_anysam.networks.load import load_with_report

    limit_torch_threads(usable_cores())
    return load_with_report(
        options.model,
        options.device,
        options.precision,
        options.variant,
        report=None if options.quiet else _tell,
    )


def _proposal_changes(options: argparse.Namespace) -> dict[str, Any]:
    """Return what is said about proposals, once it is known to make sense."""
    from napari_anysam.networks.protocol import ProposalOptions

    said = {name: getattr(options, name) for name in ("conf", "iou", "retina_masks")}
    changes = {name: value for name, value in said.items() if value is not None}
    ProposalOptions(**changes)
    return changes


def _count_results(prompts: Sequence[Prompt], planes: Planes, options: argparse.Namespace) -> int:
    """Check the request and count the results it will give: planes that answer grow twice."""
    from napari_anysam.segmentation.tracking_plan import make_plan

    plan = make_plan(
        prompts,
        planes.plane_shape,
        planes.count,
        options.direction,
        options.start,
        options.stop,
    )
    return sum(plan.grows(plane, step) for step in plan.steps for plane in plan.planes(step))


def _progress(
    results: Iterator[PropagationResult], total: int, options: argparse.Namespace
) -> Iterable[PropagationResult]:
    from tqdm import tqdm

    bar: Iterable[PropagationResult] = tqdm(
        results, "Propagating", total, unit=" planes", disable=options.quiet, file=sys.stderr
    )
    return bar


def _without_channels(axis: int, channel_axis: int | None, ndim: int) -> int:
    """Position of the axis in labels and points, which have no channels."""
    axis %= ndim
    return axis - (channel_axis is not None and channel_axis % ndim < axis)


def _label_dtype(prompts: Sequence[Prompt]) -> type[np.unsignedinteger[Any]]:
    import numpy as np

    most = max(prompt.object_id for prompt in prompts)
    if most > _MOST_LABEL:
        raise PromptError(
            f"object_id {most} does not fit into a label image; renumber the objects."
        )
    return np.uint16 if most <= _MOST_16_BIT else np.uint32


def _refuse_overwriting_input(options: argparse.Namespace) -> None:
    from napari_anysam.images.label_files import LabelFileError

    inputs = [options.image, options.prompts, getattr(options, "from_labels", None)]
    if options.output.resolve() in [path.resolve() for path in inputs if path is not None]:
        raise LabelFileError(f"{options.output} is also an input; choose another name for OUT.")


def _warn_of_missing(prompts: Sequence[Prompt], found: set[int]) -> None:
    missing = sorted({prompt.object_id for prompt in prompts} - found)
    if missing:
        names = ", ".join(str(number) for number in missing)
        _tell(f"warning: object {names} has no pixel in the result; try a box, or other points.")


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


def _tell(words: str) -> None:
    sys.stderr.write(f"anysam: {words}\n")


if __name__ == "__main__":
    sys.exit(main())
