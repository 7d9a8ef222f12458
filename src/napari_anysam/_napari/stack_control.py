"""What the dock can ask for about stacks: runs, their review, divisions, encoding ahead of time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari_anysam._napari.continuation import last_run
from napari_anysam._napari.divisions import Divisions
from napari_anysam._napari.lesions import Lesions
from napari_anysam._napari.live_volume import LiveVolume
from napari_anysam._napari.outlook import Outlook
from napari_anysam._napari.precomputing import Precomputing
from napari_anysam._napari.propagation import StackAxis
from napari_anysam._napari.reporting import reporting
from napari_anysam._napari.review import Review
from napari_anysam._napari.runs import Runs
from napari_anysam._napari.tracks_layer import TracksLayer
from napari_anysam._napari.volume_run import (
    VolumeRun,
    reason_not_to_follow_volumes,
    volume_axes,
)
from napari_anysam.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_anysam._napari.clicking import Clicking
    from napari_anysam._napari.continuation import Continuation
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.inference import InferenceThread
    from napari_anysam._napari.propagation import StackRange
    from napari_anysam._napari.volume_run import VolumeRange
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.journal import Run
    from napari_anysam.segmentation.review import LaneMark
    from napari_anysam.segmentation.session import Session

__all__ = ["StackControl"]


class StackControl:
    """Everything that is done to many planes or objects of the chosen image.

    Parameters
    ----------
    viewer : napari viewer
    clicking : Clicking
        Whose work, model and running mask it is about.
    inference : InferenceThread
    on_change : callable
        Called when the dock has something else to show.
    on_found : callable
        See ``Runs``.

    Attributes
    ----------
    runs : Runs
        What is under way, and what it computes with.
    review : Review
        Looks through propagated masks.
    live : LiveVolume
        Follows what was accepted, if that is wanted.
    divisions : Divisions
        Cells that fell in two in a run through time.
    tracks : TracksLayer
        The paths of the objects as a layer.
    lesions : Lesions
        Follows lesions from their key slices.
    precomputing : Precomputing
        Encodes stacks in the background.
    """

    def __init__(
        self,
        viewer: Any,
        clicking: Clicking,
        inference: InferenceThread,
        on_change: Callable[[], None],
        on_found: Callable[[Workspace, PlaneFrame, Sequence[int]], None],
    ) -> None:
        self._clicking = clicking
        self._tell = on_change
        self._to_resume: Session | None = None
        self.review = Review(viewer, clicking)
        self.runs = Runs(clicking, inference, self._run_told, self.review.note, on_found)
        self.divisions = Divisions(viewer, clicking, inference, self.runs, on_change)
        self.tracks = TracksLayer(viewer, clicking, inference, on_change)
        self.live = LiveVolume(self.runs, lambda: self.review.axis)
        clicking.accepted.connect(self.live.accepted)
        self.lesions = Lesions(clicking, inference, self.runs, on_change)
        self.precomputing = Precomputing(inference, on_change)

    @property
    def can_precompute(self) -> bool:
        """Whether there is an image and a model to encode it with."""
        return self._clicking.work is not None and self._clicking.running.model is not None

    def stack_axes(self) -> list[StackAxis]:
        """Return the axes that can be propagated along: those with a slider."""
        work = self._clicking.work
        try:
            frame = None if work is None else work.frame()
        except ImageError:
            frame = None
        if work is None or frame is None:
            return []
        names = work.image.axis_labels
        hidden = zip(frame.order[:-2], frame.hidden_shape, strict=True)
        return [StackAxis(axis, str(names[axis]), length) for axis, length in hidden if length > 1]

    def review_along(self, axis: int | None) -> None:
        """Look through the planes along a data axis of the image from now on."""
        if self.review.axis != axis:
            self.review.axis = axis
            self._tell()

    def show_reviewed(self, object_id: int, position: int) -> None:
        """Show an object on a plane of the axis that is reviewed."""
        with reporting():
            self.review.show(object_id, position)
        self._tell()

    def go_to_mark(self, mark: LaneMark, step: int) -> None:
        """Show the next plane in a direction on which an object has a mark."""
        with reporting():
            self.review.go(mark, step)
        self._tell()

    def toggle_reviewed(self) -> None:
        """Lock the masks of the plane that is shown, or unlock them."""
        self.change(self.review.toggle_reviewed)

    def follow_live(self, on: bool) -> None:
        """Say whether accepted masks are followed through the stack at once."""
        self.live.on = on

    def outlook(self, where: StackRange | None) -> Outlook:
        """Say what a run over these planes will take."""
        work = self._clicking.work
        if work is None or where is None:
            return Outlook()
        try:
            return self.runs.outlook(work, where)
        except ImageError:  # the status line says it
            return Outlook()

    def use_fast_memory(self, on: bool) -> None:
        """Say whether runs read fewer memories of each object."""
        self.runs.memory = "fast" if on else "full"

    def stop_at_ends(self, on: bool) -> None:
        """Say whether runs stop looking for an object where it ends."""
        self.runs.ends = on
        self._tell()

    def repair(self) -> None:
        """Follow the running object anew from the plane that is shown, where it was corrected."""
        work, axis = self._clicking.work, self.review.axis
        if work is not None and axis is not None:
            with reporting():
                self._clicking.keep_fresh()
                object_id = self.review.object_to_repair()
                if object_id is not None:
                    self.runs.repair(work, object_id, work.frame(), axis)
            self._tell()

    def propagate(self, where: StackRange, *, anew: bool = False) -> None:
        """Follow all objects that are marked in the stack; see ``Runs.propagate``."""
        if self._clicking.work is not None:
            with reporting():
                self.runs.propagate(self._clicking.work, where, anew=anew)
            self._tell()

    def propagate_anew(self, where: StackRange) -> None:
        """Follow them from the planes they are marked on, also where a run could go on."""
        self.propagate(where, anew=True)

    def continuation(self, where: StackRange | None) -> Continuation | None:
        """Return the unfinished run that ``propagate`` would go on with; None if it would begin."""
        work = self._clicking.work
        if work is None or where is None:
            return None
        try:
            return self.runs.continuation(work, where)
        except ImageError:  # the status line says it
            return None

    def take_run_to_resume(self) -> Run | None:
        """Return, once, the unfinished run of the session that was opened."""
        work, wanted = self._clicking.work, self._to_resume
        if work is None or wanted is not work.session:
            return None
        self._to_resume = None
        return None if work.unfinished_run() is None else last_run(work.session.journal)

    def opened(self, work: Workspace) -> None:
        """Take note of a session that was just opened."""
        self._to_resume = work.session

    @property
    def cannot_follow_volumes(self) -> str:
        """Say why objects cannot be followed through z and t now; empty when they can."""
        if self.runs.busy:
            return "Something runs already; wait for its end, or cancel it."
        return reason_not_to_follow_volumes(self._clicking.running.model, self._clicking.work)

    def volume_axes(self) -> tuple[StackAxis, StackAxis] | None:
        """Return the sliders time and z that can be followed together; None if there are none."""
        work = self._clicking.work
        try:
            return None if work is None else volume_axes(work.image.axis_labels, work.frame())
        except ImageError:  # the status line says it
            return None

    def follow_volumes(self, where: VolumeRange | None = None) -> None:
        """Follow all marked objects through z in every time point, with one id through time."""
        work = self._clicking.work
        if work is not None:
            with reporting():
                self.runs.begin(work, partial(VolumeRun, where, work, work.frame()))
            self._tell()

    def precompute(self, where: StackRange) -> None:
        """Encode the planes of a stack in the background."""
        work, running = self._clicking.work, self._clicking.running
        if work is None or running.model is None:
            return
        with reporting():
            frame = work.frame()
            self.precomputing.start(work, frame, where, running.model, running.store)
        self._tell()

    def cancel(self) -> None:
        """End what is under way, and begin with nothing that waits for its end."""
        self.live.forget()
        self.runs.cancel()

    def change(self, change: Callable[[], Any]) -> None:
        """Change what was kept, unless something is writing."""
        if not self.runs.busy:
            with reporting():
                change()
                self.runs.last = None  # it may be what was taken back
            self._tell()

    def leave(self) -> None:
        """Work on no image any more."""
        self.divisions.forget()
        self.cancel()
        self.runs.last = None

    def close(self) -> None:
        """Let nothing be written any more."""
        self.live.forget()
        self.runs.abandon()

    def _run_told(self) -> None:
        """Begin with what waits for the end of a run, and tell."""
        self.live.go_on()
        if not self.runs.busy:
            self.divisions.follow(self.runs.last)
            self.lesions.follow(self.runs.last)
        self._tell()
