"""From an edit of the prompt layers to a kept mask: the running object of one image."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_anysam._napari.appearance import record_look
from napari_anysam._napari.coordinates import show_plane
from napari_anysam._napari.reporting import report, reporting
from napari_anysam._napari.running_mask import Request, RunningMask
from napari_anysam._napari.workspace import LabelChange
from napari_anysam.segmentation.session import ClassStep, PromptStep, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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

    Attributes
    ----------
    work : Workspace or None
        The image that is worked on.
    kept : int
        Masks that were written into labels so far.
    """

    def __init__(
        self, viewer: Any, inference: InferenceThread, on_change: Callable[[], None]
    ) -> None:
        self._viewer = viewer
        self._on_change = on_change
        self._own_edit = False
        self.running = RunningMask(viewer, inference, self._answered, self._failed)
        self.work: Workspace | None = None
        self.kept = 0

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

    def follow_layers(self) -> None:
        """Record what is different in the prompt layers, and ask for the mask it asks for."""
        work = self.work
        if work is None:
            return
        frame = work.frame()
        with self.editing_layers():
            changes = work.changes(frame)
        here = [key for key in changes if key[1] == frame.number]
        if here and self.running.key not in (None, *here):
            self.keep_fresh()
        for key, prompt in changes.items():
            work.session.set_prompt(key, prompt)
        if here:
            self.use_object(here[-1][0])
            self.ask_here(fresh=True)

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

    def keep_fresh(self) -> None:
        """Accept a mask that the user has just made; one they only came back to stays as it was."""
        request, answer = self.running.request, self.running.answer
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
        if request.work.image in self._viewer.layers:
            self._keep(request.work, request.key, request.frame, answer.kept)
            target = request.work.target
            if target is not None and request.look is not None:
                record_look(target.layer, request.look)

    def _keep(
        self, work: Workspace, key: PromptKey, frame: PlaneFrame, mask: KeptMask | None
    ) -> None:
        """Write a mask into the labels, as one step."""
        if mask is None:
            return
        change = LabelChange()
        work.write(change, {key: mask}, frame)
        work.record(change, f"mask of object {key[0]}")
        work.ensure_labels().layer.refresh()
        self.kept += 1


def _only_key(step: Step) -> PromptKey | None:
    """Return the object and plane of a step; None if it touched several, or none."""
    keys: set[PromptKey] = set()
    for part in parts_of(step):
        if isinstance(part, PromptStep):
            keys.add(part.key)
        elif not isinstance(part, ClassStep):
            keys.update(part.after)
    return keys.pop() if len(keys) == 1 else None
