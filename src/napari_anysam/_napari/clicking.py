"""From an edit of the prompt layers to a kept mask: the running object of one image."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_anysam._napari.appearance import record_look
from napari_anysam._napari.bulk import ClickQueue
from napari_anysam._napari.coordinates import show_plane
from napari_anysam._napari.drawn_prompts import same_prompt
from napari_anysam._napari.from_label import label_window
from napari_anysam._napari.reporting import report, reporting
from napari_anysam._napari.running_mask import Request, RunningMask
from napari_anysam._napari.visible import visible_box
from napari_anysam._napari.workspace import LabelChange
from napari_anysam.segmentation.prompts import Prompt, merge_prompts
from napari_anysam.segmentation.session import PromptStep, keys_of, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from napari_anysam._napari.bulk_questions import Answered
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.inference import InferenceThread
    from napari_anysam._napari.running_mask import Answer
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.session import KeptMask, PromptKey, Step

__all__ = ["Clicking"]

_FINISHED_ACTIONS = ("added", "changed", "removed")


class Clicking:
    """Answers prompts with masks, and keeps the masks that are accepted.

    Methods that refuse something raise an ``AnySAMError``; the controller shows it.

    Parameters
    ----------
    viewer : napari viewer
    inference : InferenceThread
    on_change : callable
        Called when an answer or an error came back from the inference thread.
    on_many : callable
        Called with the plane and the prompts when those of several objects changed at once.

    Attributes
    ----------
    work : Workspace or None
        The image that is worked on.
    kept : int
        Masks that were written into labels so far.
    each_box_new : bool
        Whether a second box on a plane begins another object, rather than replace the first.
    each_click_new : bool
        Whether every positive click is an object, whose mask is written at once.
    accepts_on_next : bool
        Whether beginning or choosing another object accepts the running mask. Otherwise only
        ``accept`` writes it; its prompts stay, so that the object can be gone on with.
    last_accepted : (object id, plane) or None
        Whose mask the user kept last.
    accepted : psygnal signal (Workspace, (object id, plane))
        A mask was accepted and written.
    """

    accepted = Signal(object, object)

    def __init__(
        self,
        viewer: Any,
        inference: InferenceThread,
        on_change: Callable[[], None],
        on_many: Callable[[PlaneFrame, Sequence[Prompt]], None],
    ) -> None:
        self._viewer = viewer
        self._on_change = on_change
        self._own_edit = False
        self.running = RunningMask(viewer, inference, self._answered, self._failed)
        self.work: Workspace | None = None
        self.kept = 0
        self.each_box_new = True
        self.each_click_new = False
        self.last_accepted: PromptKey | None = None
        self.accepts_on_next = True
        self.clicks = ClickQueue(inference, self._keep_clicked, self._failed)
        self._on_many = on_many

    def take_edit(self, event: Any) -> bool:
        """Answer a finished edit of the prompt layers, whoever made it.

        Returns
        -------
        bool
            Whether it was one: not an edit in progress, and not one of ours.
        """
        if self._own_edit or str(event.action) not in _FINISHED_ACTIONS:
            return False
        self.follow_layers()
        return True

    def take_relabelling(self, layer: Any) -> bool:
        """Answer a change of what points or shapes belong to; say whether it was the user's."""
        work = self.work
        if work is None or self._own_edit or len(layer.features) != len(layer.data):
            return False  # one of ours, or a layer that is being added to
        if not work.is_relabelled(work.frame()):
            return False  # napari tells of features whenever a point is dragged
        self.follow_layers()
        return True

    def take_label(self, layer: Any, value: int) -> None:
        """Let a label be a rough mask of the running object; one of our own layer stays itself."""
        work = self.work
        if work is None:
            return
        frame = work.frame()
        window = label_window(layer, value, frame)
        if window is None:
            return
        ours = work.target is not None and layer == work.target.layer
        key = (value if ours else work.object_id, frame.number)
        if ours:
            work.standing[key] = window
        if self.running.key not in (None, key):
            self.keep_fresh()
        known = work.session.prompts.get(key)
        rough = Prompt(*key, mask=window.mask, mask_origin=window.origin)
        prompt = rough if known is None else merge_prompts([known, rough])[key]
        with self.editing_layers():
            work.session.set_prompt(key, prompt)
            work.prompts.replace(key, prompt, frame)
        self.use_object(key[0])
        self.ask_here(fresh=True)

    def follow_layers(self) -> None:
        """Record what is different in the prompt layers, and ask for the mask it asks for."""
        work = self.work
        if work is None:
            return
        frame = work.frame()
        with self.editing_layers():
            if self.each_box_new:
                work.prompts.separate_boxes(frame, work.next_object_id())
            changes = work.changes(frame)
            work.take_up_labels(changes, frame)
            work.paint()
        here = [key for key in changes if key[1] == frame.number]
        if here and self.running.key not in (None, *here):
            self.keep_fresh()
        clicked = here[-1] if here and self._is_object_click(here[-1], changes) else None
        with _together(work, changes):
            for key, prompt in changes.items():
                work.session.set_prompt(key, prompt)
        asked = [prompt for key in here if (prompt := changes[key]) is not None]
        if len(asked) > 1:
            self.begin_object(work.next_object_id())
            self._on_many(frame, asked)
        elif clicked is not None:
            self._ask_for_click(work, frame, asked[0])
        elif here:
            self.use_object(here[-1][0])
            self.ask_here(fresh=True)

    def begin_clicked_object(self) -> None:
        """Let the click that is about to come be an object of its own, if each one is."""
        work = self.work
        if work is not None and self.each_click_new:
            self.keep_fresh()
            self.use_object(work.next_object_id())

    def _is_object_click(self, key: PromptKey, changes: Mapping[PromptKey, Prompt | None]) -> bool:
        prompt, work = changes[key], self.work
        if not self.each_click_new or prompt is None or work is None or len(changes) > 1:
            return False
        said = prompt.polarity == (True,) and prompt.box is None and prompt.lasso is None
        return said and not prompt.scribbles and key not in work.session.prompts

    def _ask_for_click(self, work: Workspace, frame: PlaneFrame, prompt: Prompt) -> None:
        self.running.drop()
        self.use_object(prompt.object_id)
        if self.running.predictor is not None:
            view = visible_box(self._viewer, work.image, frame)
            self.clicks.add(self.running.predictor, work, frame, prompt, self.running.options, view)

    def ask_here(self, *, fresh: bool) -> None:
        """Ask for the mask of the current object on the plane that is shown."""
        work = self.work
        if work is None:
            return
        frame = work.frame()
        key = (work.object_id, frame.number)
        prompt = work.session.prompts.get(key)
        if prompt is None:
            self.running.drop()
        else:
            self.running.ask(Request(work, key, frame, prompt, fresh))

    def accept(self) -> None:
        """Keep the mask that is previewed or under way; the next prompt is a new object's."""
        work, answer = self.work, self.running.answer
        if work is None:
            return
        if self.running.request is not None:
            self.running.commit()
        elif answer is not None and answer.window is not None:
            self._keep_answer(answer)
        else:
            return
        self.begin_object(work.next_object_id())

    @property
    def has_fresh(self) -> bool:
        """Whether ``keep_fresh`` would accept a mask."""
        request, answer = self.running.request, self.running.answer
        newest = request or (None if answer is None else answer.request)
        return self.accepts_on_next and newest is not None and newest.fresh

    def keep_fresh(self) -> None:
        """Accept a mask that the user has just made; one they only came back to stays as it was."""
        request, answer = self.running.request, self.running.answer
        if self.accepts_on_next:
            if request is not None and request.fresh:
                self.running.commit()
            elif answer is not None and answer.request.fresh:
                self._keep_answer(answer)
        self.running.drop()

    def begin_object(self, object_id: int) -> None:
        """Drop what is previewed; the next prompt belongs to this object."""
        self.running.drop()
        self.use_object(object_id)

    def use_object(self, object_id: int) -> None:
        """Let the next prompt belong to this object."""
        if self.work is not None:
            self.work.object_id = object_id
            self.work.prompts.set_next(object_id)

    def clear(self) -> None:
        """Remove the prompts of the running object that no kept mask came from."""
        work = self.work
        if work is None:
            return
        frame = work.frame()
        here = (work.object_id, frame.number)
        keys = [
            key
            for key in work.session.prompts
            if key[0] == work.object_id and (key == here or not work.is_written(key))
        ]
        self.running.drop()
        with self.editing_layers():
            work.remove_prompts(keys, frame)

    def undo(self) -> None:
        """Take back the last step, show where it was, and go on with its object."""
        self._step_back_or_forth(forward=False)

    def redo(self) -> None:
        """Do the last step that was undone again, and go on with its object."""
        self._step_back_or_forth(forward=True)

    def _step_back_or_forth(self, *, forward: bool) -> None:
        work = self.work
        if work is None:
            return
        frame = work.frame()
        self.running.drop()
        with self.editing_layers():
            step = work.redo(frame) if forward else work.undo(frame)
        key = None if step is None else _only_key(step)
        if key is not None and step is not None:
            show_plane(self._viewer.dims, work.image, frame.numbered(key[1]))
            self.use_object(key[0])
            self.ask_here(fresh=isinstance(step, PromptStep))

    @contextmanager
    def editing_layers(self) -> Iterator[None]:
        """Keep our own edits of the prompt layers from being taken for the user's."""
        before, self._own_edit = self._own_edit, True
        try:
            yield
        finally:
            self._own_edit = before

    def _keep_clicked(
        self, work: Workspace, frame: PlaneFrame, answered: Sequence[Answered]
    ) -> None:
        """Write the masks of clicks that still stand as they were asked, each as one step."""
        with reporting():
            for one in answered:
                key = (one.prompt.object_id, one.prompt.plane)
                if same_prompt(work.session.prompts.get(key), one.prompt):
                    self._keep(work, key, frame, one.mask)
        self._on_change()

    def _answered(self, answer: Answer) -> None:
        if answer.request.committed:
            with reporting():
                self._keep_answer(answer)
        self._on_change()

    def _failed(self, error: Exception) -> None:
        report(error)
        self._on_change()

    def _keep_answer(self, answer: Answer) -> None:
        request = answer.request
        self._keep(request.work, request.key, request.frame, answer.kept)
        self.last_accepted = request.key
        self.accepted.emit(request.work, request.key)
        target = request.work.target
        if target is not None and request.look is not None:
            record_look(target.layer, request.look)

    def _keep(
        self, work: Workspace, key: PromptKey, frame: PlaneFrame, mask: KeptMask | None
    ) -> None:
        """Write a mask into the labels, as one step."""
        if mask is None or work.image not in self._viewer.layers:
            return
        change = LabelChange()
        work.write(change, {key: mask}, frame)
        work.record(change, f"mask of object {key[0]}")
        work.publish()
        self.kept += 1


@contextmanager
def _together(work: Workspace, changes: Mapping[PromptKey, Prompt | None]) -> Iterator[None]:
    """Record changes of several prompts as one step."""
    if len(changes) < 2:
        yield
        return
    with work.session.together(f"prompts of {len(changes)} objects"):
        yield


def _only_key(step: Step) -> PromptKey | None:
    """Return the object and plane of a step; None if it touched several, or none."""
    keys = {key for part in parts_of(step) for key in keys_of(part)}
    return keys.pop() if len(keys) == 1 else None
