"""What a run in the window will take, told before it begins, without reading a pixel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from napari_anysam._napari.status import seconds_in_words
from napari_anysam.errors import PromptError
from napari_anysam.models.image_size import SMALLER_IMAGE_SIZE, smaller_size
from napari_anysam.models.measurements import default_measurements
from napari_anysam.segmentation.run_estimate import estimate_run, free_room
from napari_anysam.segmentation.run_size import size_of_run
from napari_anysam.segmentation.tracking_plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.propagation import StackRange
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.models.measurements import Measurement
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.run_estimate import Remedy, RunEstimate
    from napari_anysam.segmentation.run_size import RunSize

__all__ = ["Outlook", "outlook_in_words", "outlook_of"]

_LABEL_BYTES = 4

_IN_WINDOW: dict[Remedy, str] = {
    "size": f"choose {SMALLER_IMAGE_SIZE} as the image size in the model manager, which gives "
    "coarser masks",
    "model": "choose a smaller model in the model manager: medsam2 with an input of 512 pixels, or "
    "anysam-nano with 256",
    "range": "choose fewer planes with From and To",
    "shared": "follow objects that lie close together, which share their region",
    "objects": "follow fewer objects at once",
    "region": "crop the image, or open a smaller level of it",
    "disk": "make room on the disk, or choose another one under Session",
}


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the Stack section says of the run to come.

    Parameters
    ----------
    words : str
        One short line; empty where there is nothing to run.
    details : str
        For its tooltip: what is needed and what is free, and what would help.
    fits : bool
        Whether memory and disk are enough.
    timed : bool
        Whether the time is known.
    """

    words: str = ""
    details: str = ""
    fits: bool = True
    timed: bool = True


def outlook_of(
    work: Workspace,
    frame: PlaneFrame,
    where: StackRange,
    model: PromptableModel,
    prompts: Sequence[Prompt],
    cache_bytes: int,
    *,
    ends: bool = False,
    share: float = 1.0,
) -> Outlook:
    """Estimate a run from what the model cost on this computer before.

    Parameters
    ----------
    work : Workspace
        Says where labels and session are kept.
    frame : PlaneFrame
        A plane of the stack.
    where : StackRange
    model : PromptableModel
    prompts : sequence of Prompt
        What will be followed.
    cache_bytes : int
        Budget for embeddings that the run leaves behind.
    ends : bool, optional
        Whether the run may end before, because objects end.
    share : float, optional
        The part of the run that is still to come.
    """
    try:
        plan = make_plan(
            prompts,
            frame.plane_shape,
            frame.shape[frame.order.index(where.axis)],
            where.direction,
            where.first,
            where.last + 1,
        )
    except PromptError as error:  # the run will say the same; so it is known before
        return Outlook(str(error), str(error), fits=False)
    size = _part_of(size_of_run(plan, frame.plane_shape, model.image_size, "auto"), share)
    side = smaller_size(model.image_size, other_sizes=model.capabilities.other_sizes)
    free_memory, free_disk = free_room(_folder(work))
    estimate = estimate_run(
        size,
        _measured(model),
        image_size=model.image_size,
        label_bytes=_LABEL_BYTES,
        free_memory_bytes=free_memory,
        free_disk_bytes=free_disk,
        process_bytes=0,
        cache_bytes=cache_bytes,
        smaller=None
        if side is None
        else _part_of(size_of_run(plan, frame.plane_shape, side, "auto"), share),
    )
    return outlook_in_words(size, estimate, ends=ends)


def outlook_in_words(size: RunSize, estimate: RunEstimate, *, ends: bool = False) -> Outlook:
    """Put an estimate into one line and its tooltip."""
    planes, objects = _count(size.planes, "plane"), _count(size.objects, "object")
    seconds = estimate.seconds
    time = "time not known yet" if seconds is None else seconds_in_words(seconds, at_most=ends)
    words = f"{planes}, {objects}: {time}, {estimate.memory_bytes / 1e9:.1f} GB"
    needs = [line for line in estimate.lines if not line.startswith("proposal:")]
    needs += [f"What helps: {remedy}" for remedy in estimate.told(_IN_WINDOW)]
    if not estimate.fits:
        words += ", more than is free"
    return Outlook(words, "\n".join(needs), estimate.fits, estimate.seconds is not None)


def _part_of(size: RunSize, share: float) -> RunSize:
    """Return what is left of a run; how much it holds at once stays."""
    planes, encodes, visits = (
        ceil(round(count * share, 6)) for count in (size.planes, size.encodes, size.visits)
    )
    return replace(size, planes=planes, encodes=encodes, visits=visits)


def _measured(model: PromptableModel) -> Measurement | None:
    """Return what a model cost here, with the input that it has now if that is known."""
    kind = model.name, model.device.type, model.precision
    return default_measurements().find_nearest(*kind, model.image_size)


def _folder(work: Workspace) -> Path:
    """Return a folder on the disk that labels or session are written to."""
    path = work.image.source.path
    parent = None if path is None else Path(path).parent
    return parent if parent is not None and parent.exists() else Path.home()


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
