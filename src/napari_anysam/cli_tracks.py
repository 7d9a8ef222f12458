"""``anysam track``: cells through time, with their daughters, or through volumes and time."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_anysam.cli_options import (
    add_image_options,
    add_model_options,
    add_output_option,
    add_region_option,
    label_sizes,
    load_model,
)
from napari_anysam.errors import ImageError, LabelFileError, PromptError
from napari_anysam.images.plane_chunks import chunk_shape, plane_chunks
from napari_anysam.images.safe_writing import beside, disk_errors
from napari_anysam.segmentation.lineage import write_lineage

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from napari_anysam.segmentation.prompts import Prompt

__all__ = ["add_track", "read_timed_prompts"]


def add_track(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "track",
        help="follow cells through time, with divisions or through volumes",
        description="Follow prompted objects through a time series; the daughters of cells that "
        "divide get ids of their own. Planes are (T, Y, X). Of volumes (T, Z, Y, X): through the "
        "volume, through time on one plane, and from there through every other volume.",
    )
    parser.add_argument(
        "image", metavar="SERIES", type=Path, help="TIFF, NPY, Zarr, NIfTI, MP4 ..."
    )
    parser.add_argument(
        "--prompts",
        metavar="FILE",
        type=Path,
        required=True,
        help='JSON; "plane" is the time point of planes; in volumes it is z, and "time" the time',
    )
    add_output_option(parser, "labels: .tif or .zarr; anysam export makes tracks and CTC of them")
    add_model_options(parser)
    add_region_option(parser)
    add_image_options(parser)
    parser.add_argument(
        "--lineage",
        metavar="CSV",
        type=Path,
        help="who descends from whom (default: beside OUT, NAME_lineage.csv)",
    )
    parser.add_argument(
        "--persist",
        type=int,
        default=3,
        help="time points for which two halves stay apart, to be daughters (default: 3)",
    )
    parser.add_argument(
        "--through",
        choices=("prompted", "largest"),
        default="prompted",
        help="of volumes: the plane that is followed through time, the prompted or the largest one",
    )
    parser.add_argument(
        "--direction", choices=("both", "forward", "backward"), default="both", help="through time"
    )
    parser.add_argument("--start", type=int, help="first time point (default: 0)")
    parser.add_argument("--stop", type=int, help="time point to stop before (default: all)")
    parser.add_argument("--z-start", type=int, help="of volumes: first plane (default: 0)")
    parser.add_argument(
        "--z-stop", type=int, help="of volumes: plane to stop before (default: all)"
    )
    parser.add_argument("--force", action="store_true", help="replace earlier results")
    parser.set_defaults(run=_track)


def read_timed_prompts(path: Path) -> dict[int, list[Prompt]]:
    """Read prompts in volumes: a JSON list of prompts, each with its time point as "time".

    Raises
    ------
    PromptError
        If it cannot be read, or an entry is wrong; the message names it.
    """
    from napari_anysam.segmentation.prompt_files import prompt_from_dict

    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise PromptError(f"{path} could not be read as JSON ({error}); correct it.") from error
    prompts: dict[int, list[Prompt]] = {}
    for number, entry in enumerate(entries if isinstance(entries, list) else [entries], start=1):
        time = entry.get("time") if isinstance(entry, dict) else None
        if not isinstance(time, int):
            raise PromptError(f'{path}: entry {number} has no "time"; give each its time point.')
        values = {name: value for name, value in entry.items() if name != "time"}
        try:
            prompts.setdefault(time, []).append(prompt_from_dict(values))
        except PromptError as error:
            raise PromptError(f"{path}: entry {number}: {error}") from error
    return prompts


def _track(options: argparse.Namespace) -> None:
    from napari_anysam.export.formats import check_target, export_labels, find_format
    from napari_anysam.images.files import read_image
    from napari_anysam.images.slicing import sliced

    chosen = find_format(options.output, ndim=3)
    if chosen.name not in ("ome-tiff", "ome-zarr"):
        raise LabelFileError(f"{options.output} is no file of labels; use .tif or .zarr.")
    target = check_target(options.output, chosen, overwrite=options.force)
    image, _ = sliced(read_image(options.image, options.level), options.at)
    channel_axis = image.channel_axis if options.channel_axis is None else options.channel_axis
    shape = list(image.array.shape)
    if channel_axis is not None:
        del shape[channel_axis]
    if len(shape) not in (3, 4):
        raise ImageError(
            f"{options.image} of shape {tuple(image.array.shape)} is no time series; give planes "
            "(T, Y, X) or volumes (T, Z, Y, X), and --channel-axis where there are channels."
        )
    axes = "TYX" if len(shape) == 3 else "TZYX"
    with _gathered(target, shape) as labels:
        follow = _follow_planes if len(shape) == 3 else _follow_volumes
        parents = follow(options, image.array, channel_axis, labels)
        export_labels(
            labels,
            target,
            format=chosen.name,
            overwrite=options.force,
            **label_sizes(image, channel_axis, axes) | {"axes": axes},
        )
    sys.stdout.write(f"{options.output}\n")
    lineage = options.lineage or target.with_name(f"{target.name.split('.')[0]}_lineage.csv")
    write_lineage(lineage, parents)
    sys.stdout.write(f"{lineage}\n")


def _follow_planes(
    options: argparse.Namespace,
    series: Any,
    channel_axis: int | None,
    labels: Any,
) -> dict[int, int]:
    """Follow cells and their daughters, plane by plane into the labels; return the lineage."""
    from napari_anysam.images.conditioning import resolve_conditioning
    from napari_anysam.images.planes import Planes
    from napari_anysam.segmentation.following_divisions import follow_divisions
    from napari_anysam.segmentation.prompt_files import read_prompts
    from napari_anysam.segmentation.tracking import Tracker

    if options.z_start is not None or options.z_stop is not None:
        raise PromptError("--z-start and --z-stop are for volumes (T, Z, Y, X); leave them out.")
    time_axis = int(channel_axis is not None and channel_axis % series.ndim == 0)
    planes = Planes(series, time_axis, channel_axis)
    prompts = read_prompts(options.prompts, 0)
    conditioning = resolve_conditioning(planes, options.contrast or "auto")
    tracker = Tracker(load_model(options), planes, conditioning, region=options.region)
    parents: dict[int, int] = {}
    results = follow_divisions(
        tracker,
        prompts,
        direction=options.direction,
        start=options.start,
        stop=options.stop,
        persist=options.persist,
    )
    for one in _progress(results, options):
        for part in plane_chunks(planes.plane_shape):
            window = (one.result.index, *part)
            labels[window] = one.drawn_over(labels[window], *part)
        parents = one.parents
    return parents


def _follow_volumes(
    options: argparse.Namespace,
    series: Any,
    channel_axis: int | None,
    labels: Any,
) -> dict[int, int]:
    """Follow objects and daughters through volumes and time into the labels."""
    from napari_anysam.segmentation.following_volume_divisions import follow_volume_divisions

    parents: dict[int, int] = {}
    prompts = read_timed_prompts(options.prompts)
    results = follow_volume_divisions(
        series,
        prompts,
        load_model(options),
        persist=options.persist,
        through=options.through,
        direction=options.direction,
        start=options.start,
        stop=options.stop,
        z_start=options.z_start,
        z_stop=options.z_stop,
        region=options.region,
        contrast=options.contrast or "auto",
        channel_axis=channel_axis,
    )
    for one in _progress(results, options):
        drawn = one.drawn
        for part in plane_chunks(drawn.result.plane_shape):
            window = (one.time, one.plane, *part)
            labels[window] = drawn.drawn_over(labels[window], *part)
        parents = drawn.parents
    return parents


def _progress(results: Iterator[Any], options: argparse.Namespace) -> Iterable[Any]:
    from tqdm import tqdm

    bar: Iterable[Any] = tqdm(
        results, "Tracking", unit=" planes", disable=options.quiet, file=sys.stderr
    )
    return bar


@contextmanager
def _gathered(target: Path, shape: list[int]) -> Iterator[Any]:
    """Hold labels on the target's disk, plane by plane, until they are whole.

    If an exception ends the block, what is finished stays beside the target, and a note says so;
    the next run that comes to its end, or further, takes it away.
    """
    import numpy as np
    import zarr

    folder = beside(target, ".zarr")
    kept = target.with_name(f"{target.name}.unfinished.zarr")
    chunks = (*(1,) * (len(shape) - 2), *chunk_shape((shape[-2], shape[-1])))
    try:
        with disk_errors(target):
            yield zarr.create_array(folder, shape=shape, chunks=chunks, dtype=np.int32)
    except BaseException as error:
        if any(path.is_file() for path in (folder / "c").rglob("*")):
            shutil.rmtree(kept, ignore_errors=True)
            folder.rename(kept)
            error.add_note(
                f"The finished planes are kept in {kept}, as labels that anysam export reads; the "
                "command itself begins anew."
            )
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(kept, ignore_errors=True)
