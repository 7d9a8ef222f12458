"""What ``anysam propagate`` will take: told with ``--estimate``, and looked at before a run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from napari_anysam.cli_consensus import spacing_of
from napari_anysam.cli_job import stops_at_ends
from napari_anysam.cli_options import load_model, tell
from napari_anysam.errors import RunError

if TYPE_CHECKING:
    import argparse

    from napari_anysam.cli_job import Job
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.run_estimate import RunEstimate

__all__ = ["estimate", "load_if_it_fits"]


class _Network(NamedTuple):
    """Name, side of the input, and whether it takes inputs of other sizes."""

    name: str
    image_size: int
    other_sizes: bool


def estimate(job: Job, options: argparse.Namespace) -> RunEstimate:
    """Estimate a run from what the model cost here before; only a file of one's own is loaded."""
    return _estimated(job, options, _catalogued(options) or _asked(load_model(options)))


def load_if_it_fits(job: Job, options: argparse.Namespace) -> PromptableModel:
    """Load the model for a run, and warn where memory or disk may not be enough for it.

    Raises
    ------
    RunError
        If the disk cannot hold the labels whatever they are; before a model of the catalogue is
        loaded.
    """
    named = _catalogued(options)
    if named is not None:
        _check_room(_estimated(job, options, named))
        return load_model(options)
    model = load_model(options)
    _check_room(_estimated(job, options, _asked(model)))
    return model


def _check_room(found: RunEstimate) -> None:
    if found.impossible:
        raise RunError(found.refusal)
    if found.warning:
        tell(f"warning: {found.warning}")


def _estimated(job: Job, options: argparse.Namespace, network: _Network) -> RunEstimate:
    import numpy as np

    from napari_anysam.images.file_kinds import ending_of
    from napari_anysam.models.image_size import smaller_size
    from napari_anysam.models.measurements import default_measurements
    from napari_anysam.networks.device import choose_device
    from napari_anysam.segmentation.run_estimate import estimate_run, free_room
    from napari_anysam.segmentation.run_output import room_for_output
    from napari_anysam.segmentation.run_size import size_of_run

    device = choose_device(options.device).type
    precision = None if options.precision == "auto" else options.precision
    free_memory, free_disk = free_room(options.output.resolve().parent)
    name, image_size, other_sizes = network
    size = size_of_run(job.plan, job.planes.plane_shape, image_size, options.region)
    side = smaller_size(image_size, other_sizes=other_sizes)
    smaller = (
        None
        if side is None
        else size_of_run(job.plan, job.planes.plane_shape, side, options.region)
    )
    label_bytes = np.dtype(job.dtype).itemsize
    output = room_for_output(ending_of(options.output), job.label_shape, label_bytes, size)
    if options.consensus:
        from napari_anysam.segmentation.consensus_size import room_for_consensus, size_of_consensus

        spacing = options.spacing or spacing_of(job.image, job.channel_axis)
        output = room_for_consensus(job.label_shape, label_bytes, size, output)
        walks = job.label_shape, job.plane_axis, spacing, options.region
        size = size_of_consensus(size, *walks)
        smaller = None if smaller is None else size_of_consensus(smaller, *walks)
    found = estimate_run(
        size,
        default_measurements().find_nearest(name, device, precision, image_size),
        image_size=image_size,
        label_bytes=label_bytes,
        free_memory_bytes=free_memory,
        free_disk_bytes=free_disk + _kept_bytes(options),
        stops_at_ends=not options.consensus and stops_at_ends(job, options),
        output=output,
        smaller=smaller,
    )
    if options.consensus:  # it takes whole volumes, and holds them whatever is written
        left = tuple(one for one in found.remedies if one not in ("range", "output"))
        found = replace(found, remedies=left)
    return found


def _kept_bytes(options: argparse.Namespace) -> int:
    """Return what an unfinished run of this name has taken of the disk already."""
    from napari_anysam.images.label_stack import unfinished_folder

    folder = unfinished_folder(options.output)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _catalogued(options: argparse.Namespace) -> _Network | None:
    """Describe a model of the catalogue, with the input that is asked for."""
    from napari_anysam.models.catalogue import catalogue
    from napari_anysam.models.image_size import check_image_size

    for spec in catalogue():
        if options.model in spec.all_names:
            side = check_image_size(
                spec.name, spec.image_size, options.image_size, other_sizes=spec.other_sizes
            )
            return _Network(spec.name, side, spec.other_sizes)
    return None


def _asked(model: PromptableModel) -> _Network:
    return _Network(model.name, model.image_size, model.capabilities.other_sizes)
