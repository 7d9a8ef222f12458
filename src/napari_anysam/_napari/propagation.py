"""One run through a stack: tracked in the inference thread, written plane by plane as it comes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from napari_anysam._napari.appearance import record_look
from napari_anysam._napari.pixels import stack_of
from napari_anysam._napari.run_progress import (
    RunProgress,
    planes_answered_twice,
    planes_to_come,
)
from napari_anysam._napari.stack_prompts import anchor_keys, as_anchor, positions_in_stack
from napari_anysam._napari.time_axis import absences_along
from napari_anysam._napari.workspace import LabelChange
from napari_anysam.errors import CapabilityError, PromptError, RunError
from napari_anysam.segmentation.journal import Run, Writing, record_of
from napari_anysam.segmentation.lifetimes import ended_at, endings, living_windows
from napari_anysam.segmentation.session import KeptMask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.engine import Engine
    from napari_anysam._napari.inference import InferenceThread, Ticket
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.confidence import Assessment
    from napari_anysam.segmentation.journal import ModelRecord
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.recent_states import Reached
    from napari_anysam.segmentation.session import PromptKey
    from napari_anysam.segmentation.tracking import Tracker
    from napari_anysam.segmentation.tracking_results import PropagationResult
    from napari_anysam.segmentation.tracking_state import StateKeeper
    from napari_anysam.segmentation.windows import Window

__all__ = [
    "Propagation",
    "StackAxis",
    "StackRange",
    "overtaken",
    "reason_not_to_propagate",
]

_REFRESH_SECONDS = 0.1

Plane = tuple[int, dict[int, KeptMask | None]]
Direction = Literal["both", "forward", "backward"]


@dataclass(frozen=True, slots=True)
class StackAxis:
    """An axis with a slider.

    Parameters
    ----------
    axis : int
        Data axis of the image.
    label : str
        As napari labels it.
    length : int
        Planes along it.
    """

    axis: int
    label: str
    length: int


@dataclass(frozen=True, slots=True)
class StackRange:
    """Where to propagate.

    Parameters
    ----------
    axis : int
        Hidden data axis of the image.
    first, last : int
        Planes along it, both included.
    direction : {"both", "forward", "backward"}
    """

    axis: int
    first: int
    last: int
    direction: Direction = "both"


def reason_not_to_propagate(
    model: PromptableModel | None, work: Workspace, frame: PlaneFrame
) -> str:
    """Say why a propagation is not possible; empty when it is."""
    if not frame.index:
        return "This image has one plane only."
    if model is None:
        return "Wait until a model is loaded."
    if not model.capabilities.tracking:
        return (
            f"{model.name} segments single planes only; choose a SAM 2 model or anysam-nano in the "
            "model manager."
        )
    if not work.session.prompts:
        return "Mark an object first: click it on one plane."
    return ""


class Propagation:
    """One run.

    Parameters
    ----------
    work : Workspace
        Whose prompts are followed and whose labels are written.
    frame : PlaneFrame
        The plane shown at the start; hidden axes other than the range's stay where they are.
    where : StackRange
    engine : Engine
        What follows them.
    on_change : callable
        Called when progress was made.
    on_written : callable
        Called with the masks of a plane that were just written.
    on_end : callable
        Called with the error that ended the run, or None.

    Raises
    ------
    CapabilityError
        If the model cannot track.
    PromptError
        If no prompt lies in the stack.
    """

    def __init__(
        self,
        work: Workspace,
        frame: PlaneFrame,
        where: StackRange,
        engine: Engine,
        on_change: Callable[[], None],
        on_written: Callable[[Mapping[PromptKey, KeptMask | None]], None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        reason = reason_not_to_propagate(engine.model, work, frame)
        if reason:
            raise CapabilityError(reason)
        self.work = work
        self._frame = frame
        self._where = where
        self._engine = engine
        self._ends_early = engine.ending is not None
        self._on_change = on_change
        self._on_written = on_written
        self._on_end = on_end
        self.title = "propagation"
        self._repaired: tuple[int, int] | None = None
        self._region: Literal["auto", "plane"] = "auto"
        self._look = work.appearance.look()
        self._planes = stack_of(self._look, frame, where.axis)
        self._conditioning = self._look.along(where.axis, frame)
        self._locked = frozenset(work.session.reviewed)
        self._absent = self._absences()
        self._prompts = self._stack_prompts()
        self._ended = self._endings()
        self._progress = self._make_progress()
        self._change = LabelChange()
        self._record: ModelRecord | None = None
        self._keeper: StateKeeper | None = None
        self._unseen: set[PlaneFrame] = set()
        self._refreshed = time.monotonic()
        self._ticket: Ticket | None = None
        self._session = work.session
        self._abandoned = False
        self._overtaken: RunError | None = None

    @property
    def done(self) -> int:
        """Planes that have an answer."""
        return self._progress.done

    @property
    def total(self) -> int:
        """Planes that will have one, unless the objects end before."""
        return self._progress.total

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the planes so far; None before there are two."""
        return self._progress.seconds_left

    @property
    def may_end_early(self) -> bool:
        """Whether it ends, or has little left to do, where the objects end."""
        return self._ends_early

    @property
    def axis(self) -> int:
        """Data axis that it follows objects along."""
        return self._where.axis

    def follows_only(self, object_id: int) -> bool:
        """Whether nothing but this object is followed."""
        return all(prompt.object_id == object_id for prompt in self._prompts)

    def uses(self, layer: Any) -> bool:
        """Whether the run still reads or writes a layer."""
        target = self.work.target
        labels = None if target is None else target.layer
        return not self._abandoned and (layer is self.work.image or layer is labels)

    def start(self, inference: InferenceThread) -> None:
        """Begin; returns at once."""
        record_look(self.work.ensure_labels().layer, self._look)
        self.work.run_so_far = self.so_far
        self._ticket = inference.stream(self._track, self._write, self._finish)

    def so_far(self) -> tuple[Writing, Reached | None] | None:
        """Return what was written until now, as a run that ended there; None if nothing was.

        Beside it stands where it can go on, of a run that can.
        """
        run = self._run()
        if run is None or not self._change.writes:
            return None
        return Writing(tuple(self._change.writes), self.work.policy, run), self._reached()

    def cancel(self) -> None:
        """End after the plane in progress; what was written stays."""
        if self._ticket is not None:
            self._ticket.cancel()

    def abandon(self) -> None:
        """End and write nothing more, because the layers are gone."""
        self._abandoned = True
        self.work.run_so_far = None
        self.cancel()

    def _track(self, cancelled: Callable[[], bool]) -> Iterator[Plane]:
        """Follow the objects, in the inference thread."""
        from napari_anysam.segmentation.tracking import Tracker

        engine = self._engine
        self._record = record_of(engine.model)
        tracker = Tracker(
            engine.model,
            self._planes,
            self._conditioning,
            region=self._region,
            cache=engine.cache,
            store=engine.store,
            plane_key=partial(self._frame.at, self._where.axis),
            memory=engine.memory,
            ending=engine.ending,
        )
        for result in self._results(tracker, cancelled):
            number = self._frame_at(int(result.index)).number
            yield int(result.index), self._masks_of(result, number)

    def _masks_of(
        self, result: PropagationResult, number: int | None
    ) -> dict[int, KeptMask | None]:
        """Return what is kept of the objects that can be on a plane."""
        assessed = dict(zip(result.object_ids, result.assessments, strict=True))
        absent = {one for one in result.object_ids if (one, number) in self._absent}
        ended: dict[int, KeptMask | None] = dict.fromkeys(ended_at(number, self._ended))
        return ended | {
            object_id: self._kept(window, assessed[object_id])
            for object_id, window in living_windows(result, absent)
        }

    def _results(
        self, tracker: Tracker, cancelled: Callable[[], bool]
    ) -> Iterator[PropagationResult]:
        where = self._where
        return tracker.run(
            self._prompts,
            direction=where.direction,
            start=where.first,
            stop=where.last + 1,
            cancelled=cancelled,
            keeper=self._keeper,
        )

    def _reached(self) -> Reached | None:
        """Return where the run can go on behind what was written; None if it cannot."""
        return None

    def _kept(self, window: Window | None, assessment: Assessment) -> KeptMask | None:
        if window is None:
            return None
        return KeptMask(
            window,
            float(assessment.score),
            self._engine.model.name,
            confidence=assessment.confidence,
            doubts=assessment.reasons,
        )

    def _may_write(self) -> bool:
        """Tell whether the labels are still the run's; in others its edits would do damage."""
        if self.work.session is not self._session and not self._abandoned:
            self._overtaken = overtaken(self.title)
            self.abandon()
        return not self._abandoned

    def _write(self, plane: Plane) -> None:
        if not self._may_write():
            return
        position, masks = plane
        self._write_plane(position, masks)
        self._progress.answered(position)
        self._refresh()

    def _write_plane(self, position: int, masks: dict[int, KeptMask | None]) -> None:
        """Write those masks that are not locked."""
        frame = self._frame_at(position)
        found = {(object_id, frame.number): mask for object_id, mask in masks.items()}
        keyed = {key: mask for key, mask in found.items() if key not in self._locked}
        self.work.write(self._change, keyed, frame, keep_erased=True)
        self._unseen.add(frame)
        self._on_written(keyed)

    def _frame_at(self, position: int) -> PlaneFrame:
        return self._frame.at(self._where.axis, position)

    def _refresh(self, *, now: bool = False) -> None:
        """Show what was written, ten times a second at most; drawing takes long."""
        if now or time.monotonic() - self._refreshed > _REFRESH_SECONDS:
            self._refreshed = time.monotonic()
            if self.work.target is not None and self.work.shows(self._unseen):
                self.work.target.layer.refresh()
            self._unseen.clear()
            self._on_change()

    def _finish(self, error: Exception | None) -> None:
        self._progress.end()
        if self._may_write():
            self.work.run_so_far = None
            self._keep_step()
            self.work.publish()
            self._refresh(now=True)
        del (
            self._engine,
            self._planes,
            self._look,
        )  # an ended run is still looked at, and may be for long
        self._on_end(error or self._overtaken)

    def _keep_step(self) -> None:
        """Make what was written one step of the history."""
        self.work.record(self._change, self.title, self._run())

    def _absences(self) -> frozenset[PromptKey]:
        """Return where objects of a lineage do not live, if time is what is followed."""
        return absences_along(self.work, self._frame, self._where.axis)

    def _endings(self) -> frozenset[PromptKey]:
        """Return the masks of mothers that give way where the run comes."""
        followed = {prompt.object_id for prompt in self._prompts}
        return endings(self.work.session, self._absent, followed)

    def _run(self) -> Run | None:
        """Return how the objects were followed; None if the run ended before it began."""
        number, where = self._frame.number, self._where
        if self._record is None or number is None:
            return None
        return Run(
            axis=where.axis,
            plane=number,
            start=where.first,
            stop=where.last + 1,
            direction=where.direction,
            prompts=tuple(self._prompts),
            conditioning=self._conditioning,
            model=self._record,
            results=self._progress.answers,
            layers=self._look.layer_names,
            locked=self._locked,
            repaired=self._repaired,
            memory=self._engine.memory,
            ending=None if self._engine.ending is None else self._engine.ending.object_logit,
            absent=self._absent,
            ended=self._ended,
            region=self._region,
        )

    def _make_progress(self) -> RunProgress:
        anchors = [prompt.plane or 0 for prompt in self._prompts]
        where = self._where
        return RunProgress(planes_to_come(where, anchors), planes_answered_twice(where, anchors))

    def _stack_prompts(self) -> list[Prompt]:
        """Return the prompts in the stack, an accepted mask in the place of what led to it."""
        keys = positions_in_stack(self._anchor_keys(), self._frame, self._where.axis)
        found = [self._as_seen(key, position) for key, position in keys.items()]
        if not found:
            raise PromptError(
                "No object is marked in this stack; click one on a plane of it first."
            )
        return found

    def _anchor_keys(self) -> list[PromptKey]:
        return anchor_keys(self.work.session)

    def _as_seen(self, key: PromptKey, position: int) -> Prompt:
        return as_anchor(self.work.session, key, position)


def overtaken(title: str) -> RunError:
    """Return the error of a run whose image got another history while it ran."""
    return RunError(
        f"Other labels were chosen, or the axes were rolled, so the {title} has ended; what it had "
        "written stays in its layer. Begin it again."
    )
