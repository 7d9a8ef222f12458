"""``anysam propagate``: objects followed through a stack, from file to file, and gone on with."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_anysam.cli_consensus import add_consensus, check_consensus, write_consensus
from napari_anysam.cli_estimate import estimate, load_if_it_fits
from napari_anysam.cli_job import Job, stops_at_ends, without_channels
from napari_anysam.cli_options import (
    add_image_options,
    add_model_options,
    add_output_option,
    add_prompts_option,
    add_region_option,
    label_dtype,
    label_sizes,
    naming_slices,
    open_image,
    refuse_overwriting_input,
    tell,
    warn_of_missing,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari_anysam.images.conditioning import Conditioning
    from napari_anysam.images.label_stack import LabelStack
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.run_request import RunRequest
    from napari_anysam.segmentation.tracking_end import EndRule
    from napari_anysam.segmentation.tracking_plan import Plan
    from napari_anysam.segmentation.tracking_results import PropagationResult
    from napari_anysam.segmentation.tracking_state import RunKeeper

__all__ = ["add_propagate"]


def add_propagate(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "propagate",
        help="follow objects through a stack or time series",
        description="Follow the prompted objects through a z-stack or a time series. The planes "
        "that are finished lie in OUT.unfinished until all are; a run that was ended there, even "
        "killed, goes on with --resume and gives the same result.",
    )
    parser.add_argument(
        "image",
        metavar="STACK",
        type=Path,
        help="TIFF, Zarr, NIfTI, NRRD, MHA, MP4, AVI, or a folder with a DICOM series",
    )
    add_prompts_option(parser, required=True)
    add_output_option(
        parser,
        "label stack, in the order of the image's axes: .tif, .zarr (OME-Zarr), .nii.gz, .nrrd, "
        ".mha or .dcm (DICOM-SEG)",
    )
    add_model_options(parser)
    add_region_option(parser)
    add_image_options(parser)
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
    parser.add_argument(
        "--memory",
        choices=("full", "fast"),
        default="full",
        help="fast reads fewer memories of each object: quicker with large models (default: full)",
    )
    parser.add_argument(
        "--stop-at-ends",
        action=argparse.BooleanOptionalAction,
        help="look no more for an object behind the plane on which it ends, where networks go on "
        "painting; one that leaves and comes back is then not found again (default: yes, unless "
        "STACK calls the axis time)",
    )
    before = parser.add_mutually_exclusive_group()
    before.add_argument(
        "--resume",
        dest="before",
        action="store_const",
        const="resume",
        default="refuse",
        help="go on where a run with these options was ended",
    )
    before.add_argument(
        "--restart",
        dest="before",
        action="store_const",
        const="restart",
        help="delete what an unfinished run has done, and begin anew",
    )
    parser.add_argument(
        "--save-every",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="how much work a kill may cost (default: 30); more where saving takes long",
    )
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="only tell how much time, memory and disk the run will take, and what would help",
    )
    add_consensus(parser)
    parser.set_defaults(run=_propagate, usage_error=parser.error)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds; use one from 0 up")
    return seconds


def _propagate(options: argparse.Namespace) -> None:
    from napari_anysam.images.conditioning import resolve_conditioning
    from napari_anysam.images.label_stack import open_label_stack

    job = _checked(options)
    if options.estimate:
        sys.stdout.writelines(f"{line}\n" for line in estimate(job, options).lines)
        return
    model = load_if_it_fits(job, options)
    if options.consensus:
        found = write_consensus(options, job.image, job.prompts, model, job.axis, job.channel_axis)
        warn_of_missing(job.plan.anchors.keys() - found)
        sys.stdout.write(f"{options.output}\n")
        return
    from napari_anysam.segmentation.tracking import Tracker
    from napari_anysam.segmentation.tracking_end import end_rule_for

    contrast: Any = "follow" if options.follow_brightness else options.contrast or "auto"
    conditioning = resolve_conditioning(job.planes, contrast)
    ending = end_rule_for(model) if stops_at_ends(job, options) else None
    tracker = Tracker(
        model,
        job.planes,
        conditioning,
        region=options.region,
        memory=options.memory,
        ending=ending,
    )
    with open_label_stack(
        options.output,
        job.label_shape,
        job.dtype,
        job.plane_axis,
        before=options.before,
        geometry=job.geometry,
        **label_sizes(job.image, job.channel_axis),
    ) as stack:
        request = _request(job, conditioning, model, ending, options)
        keeper = _keeper(stack.folder, request, options)
        results = tracker.run(
            job.prompts,
            direction=options.direction,
            start=options.start,
            stop=options.stop,
            keeper=keeper,
        )
        found = _write_results(_progress(results, job.plan, keeper.reached, options), stack)
        missing = stack.missing(job.plan.anchors.keys() - found)
    warn_of_missing(missing)
    sys.stdout.write(f"{options.output}\n")


def _checked(options: argparse.Namespace) -> Job:
    from napari_anysam.images.label_files import check_output
    from napari_anysam.images.label_stack import check_plane_size, check_unfinished
    from napari_anysam.images.planes import Planes
    from napari_anysam.images.volume_files import check_label_volume
    from napari_anysam.segmentation.prompt_files import read_prompts
    from napari_anysam.segmentation.tracking_plan import make_plan

    if options.follow_brightness and options.contrast is not None:
        options.usage_error("Give --contrast or --follow-brightness, not both.")
    check_consensus(options)
    check_output(options.output, ndim=3)
    refuse_overwriting_input(options)
    if options.before == "refuse":
        check_unfinished(options.output)
    image, taken, channel_axis = open_image(options, 3)
    axis = options.axis if options.axis is not None else int(channel_axis == 0)
    with naming_slices():
        planes = Planes(image.array, axis, channel_axis)
    prompts = read_prompts(options.prompts, without_channels(axis, channel_axis, image.array.ndim))
    dtype = label_dtype(prompts)
    plan = make_plan(
        prompts,
        planes.plane_shape,
        planes.count,
        options.direction,
        options.start,
        options.stop,
    )
    job = Job(image, taken, channel_axis, axis, planes, prompts, dtype, plan)
    check_plane_size(options.output, job.label_shape, job.plane_axis)
    check_label_volume(options.output, job.label_shape, job.geometry)
    return job


def _request(
    job: Job,
    conditioning: Conditioning,
    model: PromptableModel,
    ending: EndRule | None,
    options: argparse.Namespace,
) -> RunRequest:
    from napari_anysam.segmentation.journal import record_of
    from napari_anysam.segmentation.run_request import RunRequest, StackReference

    return RunRequest(
        stack=StackReference.of(
            job.image.array,
            path=str(options.image.resolve()),
            level=options.level,
            at=job.taken,
            channel_axis=job.channel_axis,
        ),
        prompts=tuple(job.prompts),
        axis=job.axis,
        direction=options.direction,
        start=job.plan.start,
        stop=job.plan.stop,
        region=options.region,
        memory=options.memory,
        conditioning=conditioning,
        model=record_of(model),
        ending=None if ending is None else ending.object_logit,
    )


def _keeper(folder: Path, request: RunRequest, options: argparse.Namespace) -> RunKeeper:
    """Return the keeper of a run, and compute as the run did that is gone on with."""
    import torch

    from napari_anysam.segmentation.run_folder import keeper_in, recorded_request

    recorded = recorded_request(folder, request)
    # The number of threads decides how sums are rounded.
    torch.set_num_threads(recorded.model.threads)
    if recorded.model.device != request.model.device:
        tell(
            f"warning: the run began on {recorded.model.device} and goes on on "
            f"{request.model.device}, which rounds differently; --device names another one."
        )
    return keeper_in(folder, request, options.save_every)


def _write_results(results: Iterable[PropagationResult], stack: LabelStack) -> set[int]:
    """Write results as they come; return the ids of the objects that were found anywhere."""
    found: set[int] = set()
    for result in results:
        stack.write(result.index, result.labels_in)
        windows = zip(result.object_ids, result.windows, strict=True)
        found.update(object_id for object_id, window in windows if window is not None)
    return found


def _progress(
    results: Iterator[PropagationResult],
    plan: Plan,
    reached: tuple[int, int] | None,
    options: argparse.Namespace,
) -> Iterable[PropagationResult]:
    """Show how many results there are of all; planes that answer grow are counted twice."""
    from tqdm import tqdm

    visits = [(step, plane) for step in plan.steps for plane in plan.planes(step)]
    grown = [visit for visit in visits if plan.grows(visit[1], visit[0])]
    behind = visits[: visits.index(reached) + 1] if reached is not None else []
    bar: Iterable[PropagationResult] = tqdm(
        results,
        "Propagating",
        len(grown),
        unit=" planes",
        initial=len(set(behind).intersection(grown)),
        disable=options.quiet,
        file=sys.stderr,
    )
    return bar
