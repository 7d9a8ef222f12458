"""Runs through time: the daughters of a cell that divided, each followed from its birth on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_anysam._napari.propagation import Propagation, StackRange
from napari_anysam._napari.volume_run import VolumeRange, VolumeRun, series_planes
from napari_anysam.errors import LineageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from typing import Any

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.engine import Engine
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.seen_divisions import SeenDivision
    from napari_anysam.segmentation.session import KeptMask, PromptKey, Session

    Editing = Callable[[], AbstractContextManager[None]]

__all__ = ["DaughterRun", "VolumeDaughterRun"]


class _Births(Propagation):
    """What daughters of planes and of volumes have in common.

    The mother's masks are erased plane by plane, where the daughters are written; what a cancelled
    run did not come to stays hers, until a later run of the daughters comes there. Masks, prompts
    and links to her are one step of the history when the run ends.
    """

    _mother: int
    _standing: frozenset[PromptKey]
    _born: tuple[Prompt, ...]
    _links: dict[int, int]
    _editing: Editing

    def _bear(
        self,
        division: SeenDivision,
        standing: Iterable[tuple[int, int | None]],
        editing: Editing,
        work: Workspace,
    ) -> None:
        """Give the daughters ids, unless the mother's masks may not be erased.

        Parameters
        ----------
        division : SeenDivision
        standing : iterable of (time, plane)
            Where the mother has masks from the division on.
        editing : callable
            Gives a context in which edits of the prompt layers are not the user's.
        work : Workspace
        """
        self._mother = division.parent
        found = dict.fromkeys(standing)
        locked = [time for time, plane in found if (self._mother, plane) in work.session.reviewed]
        if locked:
            raise LineageError(
                f"Object {self._mother} was reviewed at time point {min(locked)}, after its "
                "division; take that back with 'Not reviewed' first."
            )
        self._standing = frozenset((self._mother, plane) for _, plane in found)
        # Not the id of the object that the user is about to click.
        first_id = max(work.next_object_id(), work.object_id + 1)
        self._born, self._links = division.daughters(first_id)
        self._editing = editing
        work.ensure_labels().note(first_id + 1)

    def _endings(self) -> frozenset[PromptKey]:
        return self._standing

    def _keep_step(self) -> None:
        if self._progress.answers:
            with self._editing():
                self.work.edit(self._divide)

    def _divide(self, session: Session, _labels: Any) -> None:
        with session.together(self.title):
            super()._keep_step()
            for prompt in self._prompts:
                number = self._frame_at(prompt.plane or 0).number
                session.set_prompt((prompt.object_id, number), replace(prompt, plane=number))
            session.set_lineage({**session.parents, **self._links})


class DaughterRun(_Births):
    """Two daughters followed from the time point of their birth on, at which their mother ends.

    Parameters
    ----------
    division : SeenDivision
        Of one plane.
    axis : int
        Hidden data axis that is time.
    editing : callable
        Gives a context in which edits of the prompt layers are not the user's.
    work, frame, engine, on_change, on_written, on_end
        See ``Propagation``.

    Raises
    ------
    LineageError
        If masks of the mother after the division were reviewed.
    """

    def __init__(
        self,
        division: SeenDivision,
        axis: int,
        editing: Editing,
        work: Workspace,
        frame: PlaneFrame,
        engine: Engine,
        on_change: Callable[[], None],
        on_written: Callable[[Mapping[PromptKey, KeptMask | None]], None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        last = frame.shape[frame.order.index(axis)] - 1
        numbers = ((time, frame.at(axis, time).number) for time in range(division.time, last + 1))
        kept = work.session.kept
        standing = [place for place in numbers if (division.parent, place[1]) in kept]
        self._bear(division, standing, editing, work)
        where = StackRange(axis, division.time, last, "forward")
        super().__init__(work, frame, where, engine, on_change, on_written, on_end)
        self.title = f"division of object {self._mother}"

    def _stack_prompts(self) -> list[Prompt]:
        return list(self._born)


class VolumeDaughterRun(_Births, VolumeRun):
    """The same for a cell of volumes: its daughters are followed through z and t.

    Parameters
    ----------
    division : SeenDivision
        Of volumes.
    editing, work, frame, engine, on_change, on_written, on_end
        See ``DaughterRun``.

    Raises
    ------
    LineageError
        If masks of the mother after the division were reviewed.
    CapabilityError
        See ``VolumeRun``.
    """

    def __init__(
        self,
        division: SeenDivision,
        editing: Editing,
        work: Workspace,
        frame: PlaneFrame,
        engine: Engine,
        on_change: Callable[[], None],
        on_written: Callable[[Mapping[PromptKey, KeptMask | None]], None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        series = series_planes(work, frame)
        times, depth = (series.hidden_shape[place] for place in (series.time, series.depth))
        self._birth = division.time
        kept = {number for one, number in work.session.kept if one == division.parent}
        standing = [
            (time, number)
            for time in range(division.time, times)
            for plane in range(depth)
            if (number := series.number(time, plane)) in kept
        ]
        self._bear(division, standing, editing, work)
        where = VolumeRange(division.time, times - 1, 0, depth - 1, "forward")
        super().__init__(where, work, frame, engine, on_change, on_written, on_end)
        self.title = f"division of object {self._mother}"

    def _stack_prompts(self) -> list[Prompt]:
        return [
            replace(prompt, plane=self._series.number(self._birth, prompt.plane or 0))
            for prompt in self._born
        ]
