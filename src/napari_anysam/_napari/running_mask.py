"""The mask that is being asked for or previewed: one request, one answer, one preview layer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_anysam._napari.drawn_prompts import only_grew
from napari_anysam._napari.inference import Priority
from napari_anysam._napari.padding_outline import PaddingOutline
from napari_anysam._napari.pixels import plane_source
from napari_anysam._napari.preview import Preview
from napari_anysam._napari.visible import visible_box
from napari_anysam.segmentation.canvas import shaped_window
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.journal import Asked, Recipe, record_of
from napari_anysam.segmentation.mask_options import MaskOptions
from napari_anysam.segmentation.regions import LIGHT_IMAGE_SIZE
from napari_anysam.segmentation.session import KeptMask
from napari_anysam.segmentation.stored_cache import user_cache

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam._napari.appearance import Look
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.inference import InferenceThread, Ticket
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.candidates import Candidate, Prediction
    from napari_anysam.segmentation.embedding_store import EmbeddingStore
    from napari_anysam.segmentation.embeddings import Statistics
    from napari_anysam.segmentation.journal import ModelRecord
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.session import PromptKey
    from napari_anysam.segmentation.stored_cache import StoredCache
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
    again : bool
        Whether it was asked before, when the image looked different.
    look : Look or None
        How the image looks; taken when it is asked.
    """

    work: Workspace
    key: PromptKey
    frame: PlaneFrame
    prompt: Prompt
    fresh: bool
    committed: bool = False
    again: bool = False
    look: Look | None = None


@dataclass(slots=True, eq=False)
class Answer:
    """A request and the masks that came back, one of them chosen.

    ``asked`` ends with what was asked for; what comes before it was refined on the way.
    ``used`` says where the embeddings came from.
    """

    request: Request
    prediction: Prediction
    model: ModelRecord
    asked: tuple[Asked, ...]
    options: MaskOptions
    used: Statistics
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
            self._windows[self.choice] = shaped_window(
                self.candidate, self.options, self.request.prompt
            )
        return self._windows[self.choice]

    def reshape(self, options: MaskOptions) -> None:
        """Shape the masks in another way; the network is not asked again."""
        self.options = options
        self._windows.clear()

    @property
    def kept(self) -> KeptMask | None:
        """The chosen mask as it is kept; None if it is empty."""
        window = self.window
        if window is None:
            return None
        recipe = Recipe(self.chosen, self.model)
        return KeptMask(window, self.candidate.score, self.model.name, recipe)

    @property
    def chosen(self) -> tuple[Asked, ...]:
        """All that was asked for, with the present choice at the end."""
        return (*self.asked[:-1], replace(self.asked[-1], choice=self.choice, options=self.options))


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
        self.outline = PaddingOutline(viewer)
        self.request: Request | None = None
        self.answer: Answer | None = None
        self.options = MaskOptions()
        self._inference = inference
        self._on_answer = on_answer
        self._on_error = on_error
        self._predictor: PlanePredictor | None = None
        self._cache: StoredCache | None = None
        self._ticket: Ticket | None = None

    @property
    def predictor(self) -> PlanePredictor | None:
        """What answers, with its embeddings; one thread only may call it."""
        return self._predictor

    @property
    def model(self) -> PromptableModel | None:
        """The network that answers."""
        return None if self._predictor is None else self._predictor.model

    @property
    def store(self) -> EmbeddingStore | None:
        """Embeddings on disk that answers come from; None if none are kept there."""
        return None if self._cache is None else self._cache.store

    @property
    def key(self) -> PromptKey | None:
        """Object and plane that are asked for or shown; None if there is nothing."""
        if self.request is not None:
            return self.request.key
        return None if self.answer is None else self.answer.request.key

    def use_model(self, model: PromptableModel) -> None:
        """Answer with this network from now on; embeddings of the one before leave memory."""
        self._cache = user_cache()
        self._predictor = PlanePredictor(model, self._cache)

    def forget_embeddings(self) -> None:
        """Free the embeddings of images that are gone."""
        if self._cache is not None:
            self._cache.clear()

    def ask(self, request: Request) -> None:
        """Ask for a mask; an earlier request that was not committed is dropped."""
        if self._predictor is None:
            return
        self._cancel(same_plane_as=request)
        self.outline.show(
            request.work.image, request.frame, request.prompt.box, self.options.box_padding
        )
        work = self._question(self._predictor, request)
        self.request = request
        self._ticket = self._inference.ask(
            work, self._receive, partial(self._fail, request), priority=Priority.CLICK
        )

    def foresee(
        self,
        request: Request,
        on_answer: Callable[[Answer], None],
        on_error: Callable[[Exception], None],
    ) -> Ticket | None:
        """Ask what a request would give, when nothing else is to be done; nothing comes of it.

        Networks with a small input encode what it takes; others answer from embeddings that are
        there, or not at all.
        """
        predictor = self._predictor
        if predictor is None:
            return None
        question = self._question(predictor, request)
        light = predictor.model.image_size <= LIGHT_IMAGE_SIZE

        def answer(cancelled: Callable[[], bool]) -> Answer:
            return question(lambda: not light or cancelled())

        return self._inference.ask(answer, on_answer, on_error, priority=Priority.BACKGROUND)

    def _question(
        self, predictor: PlanePredictor, request: Request
    ) -> Callable[[Callable[[], bool]], Answer]:
        """Return what the inference thread does for a request, as everything is now."""
        refined = self._refined_by(request)
        previous = None if refined is None else refined.prediction.choosing(refined.choice)
        look = request.look = request.work.appearance.look()
        source = plane_source(look, request.frame, request.work.identity)
        view = visible_box(self._viewer, request.work.image, request.frame)
        options = self.options
        latest = Asked(
            request.prompt,
            source.conditioning,
            options=options,
            view=view,
            layers=look.layer_names,
        )
        asked = (latest,) if refined is None else (*refined.chosen, latest)

        def predict(cancelled: Callable[[], bool]) -> Answer:
            before = predictor.cache.statistics
            prediction = predictor.predict(
                source.pixels(),
                source.key,
                request.frame.plane_shape,
                request.prompt,
                previous=previous,
                cancelled=cancelled,
                box_padding=options.box_padding,
                view=view,
                most=_MOST_CANDIDATES,
            )
            used = predictor.cache.statistics.since(before)
            return Answer(request, prediction, record_of(predictor.model), asked, options, used)

        return predict

    def ask_again(self) -> bool:
        """Ask once more for what is asked for or previewed; tell whether there was anything."""
        last = self.request or (None if self.answer is None else self.answer.request)
        if last is None:
            return False
        self.answer = None  # what was seen on the image as it was says nothing any more
        self.ask(replace(last, again=True))
        return True

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
        self._show_other(1)

    def show_previous(self) -> None:
        """Preview the one before."""
        self._show_other(-1)

    def _show_other(self, step: int) -> None:
        answer = self.answer
        if answer is not None and len(answer.prediction.candidates) > 1:
            answer.choice = (answer.choice + step) % len(answer.prediction.candidates)
            answer.request.fresh = True
            self._show(answer)

    def shape(self, options: MaskOptions) -> bool:
        """Shape masks in this way from now on, the one that is previewed too.

        Returns
        -------
        bool
            Whether that is not enough, because boxes reach the network with another padding.
        """
        padded = options.box_padding != self.options.box_padding
        self.options = options
        if self.answer is not None:
            self.answer.reshape(options)
            self.answer.request.fresh = True
            self._show(self.answer)
        return padded

    def drop(self) -> None:
        """Forget the request and the answer; nothing is previewed."""
        self._cancel()
        self.answer = None
        self.preview.hide()
        self.outline.remove()

    def _cancel(self, same_plane_as: Request | None = None) -> None:
        """Cancel what runs, unless it encodes the plane that the next request needs too."""
        running, ticket = self.request, self._ticket
        self.request = self._ticket = None
        if running is None or ticket is None:
            return
        useful = same_plane_as is not None and same_plane_as.frame == running.frame
        if not useful:
            ticket.cancel()

    def _refined_by(self, request: Request) -> Answer | None:
        """Return the answer that a request adds to: same place, and all its prompts kept."""
        answer = self.answer
        if answer is None or answer.request.key != request.key:
            return None
        if self.model is None or answer.model.key != self.model.key:
            return None
        return answer if only_grew(answer.request.prompt, request.prompt) else None

    def _receive(self, answer: Answer) -> None:
        if answer.request.committed:
            self._on_answer(answer)
        elif answer.request is self.request:
            self.request = self._ticket = None
            self.answer = answer
            if answer.options != self.options:
                answer.reshape(self.options)
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
