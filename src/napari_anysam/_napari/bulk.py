"""Many objects at once in the window: every mask is written as an object.

Clicks that each make an object are answered together as they come; a list of boxes, a Labels layer
or everything in a plane is a run with progress, which can be cancelled and is one step to undo.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from napari_anysam._napari.bulk_questions import answer_prompts
from napari_anysam._napari.pixels import plane_source
from napari_anysam._napari.propagation import overtaken
from napari_anysam._napari.workspace import LabelChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from napari_anysam._napari.bulk_questions import Answered, Cancelled, Progress
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.inference import InferenceThread, Ticket
    from napari_anysam._napari.pixels import PlaneSource
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.errors import RunError
    from napari_anysam.segmentation.interactive import PlanePredictor
    from napari_anysam.segmentation.mask_options import MaskOptions
    from napari_anysam.segmentation.prompts import Box, Prompt

__all__ = ["BulkRun", "ClickQueue"]

_REFRESH_SECONDS = 0.1


class ClickQueue:
    """Clicks that each make an object: all that wait are answered together.

    Parameters
    ----------
    inference : InferenceThread
    on_answer : callable
        Called with the workspace, the plane and what was answered on it.
    on_error : callable
        Called with the exception instead.
    """

    def __init__(
        self,
        inference: InferenceThread,
        on_answer: Callable[[Workspace, PlaneFrame, Sequence[Answered]], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._inference = inference
        self._on_answer = on_answer
        self._on_error = on_error
        self._waiting: list[Prompt] = []
        self._where: tuple[object, ...] | None = None
        self._unanswered = 0
        self._lock = Lock()

    @property
    def is_busy(self) -> bool:
        """Whether a click still waits for its mask."""
        return self._unanswered > 0

    def add(
        self,
        predictor: PlanePredictor,
        work: Workspace,
        frame: PlaneFrame,
        prompt: Prompt,
        options: MaskOptions,
        view: Box | None = None,
    ) -> None:
        """Have one more click answered, made where the user sees ``view`` of the plane."""
        look = work.appearance.look()
        where = predictor, work, frame, options, view, look
        self._unanswered += 1
        with self._lock:
            if self._waiting and self._where == where:
                self._waiting.append(prompt)
                return
            # A list of its own: clicks elsewhere are answered with the question they belong to.
            self._waiting, self._where = [prompt], where
            waiting = self._waiting
        source = plane_source(look, frame, work.identity)
        self._inference.ask(
            partial(self._answer, waiting, predictor, source, options, view),
            partial(self._receive, work, frame, waiting),
            partial(self._fail, waiting),
        ).keep()

    def _answer(
        self,
        waiting: list[Prompt],
        predictor: PlanePredictor,
        source: PlaneSource,
        options: MaskOptions,
        view: Box | None,
        cancelled: Cancelled,
    ) -> list[Answered]:
        with self._lock:
            if self._waiting is waiting:
                # The next click begins another question; what was asked holds a network.
                self._waiting, self._where = [], None
        return answer_prompts(predictor, source, waiting, options, cancelled, view)

    def _receive(
        self,
        work: Workspace,
        frame: PlaneFrame,
        waiting: list[Prompt],
        answered: list[Answered],
    ) -> None:
        self._unanswered -= len(waiting)
        self._on_answer(work, frame, answered)

    def _fail(self, waiting: list[Prompt], error: Exception) -> None:
        self._unanswered -= len(waiting)
        self._on_error(error)


class BulkRun:
    """A run over many objects of one image, written as it goes.

    Parameters
    ----------
    work : Workspace
    frame : PlaneFrame
        The plane that is shown.
    title : str
        For the user, such as "everything".
    make : callable
        Called in the inference thread with ``cancelled``; yields ``Progress``.
    new_ids : bool
        Whether the objects get the next free ids, rather than those of their prompts.
    new_prompts : bool
        Whether the session does not know the prompts yet.
    on_change, on_end : callable
        Called after every turn, and with the error or None at the end.

    Attributes
    ----------
    found : list of int
        Ids of the objects whose masks were written.
    """

    def __init__(
        self,
        work: Workspace,
        frame: PlaneFrame,
        title: str,
        make: Callable[[Cancelled], Iterator[Progress]],
        on_change: Callable[[], None],
        on_end: Callable[[Exception | None], None],
        *,
        new_ids: bool = False,
        new_prompts: bool = True,
    ) -> None:
        self.work = work
        self.title = title
        self.done = self.total = 0
        self.found: list[int] = []
        self.frame = frame
        self._make: Callable[[Cancelled], Iterator[Progress]] | None = make
        self._on_change = on_change
        self._on_end = on_end
        self.new_ids = new_ids
        self._new_prompts = new_prompts
        self._change = LabelChange()
        self._prompts: list[Prompt] = []
        self._refreshed = 0.0
        self._ticket: Ticket | None = None
        self._session = work.session
        self._abandoned = False
        self._overtaken: RunError | None = None

    def start(self, inference: InferenceThread) -> None:
        """Begin; returns at once."""
        self.work.ensure_labels()
        self._ticket = inference.stream(self._turns, self._write, self._finish)

    def uses(self, layer: Any) -> bool:
        """Whether the run still reads or writes a layer."""
        target = self.work.target
        labels = None if target is None else target.layer
        return not self._abandoned and (layer is self.work.image or layer is labels)

    def cancel(self) -> None:
        """End after this turn; what was written stays, as one step."""
        if self._ticket is not None:
            self._ticket.cancel()

    def abandon(self) -> None:
        """End and write nothing more, because the layers are gone."""
        self._abandoned = True
        self.cancel()

    def _turns(self, cancelled: Cancelled) -> Iterator[Progress]:
        make, self._make = self._make, None  # it holds a network, and an ended run is looked at
        if make is not None:
            for turn in make(cancelled):
                yield turn
                if cancelled():
                    return

    def _may_write(self) -> bool:
        """Tell whether the labels are still the run's; in others its edits would do damage."""
        if self.work.session is not self._session and not self._abandoned:
            self._overtaken = overtaken(self.title)
            self.abandon()
        return not self._abandoned

    def _write(self, turn: Progress) -> None:
        if not self._may_write():
            return
        self.done, self.total = turn.done, turn.total
        next_id = self.work.next_object_id()
        for number, one in enumerate(turn.answered):
            prompt = one.prompt
            if self.new_ids:
                prompt = replace(prompt, object_id=next_id + number)
            self._keep(replace(one, prompt=prompt))
        self._refresh()
        self._on_change()

    def _keep(self, one: Answered) -> None:
        prompt = one.prompt
        self._prompts.append(prompt)
        if one.mask is None:
            return
        key = (prompt.object_id, prompt.plane)
        frame = self.frame.numbered(prompt.plane)
        self.work.write(self._change, {key: one.mask}, frame, standing={key: one.standing})
        self.found.append(prompt.object_id)

    def _refresh(self, *, now: bool = False) -> None:
        if self.work.target is not None and (
            now or time.monotonic() - self._refreshed > _REFRESH_SECONDS
        ):
            self._refreshed = time.monotonic()
            self.work.target.layer.refresh()

    def _finish(self, error: Exception | None) -> None:
        if self._may_write():
            session = self.work.session
            with session.together(self.title):
                if self._new_prompts:
                    for prompt in self._prompts:
                        self.work.prompts.hold(prompt)
                        session.set_prompt((prompt.object_id, prompt.plane), prompt)
                self.work.record(self._change, self.title)
            self.work.publish()
            self._refresh(now=True)
        self._on_end(error or self._overtaken)
