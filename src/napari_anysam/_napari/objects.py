"""What is done to whole objects in the window: resumed, classed, merged, split, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_anysam._napari.coordinates import show_plane
from napari_anysam._napari.found_labels import FoundLabels
from napari_anysam.segmentation.object_edits import delete_objects, merge_objects, split_object
from napari_anysam.segmentation.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from napari_anysam._napari.clicking import Clicking
    from napari_anysam._napari.inference import InferenceThread
    from napari_anysam._napari.running_mask import Answer
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.object_summaries import ObjectSummary
    from napari_anysam.segmentation.session import Session

__all__ = ["Objects"]


class Objects:
    """The objects of the chosen image.

    Methods that refuse something raise an ``AnySAMError``; the controller shows it.

    Parameters
    ----------
    viewer : napari viewer
    clicking : Clicking
        Whose running object they are about.
    inference : InferenceThread
        Counts what the labels hold.
    on_change : callable
        Called when something else was counted.
    """

    def __init__(
        self,
        viewer: Any,
        clicking: Clicking,
        inference: InferenceThread,
        on_change: Callable[[], None],
    ) -> None:
        self._viewer = viewer
        self._clicking = clicking
        self._found = FoundLabels(viewer, inference, on_change)

    def summaries(self) -> tuple[ObjectSummary, ...]:
        """Return all objects of the chosen image, by id."""
        work = self._clicking.work
        return () if work is None else work.summaries()

    def follow(self) -> None:
        """Take note of other labels, and of what was written into them."""
        self._found.follow(self._clicking.work)

    def stop(self) -> None:
        """Let go of the labels."""
        self._found.stop()

    @property
    def is_counting(self) -> bool:
        """Whether labels that were not made here are still being counted."""
        return self._found.is_counting

    def resume(self, object_id: int) -> None:
        """Go on with an object, on the plane that is shown or else on the nearest of its own."""
        work = self._clicking.work
        if work is None or object_id < 1:
            return
        self._clicking.keep_fresh()
        self._clicking.use_object(object_id)
        frame = work.frame()
        planes = next((one.planes for one in self.summaries() if one.object_id == object_id), ())
        here = frame.number
        if here is not None and planes and here not in planes:
            nearest = min(planes, key=lambda plane: abs(plane - here))
            show_plane(self._viewer.dims, work.image, frame.numbered(nearest))
        self._clicking.ask_here(fresh=False)

    def name_class(self, object_id: int, name: str) -> None:
        """Say which class an object is of; an empty name takes it out of its class."""
        work = self._clicking.work
        if work is not None:
            work.session.name_class(object_id, name.strip())
            work.publish()

    def delete(self, object_ids: Collection[int]) -> None:
        """Erase objects everywhere, and forget their prompts; one step of the history."""
        work = self._clicking.work
        if work is not None and object_ids:
            self._clicking.running.drop()
            with self._clicking.editing_layers():
                work.edit(lambda session, array: delete_objects(session, array, object_ids))
            work.forget_found(object_ids)
            self._go_on(work)

    def merge(self, object_ids: Collection[int]) -> None:
        """Let objects become one, with the lowest of their ids; one step of the history."""
        work = self._clicking.work
        if work is None or len(object_ids) < 2:
            return
        into = min(object_ids)
        self._clicking.keep_fresh()
        with self._clicking.editing_layers():
            work.edit(lambda session, array: merge_objects(session, array, object_ids, into))
        work.forget_found(object_ids)
        self._clicking.use_object(into)

    def split(self) -> bool:
        """Let the previewed, smaller mask of an object stand; what it leaves out is a new object.

        Returns
        -------
        bool
            Whether there was anything left out.
        """
        work, answer = self._clicking.work, self._clicking.running.answer
        if work is None or answer is None or answer.kept is None or work.target is None:
            return False
        kept, key, frame = answer.kept, answer.request.key, answer.request.frame
        new_id = work.next_object_id()
        done = False

        def edit(session: Session, array: Any) -> None:
            nonlocal done
            with session.together(f"splitting of object {key[0]}"):
                done = split_object(session, array, key, frame.index, kept, new_id)
                if done:
                    session.set_prompt((new_id, key[1]), _other_side(answer, new_id))

        with self._clicking.editing_layers():
            work.edit(edit)
        if done:
            work.target.note(new_id)
            self._clicking.running.drop()
            self._clicking.use_object(new_id)
        return done

    def _go_on(self, work: Workspace) -> None:
        """Begin a new object if the running one is gone."""
        if work.object_id not in work.session.object_ids:
            self._clicking.begin_object(work.next_object_id())


def _other_side(answer: Answer, new_id: int) -> Prompt | None:
    """Turn the negative clicks of the smaller part into clicks on what it leaves out."""
    prompt = answer.request.prompt
    points = [point for point, keep in zip(prompt.points, prompt.polarity, strict=True) if not keep]
    return Prompt(new_id, prompt.plane, points=points) if points else None
