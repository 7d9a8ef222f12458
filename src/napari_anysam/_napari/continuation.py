"""Whether the run that a journal ends with can go on, as what is asked for now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_anysam._napari.stack_prompts import anchor_keys, as_anchor, positions_in_stack
from napari_anysam._napari.time_axis import absences_along
from napari_anysam.errors import PromptError
from napari_anysam.segmentation.continuing import same_request, visits_of
from napari_anysam.segmentation.journal import Writing
from napari_anysam.segmentation.tracking_plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.propagation import StackRange
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.journal import Entry, Run
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.recent_states import Reached
    from napari_anysam.segmentation.session import PromptKey
    from napari_anysam.segmentation.tracking_memories import MemoryUse

__all__ = ["Asking", "Continuation", "continuation_of", "last_run"]


@dataclass(frozen=True, slots=True)
class Asking:
    """What a run would be asked for now, beside the prompts.

    Parameters
    ----------
    where : StackRange
    model_key : str
    memory : {"full", "fast"}
    ending : float or None
        As in ``Run``.
    """

    where: StackRange
    model_key: str
    memory: MemoryUse
    ending: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Continuation:
    """An unfinished run with the same request as one that would begin now.

    Parameters
    ----------
    run : Run
        As it was recorded.
    visits : tuple of int
        Positions along the axis of all its results, in their order.
    reached : Reached or None
        Where it can go on; None where that was lost, so that it has to begin anew.
    """

    run: Run
    visits: tuple[int, ...]
    reached: Reached | None

    @property
    def results(self) -> int:
        """How many results are written."""
        return self.run.begun + self.run.results

    @property
    def plane(self) -> int:
        """The position of the next one."""
        return self.visits[self.results]

    @property
    def share(self) -> float:
        """The part of its results that is still to come."""
        return 1 - self.results / len(self.visits)

    @property
    def lost(self) -> str:
        """One sentence for a run that cannot go on."""
        return f"What the run that ended at plane {self.plane} needs to go on was not kept."


def last_run(journal: Sequence[Entry]) -> Run | None:
    """Return the propagation that a journal ends with; None if it ends with anything else."""
    last = journal[-1] if journal else None
    run = last.run if isinstance(last, Writing) else None
    return None if run is None or run.repaired is not None or run.across is not None else run


def continuation_of(work: Workspace, frame: PlaneFrame, asking: Asking) -> Continuation | None:
    """Return what a run would go on with; None if it would begin.

    Parameters
    ----------
    work : Workspace
    frame : PlaneFrame
        A plane of the stack.
    asking : Asking
    """
    recorded, axis = last_run(work.session.journal), asking.where.axis
    if recorded is None or recorded.axis != axis:
        return None
    look = work.appearance.look()
    asked = replace(
        recorded,
        plane=frame.at(axis, 0).number or 0,
        start=asking.where.first,
        stop=asking.where.last + 1,
        direction=asking.where.direction,
        prompts=tuple(_prompts_now(work, frame, axis, recorded)),
        conditioning=look.along(axis, frame),
        model=replace(recorded.model, key=asking.model_key),
        layers=look.layer_names,
        memory=asking.memory,
        ending=asking.ending,
        locked=frozenset(work.session.reviewed),
        absent=absences_along(work, frame, axis),
        region="auto",
        largest=False,
    )
    start = frame.numbered(recorded.plane).at(axis, 0).number or 0
    if not same_request(replace(recorded, plane=start), asked):
        return None
    visits = _visits(recorded, frame)
    if recorded.begun + recorded.results >= len(visits):
        return None
    unfinished = work.unfinished_run()
    if unfinished is None:
        return Continuation(recorded, visits, None)
    if not unfinished.saw(look, work.image):
        return None
    return Continuation(recorded, visits, unfinished.reached)


def _visits(run: Run, frame: PlaneFrame) -> tuple[int, ...]:
    count = frame.shape[frame.order.index(run.axis)]
    try:
        plan = make_plan(run.prompts, frame.plane_shape, count, run.direction, run.start, run.stop)
    except PromptError:  # a run of these prompts would be refused too
        return ()
    return visits_of(plan)


def _prompts_now(work: Workspace, frame: PlaneFrame, axis: int, recorded: Run) -> Iterator[Prompt]:
    """Return what is marked in the stack, apart from what the run itself made of it."""
    session = work.session
    asked = {(prompt.object_id, prompt.plane): prompt for prompt in recorded.prompts}
    written = _written(session.journal)
    for key, position in positions_in_stack(anchor_keys(session), frame, axis).items():
        before = asked.get((key[0], position))
        clicked = before is not None and before.mask is None
        if clicked and key in written and key in session.prompts:
            yield replace(session.prompts[key], plane=position)
        else:
            yield as_anchor(session, key, position)


def _written(journal: Sequence[Entry]) -> set[PromptKey]:
    """Return what the last run wrote, with the runs that it went on with."""
    written: set[PromptKey] = set()
    for entry in reversed(journal):
        if not isinstance(entry, Writing) or entry.run is None:
            break
        written.update(write.key for write in entry.writes)
        if not entry.run.begun:
            break
    return written
