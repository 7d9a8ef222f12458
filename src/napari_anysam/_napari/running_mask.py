"""The mask that is being asked for or previewed: one request, one answer, one preview layer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_anysam._napari.inference import Priority
from napari_anysam._napari.pixels import plane_source
from napari_anysam._napari.preview import Preview
from napari_anysam._napari.visible import visible_box
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.session import KeptMask

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.inference import InferenceThread, Ticket
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.candidates import Candidate, Prediction
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.session import PromptKey
    from napari_anysam.segmentation.windows import Window

_MOST_CANDIDATES = 3
"""More would be a walk through ever worse masks."""

__all__ = ["Answer", "Request", "RunningMask"]


@dataclass(slots=True, eq=False)
class Request:
    """One prompt on its way through the inference thread.

    Parameters
    ----------
    work : Workspace
    key : (object id, plane number)
    frame : PlaneFrame
    prompt : Prompt
    fresh : bool
        Whether the user just changed the prompt, rather than came back to it.
    committed : bool
        Whether the answer is wanted as a mask to keep, without a preview.
    """

    work: Workspace
    key: PromptKey
    frame: PlaneFrame
    prompt: Prompt
    fresh: bool
    committed: bool = False


@dataclass(slots=True, eq=False)
class Answer:
    """A request and the masks that came back, one of them chosen."""

    request: Request
    prediction: Prediction
    model: str
    choice: int = 0
    _windows: dict[int, Window | None] = field(default_factory=dict)

    @property
    def candidate(self) -> Candidate:
        """The chosen mask."""
        return self.prediction.candidates[self.choice]

    @property
    def window(self) -> Window | None:
        """The chosen mask in its bounding box; None if it is empty."""
        if self.choice not in self._windows:
            self._windows[self.choice] = self.candidate.window()
        return self._windows[self.choice]

    @property
    def kept(self) -> KeptMask | None:
        """The chosen mask as it is kept; None if it is empty."""
        window = self.window
        return None if window is None else KeptMask(window, self.candidate.score, self.model)


class RunningMask:
    """Asks for the mask of one prompt at a time and shows it.

    Parameters
    ----------
    viewer : napari viewer
    inference : InferenceThread
    on_answer : callable
        Called with an Answer when one has arrived; a committed one is not shown.
    on_error : callable
        Called with the exception instead.
    """

    def __init__(
        self,
        viewer: Any,
        inference: InferenceThread,
        on_answer: Callable[[Answer], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._viewer = viewer
        self.preview = Preview(viewer)
        self.request: Request | None = None
        self.answer: Answer | None = None
        self._inference = inference
        self._on_answer = on_answer
        self._on_error = on_error
        self._predictor: PlanePredictor | None = None
        self._ticket: Ticket | None = None

    @property
    def model(self) -> PromptableModel | None:
        """The network that answers."""
        return None if self._predictor is None else self._predictor.model

    @property
    def key(self) -> PromptKey | None:
        """Object and plane that are asked for or shown; None if there is nothing."""
        if self.request is not None:
            return self.request.key
        return None if self.answer is None else self.answer.request.key

    def use_model(self, model: PromptableModel) -> None:
        """Answer with this network from now on; embeddings of the one before are let go."""
        self._predictor = PlanePredictor(model)

    def forget_embeddings(self) -> None:
        """Free the embeddings of images that are gone."""
        if self._predictor is not None:
            self._predictor.cache.clear()

    def ask(self, request: Request) -> None:
        """Ask for a mask; an earlier request that was not committed is dropped."""
        predictor = self._predictor
        if predictor is None:
            return
        self._cancel(same_plane_as=request)
        previous = self._refined_by(request)
        source = plane_source(request.work.image, request.frame, request.work.identity)
        view = visible_box(self._viewer, request.work.image, request.frame)

        def predict(cancelled: Callable[[], bool]) -> Answer:
            prediction = predictor.predict(
                source.pixels(),
                source.key,
                request.frame.plane_shape,
                request.prompt,
                previous=previous,
                cancelled=cancelled,
                view=view,
            )
            best = replace(prediction, candidates=prediction.candidates[:_MOST_CANDIDATES])
            return Answer(request, best, predictor.model.name)

        self.request = request
        self._ticket = self._inference.ask(
            predict, self._receive, partial(self._fail, request), priority=Priority.CLICK
        )

    def commit(self) -> Request | None:
        """Have the answer under way kept without a preview; return its request, if there is one."""
        request, self.request = self.request, None
        if request is not None and self._ticket is not None:
            request.committed = True
            self._ticket.keep()
            self._ticket = None
        return request

    def show_next(self) -> None:
        """Preview the next of the candidates."""
        answer = self.answer
        if answer is not None and len(answer.prediction.candidates) > 1:
            answer.choice = (answer.choice + 1) % len(answer.prediction.candidates)
            answer.request.fresh = True
            self._show(answer)

    def drop(self) -> None:
        """Forget the request and the answer; nothing is previewed."""
        self._cancel()
        self.answer = None
        self.preview.hide()

    def _cancel(self, same_plane_as: Request | None = None) -> None:
        """Cancel what runs, unless it encodes the plane that the next request needs too."""
        running, ticket = self.request, self._ticket
        self.request = self._ticket = None
        if running is None or ticket is None:
            return
        useful = same_plane_as is not None and same_plane_as.frame == running.frame
        if not useful:
            ticket.cancel()

    def _refined_by(self, request: Request) -> Prediction | None:
        """Return the answer that a request adds to: same place, and all its prompts kept."""
        answer = self.answer
        if answer is None or answer.request.key != request.key:
            return None
        before, now = answer.request.prompt, request.prompt
        count = len(before.points)
        grown = (
            now.points[:count] == before.points
            and now.polarity[:count] == before.polarity
            and now.box == before.box
        )
        return answer.prediction.choosing(answer.choice) if grown else None

    def _receive(self, answer: Answer) -> None:
        if answer.request.committed:
            self._on_answer(answer)
        elif answer.request is self.request:
            self.request = self._ticket = None
            self.answer = answer
            self._show(answer)
            self._on_answer(answer)

    def _fail(self, request: Request, error: Exception) -> None:
        if request is self.request:
            self.request = self._ticket = None
        elif not request.committed:
            return
        self._on_error(error)

    def _show(self, answer: Answer) -> None:
        self.preview.show(answer.request.work.image, answer.request.frame, answer.window)
