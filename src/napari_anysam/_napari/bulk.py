"""Many objects at once: prompts answered in batches, every mask written as an object.

Clicks that each make an object are answered together as they come; a list of boxes, a Labels layer
or everything in a plane is a run with progress, which can be cancelled and is one step to undo.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam._napari.coordinates import level0
from napari_anysam._napari.pixels import plane_source
from napari_anysam._napari.workspace import LabelChange
from napari_anysam.errors import PromptError
from napari_anysam.images.axis_view import AxisView
from napari_anysam.segmentation.canvas import shaped_window
from napari_anysam.segmentation.everything import objects_of_plane
from napari_anysam.segmentation.label_prompts import prompts_on_largest_planes
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.session import KeptMask
from napari_anysam.segmentation.windows import Window, tight_window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.inference import InferenceThread, Ticket
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.interactive import PlanePredictor
    from napari_anysam.segmentation.label_prompts import LabelKind
    from napari_anysam.segmentation.mask_options import MaskOptions
    from napari_anysam.segmentation.prompts import Box

__all__ = [
    "Answered",
    "BulkRun",
    "ClickQueue",
    "Progress",
    "answer_in_turns",
    "answer_prompts",
    "everything_in",
    "refine_labels",
]

_AT_ONCE = 16
"""Prompts of one turn of a run: clicks come in between."""

_REFRESH_SECONDS = 0.1

Cancelled = Callable[[], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """One object of a run.

    Parameters
    ----------
    prompt : Prompt
    mask : KeptMask or None
        None where nothing was found.
    standing : Window or None
        A mask of the object that stands in the labels already and gives way.
    """

    prompt: Prompt
    mask: KeptMask | None
    standing: Window | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """One turn of a run: how far it is, and what was answered in this turn."""

    done: int
    total: int
    answered: Sequence[Answered] = ()


def answer_prompts(
    predictor: PlanePredictor,
    work: Workspace,
    frame: PlaneFrame,
    prompts: Sequence[Prompt],
    options: MaskOptions,
    cancelled: Cancelled,
    view: Box | None = None,
) -> list[Answered]:
    """Answer prompts on one plane, of which the user sees ``view``, in the inference thread."""
    source = plane_source(work.appearance.look(), frame, work.identity)
    predictions = predictor.predict_many(
        source.pixels(),
        source.key,
        frame.plane_shape,
        prompts,
        cancelled=cancelled,
        box_padding=options.box_padding,
        view=view,
    )
    answered = []
    for prompt, prediction in zip(prompts, predictions, strict=True):
        best = prediction.best
        window = shaped_window(best, options, prompt)
        kept = None if window is None else KeptMask(window, best.score, predictor.model.name)
        answered.append(Answered(prompt, kept))
    return answered


def answer_in_turns(
    predictor: PlanePredictor,
    work: Workspace,
    frame: PlaneFrame,
    prompts: Sequence[Prompt],
    options: MaskOptions,
    cancelled: Cancelled,
) -> Iterator[Progress]:
    """Answer prompts, each on its own plane, some in each turn."""
    planes: dict[int | None, list[Prompt]] = {}
    for prompt in prompts:
        planes.setdefault(prompt.plane, []).append(prompt)
    done = 0
    for number, of_plane in planes.items():
        where = frame.numbered(number)
        for start in range(0, len(of_plane), _AT_ONCE):
            some = of_plane[start : start + _AT_ONCE]
            answered = answer_prompts(predictor, work, where, some, options, cancelled)
            done += len(some)
            yield Progress(done, len(prompts), answered)


def refine_labels(
    predictor: PlanePredictor,
    work: Workspace,
    frame: PlaneFrame,
    layer: Any,
    kind: LabelKind,
    options: MaskOptions,
    taken: Collection[int],
    cancelled: Cancelled,
) -> Iterator[Progress]:
    """Make every object of a Labels layer a prompt, on its largest plane, and answer it.

    Parameters
    ----------
    predictor : PlanePredictor
    work : Workspace
    frame : PlaneFrame
    layer : napari Labels
        With the image's pixels.
    kind : {"box", "mask", "points"}
    options : MaskOptions
    taken : collection of int
        Ids that other objects have; those of the layer itself if masks are written into it.
    cancelled : callable

    Raises
    ------
    PromptError
        If the layer holds no object, or an id is taken already.
    """
    labels = AxisView(level0(layer), frame.order, {})
    asked = prompts_on_largest_planes(labels, kind)
    ours = work.target is not None and layer == work.target.layer
    clash = sorted({prompt.object_id for prompt in asked} & set(taken))
    if clash and not ours:
        raise PromptError(
            f"Object {clash[0]} of {layer.name!r} has the id of an object that is there already; "
            "choose a new layer as Labels, or this one, so that ids can be kept."
        )
    standing = {
        prompt.object_id: tight_window(np.asarray(prompt.mask), prompt.mask_origin or (0, 0))
        for prompt in (prompts_on_largest_planes(labels, "mask") if ours else ())
    }
    for turn in answer_in_turns(predictor, work, frame, asked, options, cancelled):
        answered = [
            replace(one, standing=standing.get(one.prompt.object_id)) for one in turn.answered
        ]
        yield replace(turn, answered=answered)


def everything_in(
    predictor: PlanePredictor,
    work: Workspace,
    frame: PlaneFrame,
    options: MaskOptions,
    cancelled: Cancelled,
) -> Iterator[Progress]:
    """Look for every object of a plane; they come in the last turn, numbered from 1."""
    source = plane_source(work.appearance.look(), frame, work.identity)
    last = None
    for last in objects_of_plane(
        predictor, source.pixels(), source.key, frame.plane_shape, options, cancelled
    ):
        yield Progress(last.done, last.total)
    if last is not None:
        answered = [
            Answered(_from_mask(number, frame, mask.window), mask)
            for number, mask in enumerate(last.objects, start=1)
        ]
        yield Progress(last.done, last.total, answered)


def _from_mask(object_id: int, frame: PlaneFrame, window: Window) -> Prompt:
    return Prompt(object_id, frame.number, mask=window.mask, mask_origin=window.origin)


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
        self._where: (
            tuple[PlanePredictor, Workspace, PlaneFrame, MaskOptions, Box | None] | None
        ) = None
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
        where = predictor, work, frame, options, view
        self._unanswered += 1
        with self._lock:
            if self._waiting and self._where == where:
                self._waiting.append(prompt)
                return
            # A list of its own: clicks elsewhere are answered with the question they belong to.
            self._waiting, self._where = [prompt], where
            waiting = self._waiting
        self._inference.ask(
            partial(self._answer, waiting, *where),
            partial(self._receive, work, frame, waiting),
            partial(self._fail, waiting),
        ).keep()

    def _answer(
        self,
        waiting: list[Prompt],
        predictor: PlanePredictor,
        work: Workspace,
        frame: PlaneFrame,
        options: MaskOptions,
        view: Box | None,
        cancelled: Cancelled,
    ) -> list[Answered]:
        with self._lock:
            if self._waiting is waiting:
                # The next click begins another question; what was asked holds a network.
                self._waiting, self._where = [], None
        return answer_prompts(predictor, work, frame, waiting, options, cancelled, view)

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
        self.found = 0
        self._frame = frame
        self._make: Callable[[Cancelled], Iterator[Progress]] | None = make
        self._on_change = on_change
        self._on_end = on_end
        self._new_ids = new_ids
        self._new_prompts = new_prompts
        self._change = LabelChange()
        self._prompts: list[Prompt] = []
        self._refreshed = 0.0
        self._ticket: Ticket | None = None
        self._abandoned = False

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

    def _write(self, turn: Progress) -> None:
        if self._abandoned:
            return
        self.done, self.total = turn.done, turn.total
        next_id = self.work.next_object_id()
        for number, one in enumerate(turn.answered):
            prompt = one.prompt
            if self._new_ids:
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
        frame = self._frame.numbered(prompt.plane)
        self.work.write(self._change, {key: one.mask}, frame, standing={key: one.standing})
        self.found += 1

    def _refresh(self, *, now: bool = False) -> None:
        if self.work.target is not None and (
            now or time.monotonic() - self._refreshed > _REFRESH_SECONDS
        ):
            self._refreshed = time.monotonic()
            self.work.target.layer.refresh()

    def _finish(self, error: Exception | None) -> None:
        if not self._abandoned:
            session = self.work.session
            with session.together(self.title):
                if self._new_prompts:
                    for prompt in self._prompts:
                        self.work.prompts.hold(prompt)
                        session.set_prompt((prompt.object_id, prompt.plane), prompt)
                self.work.record(self._change, self.title)
            self.work.publish()
            self._refresh(now=True)
        self._on_end(error)
