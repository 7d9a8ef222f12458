"""Divisions in the window: looked for after a run through time, then accepted or dismissed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_anysam._napari.coordinates import show_plane
from napari_anysam._napari.inference import Priority
from napari_anysam._napari.propagation import reason_not_to_propagate
from napari_anysam._napari.reporting import report, reporting
from napari_anysam._napari.time_axis import time_axis
from napari_anysam._napari.time_runs import DaughterRun, VolumeDaughterRun
from napari_anysam._napari.volume_run import series_planes, volume_axes
from napari_anysam.errors import ImageError
from napari_anysam.segmentation.seen_divisions import divisions_in, divisions_in_volumes

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam._napari.clicking import Clicking
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.inference import InferenceThread, Ticket
    from napari_anysam._napari.propagation import Propagation
    from napari_anysam._napari.runs import Runs
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.seen_divisions import Sections, SeenDivision
    from napari_anysam.segmentation.series_planes import SeriesPlanes
    from napari_anysam.segmentation.session import PromptKey, Session
    from napari_anysam.segmentation.windows import Window

__all__ = ["DivisionState", "Divisions"]


@dataclass(frozen=True, slots=True)
class DivisionState:
    """What the dock shows of divisions.

    Parameters
    ----------
    offered : tuple of SeenDivision
        Neither accepted nor dismissed.
    in_words : str
        How many there are, or why there are none.
    no_look : str
        Why it cannot be looked for divisions; empty where it can.
    no_accept : str
        Why none can be accepted.
    """

    offered: tuple[SeenDivision, ...]
    in_words: str
    no_look: str
    no_accept: str


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What was found in a session, along an axis through a plane or through the volumes around it.

    ``series`` is None of an image without volumes.
    """

    session: Session
    frame: PlaneFrame
    axis: int
    series: SeriesPlanes | None
    divisions: tuple[SeenDivision, ...]

    def frame_of(self, division: SeenDivision) -> PlaneFrame:
        """Return the plane on which the daughters are first seen."""
        if self.series is not None and division.in_volumes:
            return self.frame.numbered(self.series.number(division.time, division.plane))
        return self.frame.at(self.axis, division.time)

    def places(self, division: SeenDivision) -> list[PromptKey]:
        """Return where the mother may be from the division on, the time of the division first."""
        times = range(division.time, self.frame.shape[self.frame.order.index(self.axis)])
        series = self.series
        if series is not None and division.in_volumes:
            planes = range(series.hidden_shape[series.depth])
            return [(division.parent, series.number(time, one)) for time in times for one in planes]
        return [(division.parent, self.frame.at(self.axis, time).number) for time in times]


class Divisions:
    """The divisions of the chosen image's objects.

    Parameters
    ----------
    viewer : napari viewer
    clicking : Clicking
        Whose kept masks are looked at.
    inference : InferenceThread
        Looks for them.
    runs : Runs
        Follows the daughters of those that are accepted.
    on_change : callable
        Called when something was found, or is no longer offered.
    """

    def __init__(
        self,
        viewer: Any,
        clicking: Clicking,
        inference: InferenceThread,
        runs: Runs,
        on_change: Callable[[], None],
    ) -> None:
        self._viewer = viewer
        self._clicking = clicking
        self._inference = inference
        self._runs = runs
        self._on_change = on_change
        self._found: _Found | None = None
        self._ticket: Ticket | None = None
        self._ended: Propagation | None = None

    @property
    def state(self) -> DivisionState:
        """What the dock shows."""
        work, frame, axis = self._here()
        if work is None or frame is None or axis is None:
            words = "This image has no time axis."
            return DivisionState((), words, words, "")
        offered = self._offered(work)
        if self._ticket is not None:
            words = "Looking for divisions ..."
        elif self._found is None or self._found.session is not work.session:
            words = "Not looked for yet."
        elif not offered:
            words = "No cell divides."
        else:
            words = "1 cell divides." if len(offered) == 1 else f"{len(offered)} cells divide."
        busy = "Wait for the end of what runs, or cancel it." if self._runs.busy else ""
        nothing = "" if work.session.kept else "Follow an object through time first."
        model = self._clicking.running.model
        refused = reason_not_to_propagate(model, work, frame)
        return DivisionState(offered, words, busy or nothing, busy or refused)

    def follow(self, ended: Propagation | None) -> None:
        """Look for divisions if a run through time has just ended."""
        if ended is self._ended:
            return
        self._ended = ended
        work, _, axis = self._here()
        if ended is not None and ended.work is work and ended.axis == axis:
            self.look()

    def look(self) -> None:
        """Look for divisions in the masks that are kept along time, beside the window."""
        work, frame, axis = self._here()
        if work is None or frame is None or axis is None:
            return
        if self._ticket is not None:
            self._ticket.cancel()
        volumes = volume_axes(work.image.axis_labels, frame) is not None
        series = series_planes(work, frame) if volumes else None
        tracks, deep = _tracks(work.session, frame, axis, series)

        def find(cancelled: Callable[[], bool]) -> list[SeenDivision]:
            on_plane = divisions_in(tracks, cancelled=cancelled)
            return [*on_plane, *divisions_in_volumes(deep, cancelled=cancelled)]

        self._ticket = self._inference.ask(
            find,
            partial(self._take, _Found(work.session, frame, axis, series, ())),
            self._failed,
            priority=Priority.BACKGROUND,
        )
        self._on_change()

    def show(self, division: SeenDivision) -> None:
        """Show the plane on which the daughters are first seen, and go on with their mother."""
        work = self._clicking.work
        if work is not None and self._found is not None:
            with reporting():
                if division.parent != work.object_id:
                    self._clicking.keep_fresh()
                    self._clicking.use_object(division.parent)
                frame = self._found.frame_of(division)
                show_plane(self._viewer.dims, work.image, frame)
            self._on_change()

    def accept(self, division: SeenDivision) -> None:
        """End the mother at the division, and follow her daughters from there on."""
        work, found = self._clicking.work, self._found
        if work is not None and found is not None:
            with reporting():
                editing = self._clicking.editing_layers
                run = (
                    partial(VolumeDaughterRun, division, editing)
                    if division.in_volumes
                    else partial(DaughterRun, division, found.axis, editing)
                )
                self._runs.begin(work, partial(run, work, found.frame))
            self._on_change()

    def dismiss(self, division: SeenDivision) -> None:
        """Offer this one no more; a step that can be undone, and is saved."""
        work = self._clicking.work
        if work is not None:
            work.session.dismiss(division.parent, division.time)
        self._on_change()

    def forget(self) -> None:
        """Look for nothing any more, and offer nothing."""
        if self._ticket is not None:
            self._ticket.cancel()
        self._ticket = self._found = None

    def _take(self, looked: _Found, found: list[SeenDivision]) -> None:
        self._ticket = None
        before, mothers = self._found, set(looked.session.parents.values())
        if before is not None and before.session is looked.session and before.axis == looked.axis:
            # Accepted ones are offered again when that is undone.
            found = [*found, *(one for one in before.divisions if one.parent in mothers)]
        self._found = replace(looked, divisions=tuple(found))
        self._on_change()

    def _failed(self, error: Exception) -> None:
        self._ticket = None
        report(error)
        self._on_change()

    def _offered(self, work: Workspace) -> tuple[SeenDivision, ...]:
        """Return what still stands: a mother without daughters, whose masks are there."""
        found, session = self._found, work.session
        if found is None or found.session is not session:
            return ()
        mothers, dismissed = set(session.parents.values()), session.dismissed
        offered = []
        for one in found.divisions:
            if one.parent in mothers or (one.parent, one.time) in dismissed:
                continue
            born = (one.parent, found.frame_of(one).number)
            prompted = any(place in session.prompts for place in found.places(one))
            if born in session.kept and not prompted:
                offered.append(one)
        return tuple(offered)

    def _here(self) -> tuple[Workspace | None, PlaneFrame | None, int | None]:
        work = self._clicking.work
        if work is None:
            return None, None, None
        try:
            frame = work.frame()
        except ImageError:  # the status line says it
            return None, None, None
        return work, frame, time_axis(work.image.axis_labels, frame)


def _tracks(
    session: Session, frame: PlaneFrame, axis: int, series: SeriesPlanes | None
) -> tuple[dict[int, dict[int, Window]], dict[int, dict[int, Sections]]]:
    """Return the kept masks of objects on this plane along time, and of those in volumes."""
    count = frame.shape[frame.order.index(axis)]
    times = {frame.at(axis, time).number: time for time in range(count)}
    deep = {} if series is None else _in_volumes(session, series)
    tracks: dict[int, dict[int, Window]] = {}
    for (object_id, number), mask in session.kept.items():
        if number in times and object_id not in deep:
            tracks.setdefault(object_id, {})[times[number]] = mask.window
    return tracks, deep


def _in_volumes(session: Session, series: SeriesPlanes) -> dict[int, dict[int, Sections]]:
    """Return the kept masks of objects that lie on several planes."""
    tracks: dict[int, dict[int, Sections]] = {}
    planes: dict[int, set[int]] = {}
    for (object_id, number), mask in session.kept.items():
        time, plane = series.place(number or 0)
        if series.number(time, plane) == number:  # not at another place of further sliders
            tracks.setdefault(object_id, {}).setdefault(time, {})[plane] = mask.window
            planes.setdefault(object_id, set()).add(plane)
    return {one: volumes for one, volumes in tracks.items() if len(planes[one]) > 1}
