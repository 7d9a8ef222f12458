"""Looking through propagated masks: what the strip shows, where its keys go, what is locked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_anysam._napari.coordinates import show_plane
from napari_anysam._napari.propagation import reason_not_to_propagate
from napari_anysam._napari.time_axis import other_axis, time_axis
from napari_anysam.errors import ImageError
from napari_anysam.segmentation.review import lanes_of, next_plane

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_anysam._napari.clicking import Clicking
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.review import LaneMark, Lanes
    from napari_anysam.segmentation.session import KeptMask, PromptKey, Session

__all__ = ["Review", "ReviewState"]

_NO_ANCHOR = (
    "Click the object's lane first, and correct it on this plane: a repair starts from there."
)
_NOTHING = "Nothing to review yet: propagate an object first."


@dataclass(frozen=True, slots=True)
class ReviewState:
    """What the strip shows, and why its buttons cannot be used; empty where they can.

    Parameters
    ----------
    lanes : Lanes or None
        None where there is no axis with a slider.
    position : int
        Of the slider, along the axis.
    object_id : int
        The running object.
    is_reviewed : bool
        Whether all objects were reviewed on the plane that is shown.
    in_words : str
        How much is left to be looked at.
    no_doubt, no_prompt : pair of str
        For the way back and the way on.
    """

    lanes: Lanes | None = None
    position: int = 0
    object_id: int = 1
    is_reviewed: bool = False
    in_words: str = ""
    no_doubt: tuple[str, str] = (_NOTHING, _NOTHING)
    no_prompt: tuple[str, str] = (_NOTHING, _NOTHING)
    no_review: str = _NOTHING
    no_repair: str = _NOTHING


class Review:
    """The review of the chosen image along one axis.

    Parameters
    ----------
    viewer : napari viewer
    clicking : Clicking
        Whose session is reviewed, and whose running object follows.

    Attributes
    ----------
    axis : int or None
        Data axis that the lanes run along.
    """

    def __init__(self, viewer: Any, clicking: Clicking) -> None:
        self._viewer = viewer
        self._clicking = clicking
        self.axis: int | None = None
        self._lanes: Lanes | None = None
        self._session: Session | None = None
        self._shown: tuple[PlaneFrame, int, int | None] | None = None
        self._revision = 0
        self._numbers: Mapping[int, int] = {}

    def state(self) -> ReviewState:
        """Return what the strip shows now."""
        work, frame = self._clicking.work, self._frame()
        if work is None or frame is None or self.axis is None:
            return ReviewState()
        lanes = self._follow(work, frame, self.axis)
        position = frame.index[frame.order.index(self.axis)]
        if not lanes.object_ids:
            return ReviewState(lanes, position, work.object_id)
        doubtful = int(lanes.doubtful.any(axis=0).sum())
        model = self._clicking.running.model
        return ReviewState(
            lanes,
            position,
            work.object_id,
            bool(lanes.reviewed[:, position].all()),
            f"{doubtful} doubtful of {lanes.planes} planes"
            if doubtful
            else f"No doubtful plane among {lanes.planes}",
            no_doubt=_why_not_to_go(lanes, position, "doubtful"),
            no_prompt=_why_not_to_go(lanes, position, "prompt"),
            no_review="",
            no_repair=reason_not_to_propagate(model, work, frame)
            or (_NO_ANCHOR if self._object_here(work, frame) is None else ""),
        )

    def show(self, object_id: int, position: int) -> None:
        """Show a plane, and go on with an object from there."""
        work, frame = self._clicking.work, self._frame()
        if work is None or frame is None or self.axis is None:
            return
        if object_id != work.object_id:
            self._clicking.keep_fresh()
            self._clicking.use_object(object_id)
        show_plane(self._viewer.dims, work.image, frame.at(self.axis, position))

    def go(self, mark: LaneMark, step: int) -> bool:
        """Show the next plane with a mark in a direction; say whether there was one."""
        state = self.state()
        if state.lanes is None:
            return False
        found = next_plane(state.lanes, state.position, step, mark)
        if found is not None:
            self.show(*found)
        return found is not None

    def toggle_reviewed(self) -> None:
        """Lock the masks of all objects on the plane that is shown, or unlock them."""
        work, frame, state = self._clicking.work, self._frame(), self.state()
        if work is None or frame is None or state.lanes is None or not state.lanes.object_ids:
            return
        self._clicking.keep_fresh()
        keys = [(object_id, frame.number) for object_id in state.lanes.object_ids]
        work.session.review(keys, reviewed=not state.is_reviewed)

    def object_to_repair(self) -> int | None:
        """Return the running object, or the one accepted last, if it is on the plane shown."""
        work, frame = self._clicking.work, self._frame()
        return None if work is None or frame is None else self._object_here(work, frame)

    def note(self, masks: Mapping[PromptKey, KeptMask | None]) -> None:
        """Show masks that a run wrote and that the session will hear of when it ends."""
        if self._lanes is not None:
            for (object_id, number), mask in masks.items():
                position = None if number is None else self._numbers.get(number)
                if position is not None:
                    self._lanes.write(object_id, position, mask)

    def _object_here(self, work: Workspace, frame: PlaneFrame) -> int | None:
        session, last = work.session, self._clicking.last_accepted
        for key in ((work.object_id, frame.number), last):
            if key is None or key[1] != frame.number:
                continue
            if key in session.kept or key in session.prompts:
                return key[0]
        return None

    def _frame(self) -> PlaneFrame | None:
        work = self._clicking.work
        try:
            frame = None if work is None else work.frame()
        except ImageError:  # the status line says it
            return None
        return frame if frame is not None and self.axis in frame.order[:-2] else None

    def _follow(self, work: Workspace, frame: PlaneFrame, axis: int) -> Lanes:
        """Bring the lanes to what the session says; they are made anew for another stack only."""
        session, first = work.session, frame.at(axis, 0)
        shown = (first, axis, time_axis(work.image.axis_labels, first))
        same = session is self._session and shown == self._shown
        touched = session.touched_since(self._revision) if same else None
        if self._lanes is None or touched is None:
            count = frame.shape[frame.order.index(axis)]
            numbers = (first.at(axis, position).number for position in range(count))
            self._numbers = {
                number: position for position, number in enumerate(numbers) if number is not None
            }
            self._lanes = lanes_of(session, self._numbers, count, _losses_along(work, first, axis))
        elif touched:
            self._lanes.follow(session, touched, self._numbers)
        self._session, self._shown, self._revision = session, shown, session.revision
        return self._lanes


def _losses_along(
    work: Workspace, frame: PlaneFrame, axis: int
) -> Callable[[int, int], bool] | None:
    """Return what tells a loss along an axis; None if it is not time.

    An object that went to another plane of its volume is not lost.
    """
    if axis != time_axis(work.image.axis_labels, frame):
        return None
    session, depth = work.session, other_axis(frame, axis)
    if depth is None:
        return lambda _object_id, _position: True
    planes = range(frame.shape[frame.order.index(depth)])

    def nowhere(object_id: int, position: int) -> bool:
        here = frame.at(axis, position)
        return all((object_id, here.at(depth, one).number) not in session.kept for one in planes)

    return nowhere


def _why_not_to_go(lanes: Lanes, position: int, mark: LaneMark) -> tuple[str, str]:
    """Say for the way back and the way on why no plane with a mark can be shown."""
    planes = "prompted planes" if mark == "prompt" else f"{mark} planes"
    none = f"There are no {planes}." if not getattr(lanes, mark).any() else ""
    before, after = (next_plane(lanes, position, step, mark) is not None for step in (-1, 1))
    return (
        "" if before else none or f"There are no {planes} before this one.",
        "" if after else none or f"There are no {planes} after this one.",
    )
