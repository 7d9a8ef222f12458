"""The state of the parts, put into one Status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_anysam._napari.propagation import reason_not_to_propagate
from napari_anysam._napari.status import Stage, Status
from napari_anysam._napari.tools import TOOLS, why_no_tool
from napari_anysam.errors import ImageError

if TYPE_CHECKING:
    from napari_anysam._napari.active_model import ActiveModel
    from napari_anysam._napari.bulk import BulkRun
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.propagation import Propagation
    from napari_anysam._napari.running_mask import RunningMask
    from napari_anysam._napari.workspace import Workspace

__all__ = ["describe"]


def describe(
    work: Workspace,
    running: RunningMask,
    active: ActiveModel,
    propagation: Propagation | None,
    last_run: Propagation | None,
    *,
    drawing: str,
    kept: int,
    bulk: BulkRun | None = None,
    found: str = "",
) -> Status:
    """Return what the dock shows about the work on one image.

    Parameters
    ----------
    work : Workspace
    running : RunningMask
    active : ActiveModel
    propagation : Propagation or None
        The one that runs.
    last_run : Propagation or None
        The one that ended last, until the next prompt.
    drawing : str
        The tool in use, as ``Status.drawing`` names it.
    kept : int
        Masks that were accepted so far.
    bulk : BulkRun or None
        The run over many objects that is under way.
    found : str
        See ``Status``.
    """
    if propagation is not None and propagation.work is not work:
        propagation = None
    if bulk is not None and bulk.work is not work:
        bulk = None
    run = bulk or propagation or last_run
    try:
        frame, detail = work.frame(), ""
    except ImageError as error:
        frame, detail = None, str(error)
    stage = Stage.NO_PLANE if frame is None else _stage(running, active, propagation)
    if bulk is not None:
        stage, detail = Stage.IN_BULK, bulk.title
    if stage is Stage.WORKING and running.request is not None and running.request.again:
        detail = "The image looks different now, so it is encoded again ..."
    prompts = work.session.prompts_of(work.object_id)
    polarity = [positive for prompt in prompts for positive in prompt.polarity]
    answer = running.answer
    return Status(
        stage=stage,
        detail=active.message if stage is Stage.LOADING else detail,
        object_id=work.object_id,
        positive=sum(polarity),
        negative=len(polarity) - sum(polarity),
        boxes=sum(prompt.box is not None for prompt in prompts),
        shapes=sum(
            (prompt.lasso is not None) + len(prompt.scribbles) + (prompt.mask is not None)
            for prompt in prompts
        ),
        prompted_planes=len(prompts),
        score=None if answer is None else answer.candidate.score,
        candidate=0 if answer is None else answer.choice + 1,
        candidates=0 if answer is None else len(answer.prediction.candidates),
        kept=kept,
        drawing=drawing,
        refused_tools={tool.name: why_no_tool(tool.name, running.model) for tool in TOOLS},
        can_undo=work.session.can_undo,
        can_redo=work.session.can_redo,
        cannot_split=_not_to_split(work, running),
        cannot_propagate=_reason(work, running, frame, detail),
        done=0 if run is None else run.done,
        total=0 if run is None else run.total,
        seconds_left=None if propagation is None else propagation.seconds_left,
        at_most=propagation is not None and propagation.may_end_early,
        from_memory=0 if answer is None else answer.used.memory,
        from_disk=0 if answer is None else answer.used.disk,
        encoded=0 if answer is None else answer.used.encoded,
        found=found,
    )


def _stage(running: RunningMask, active: ActiveModel, propagation: Propagation | None) -> Stage:
    if propagation is not None:
        return Stage.PROPAGATING
    if active.busy:
        return Stage.LOADING
    if running.model is None:
        return Stage.NO_MODEL
    if running.request is not None:
        return Stage.WORKING
    if running.answer is None:
        return Stage.READY
    return Stage.NOTHING_FOUND if running.answer.window is None else Stage.PREVIEW


def _reason(work: Workspace, running: RunningMask, frame: PlaneFrame | None, detail: str) -> str:
    return detail if frame is None else reason_not_to_propagate(running.model, work, frame)


def _not_to_split(work: Workspace, running: RunningMask) -> str:
    answer = running.answer
    if not work.is_object(work.object_id):
        return "Go on with an object that was kept, and Ctrl-click the part to be split off."
    if answer is None or answer.request.fresh is False or answer.window is None:
        return "Ctrl-click the part to be split off first."
    return ""
