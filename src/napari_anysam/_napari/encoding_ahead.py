"""Planes in the direction of travel, encoded before the user marks something on them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from napari_anysam._napari.inference import Priority
from napari_anysam._napari.pixels import plane_source
from napari_anysam._napari.reporting import report
from napari_anysam._napari.visible import visible_box
from napari_anysam.errors import Cancelled
from napari_anysam.networks.measuring import known_cost

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.inference import InferenceThread, Ticket
    from napari_anysam._napari.running_mask import RunningMask
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.prompts import Prompt

__all__ = ["EncodingAhead"]

PLANES_AHEAD = 2

QUICK_SECONDS = 2.0
"""Networks that encode an image in less encode ahead unless the user says otherwise."""


class EncodingAhead:
    """Encodes the next planes, as they look now, where a prompt like the last one would need it.

    It begins when the user moves along one axis of a stack that has a prompt, and ends when they
    turn round, when a click waits, or when image, look or model change. What was encoded lies in
    the cache that clicks are answered from, under its budget.

    Parameters
    ----------
    viewer : napari viewer
    inference : InferenceThread
    running : RunningMask
        Whose cache and network are used.
    """

    def __init__(self, viewer: Any, inference: InferenceThread, running: RunningMask) -> None:
        self._viewer = viewer
        self._inference = inference
        self._running = running
        self._chosen: bool | None = None
        self._measured: tuple[str, bool] | None = None
        self._last: tuple[Workspace, PlaneFrame] | None = None
        self._course: tuple[int, int] | None = None
        self._tickets: dict[PlaneFrame, Ticket] = {}

    @property
    def is_on(self) -> bool:
        """Whether the user wants it; by default, whether the model is known to be quick."""
        if self._chosen is not None:
            return self._chosen
        model = self._running.model
        return model is not None and self._is_quick(model)

    @property
    def waiting(self) -> tuple[PlaneFrame, ...]:
        """Planes that are to be encoded or being encoded."""
        return tuple(self._tickets)

    def choose(self, on: bool) -> None:
        """Encode ahead from now on however long it takes, or do not."""
        self._chosen = on
        self.drop()

    def moved(self, work: Workspace, frame: PlaneFrame) -> None:
        """Take note of the plane that is shown, and encode the next ones if that is called for."""
        last, self._last = self._last, (work, frame)
        if last is None or last[0] is not work or last[1].shape != frame.shape:
            self.drop()
            return
        course = _course(last[1], frame)
        if course is None:  # the same plane, told of again
            return
        if course[1] == 0 or course != self._course:
            self.drop()
        self._course = course
        prompt = self._like(work, frame)
        if course[1] and prompt is not None and self.is_on:
            self._encode(work, _ahead(frame, *course), prompt)

    def drop(self) -> None:
        """Encode nothing more until the user moves again."""
        for ticket in self._tickets.values():
            ticket.cancel()
        self._tickets.clear()
        self._course = None

    def leave(self) -> None:
        """Encode nothing more of this image, and let go of it."""
        self.drop()
        self._last = None

    def _encode(self, work: Workspace, frames: tuple[PlaneFrame, ...], prompt: Prompt) -> None:
        for frame in [one for one in self._tickets if one not in frames]:
            self._tickets.pop(frame).cancel()
        look = work.appearance.look()
        for frame in frames:
            if frame not in self._tickets:
                source = plane_source(look, frame, work.identity)
                there = replace(prompt, plane=frame.number)
                view = visible_box(self._viewer, work.image, frame)
                self._tickets[frame] = self._ask(frame, self._work(source, there, view))

    def _work(self, source: Any, prompt: Prompt, view: Any) -> Callable[[Callable[[], bool]], None]:
        predictor, thread = self._running.predictor, self._inference
        padding = self._running.options.box_padding

        def encode(cancelled: Callable[[], bool]) -> None:
            if predictor is None:
                return
            with suppress(Cancelled):  # a click waits, and is answered first
                predictor.encode_for(
                    source.pixels(),
                    source.key,
                    source.frame.plane_shape,
                    prompt,
                    box_padding=padding,
                    view=view,
                    cancelled=lambda: cancelled() or thread.is_wanted_before(Priority.BACKGROUND),
                )

        return encode

    def _ask(self, frame: PlaneFrame, work: Callable[[Callable[[], bool]], None]) -> Ticket:
        return self._inference.ask(
            work,
            partial(self._done, frame),
            partial(self._fail, frame),
            priority=Priority.BACKGROUND,
        )

    def _done(self, frame: PlaneFrame, _nothing: None) -> None:
        self._tickets.pop(frame, None)

    def _fail(self, frame: PlaneFrame, error: Exception) -> None:
        self._tickets.pop(frame, None)
        report(error)

    def _like(self, work: Workspace, frame: PlaneFrame) -> Prompt | None:
        """Return the prompt of the running object, or the last one, on the nearest plane."""
        prompts = work.session.prompts
        own = [key for key in prompts if key[0] == work.object_id] or list(prompts)[-1:]
        here = frame.number or 0
        nearest = min(own, key=lambda key: abs((key[1] or 0) - here), default=None)
        return None if nearest is None else prompts[nearest]

    def _is_quick(self, model: PromptableModel) -> bool:
        if self._measured is None or self._measured[0] != model.key:
            known = known_cost(model)
            if known is None:
                return False
            self._measured = model.key, known.encode_seconds < QUICK_SECONDS
        return self._measured[1]


def _course(before: PlaneFrame, now: PlaneFrame) -> tuple[int, int] | None:
    """Return the hidden axis and the step, +1 or -1, between two planes.

    The step is 0 where they differ along several axes; None if they are the same plane.
    """
    steps = [
        (axis, new - old)
        for axis, old, new in zip(now.order, before.index, now.index, strict=False)
        if new != old
    ]
    if before.order != now.order or len(steps) > 1:
        return -1, 0
    if not steps:
        return None
    axis, step = steps[0]
    return axis, 1 if step > 0 else -1


def _ahead(frame: PlaneFrame, axis: int, step: int) -> tuple[PlaneFrame, ...]:
    """Return the next planes of a stack, the nearest first."""
    where = frame.order.index(axis)
    here, length = frame.index[where], frame.hidden_shape[where]
    positions = (here + step * count for count in range(1, PLANES_AHEAD + 1))
    return tuple(frame.at(axis, position) for position in positions if 0 <= position < length)
