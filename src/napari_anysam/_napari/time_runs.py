"""Runs through time: the daughters of a cell that divided, each followed from its birth on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_anysam._napari.propagation import Propagation, StackRange
from napari_anysam._napari.workspace import LabelChange
from napari_anysam.errors import LineageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from typing import Any

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.engine import Engine
    from napari_anysam._napari.propagation import Plane
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.seen_divisions import SeenDivision
    from napari_anysam.segmentation.session import KeptMask, PromptKey, Session

__all__ = ["DaughterRun"]


class DaughterRun(Propagation):
    """Two daughters followed from the time point of their birth on, at which their mother ends.

    Written when the first plane comes, and one step of the history when the run ends: the mother's
    masks erased, those of the daughters, their prompts and their links to her.

    Parameters
    ----------
    division : SeenDivision
    axis : int
        Hidden data axis that is time.
    editing : callable
        Gives a context in which edits of the prompt layers are not the user's.
    work, frame, engine, on_change, on_written, on_end
        See ``Propagation``.

    Raises
    ------
    LineageError
        If masks of the mother after the division were reviewed, or lie on other planes too.
    """

    def __init__(
        self,
        division: SeenDivision,
        axis: int,
        editing: Callable[[], AbstractContextManager[None]],
        work: Workspace,
        frame: PlaneFrame,
        engine: Engine,
        on_change: Callable[[], None],
        on_written: Callable[[Mapping[PromptKey, KeptMask | None]], None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        last = frame.shape[frame.order.index(axis)] - 1
        frames = [frame.at(axis, time) for time in range(division.time, last + 1)]
        keys = [(division.parent, one.number) for one in frames]
        locked = [
            time for time, key in enumerate(keys, division.time) if key in work.session.reviewed
        ]
        if locked:
            raise LineageError(
                f"Object {division.parent} was reviewed at time point {locked[0]}, after its "
                "division; take that back with 'Not reviewed' first."
            )
        if _lies_elsewhere(work.session, division, frame, axis):
            raise LineageError(
                f"Object {division.parent} lies on other planes too at that time, and only "
                "divisions of one plane can be followed; click each daughter as a new object."
            )
        self._mother = division.parent
        self._ending = [
            frame for frame, key in zip(frames, keys, strict=True) if key in work.session.kept
        ]
        self._editing = editing
        self._erased = LabelChange()
        # Not the id of the object that the user is about to click.
        first_id = max(work.next_object_id(), work.object_id + 1)
        self._daughters, self._links = division.daughters(first_id)
        work.ensure_labels().note(first_id + 1)
        where = StackRange(axis, division.time, last, "forward")
        super().__init__(work, frame, where, engine, on_change, on_written, on_end)
        self.title = f"division of object {self._mother}"

    def _stack_prompts(self) -> list[Prompt]:
        return list(self._daughters)

    def _write(self, plane: Plane) -> None:
        if self._may_write() and not self._progress.answers:
            for frame in self._ending:
                gone: dict[PromptKey, KeptMask | None] = {(self._mother, frame.number): None}
                self.work.write(self._erased, gone, frame)
                self._on_written(gone)
        super()._write(plane)

    def _keep_step(self) -> None:
        if self._progress.answers:
            with self._editing():
                self.work.edit(self._divide)

    def _divide(self, session: Session, _labels: Any) -> None:
        born = self._frame.at(self._where.axis, self._where.first).number
        with session.together(self.title):
            session.record_labels(self._erased.edits, self.title, self._erased.kept)
            super()._keep_step()
            for prompt in self._daughters:
                session.set_prompt((prompt.object_id, born), replace(prompt, plane=born))
            session.set_lineage({**session.parents, **self._links})


def _lies_elsewhere(session: Session, division: SeenDivision, frame: PlaneFrame, axis: int) -> bool:
    """Tell whether a mother has masks from the division on that are not on this plane."""
    place = frame.order.index(axis)
    for object_id, number in session.kept:
        if object_id == division.parent:
            other = frame.numbered(number)
            time = other.index[place]
            if time >= division.time and other != frame.at(axis, time):
                return True
    return False
