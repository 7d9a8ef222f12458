"""Lesions from their key slices: which one comes next, its run, and what it measures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_anysam._napari.inference import Priority
from napari_anysam._napari.lesion_run import LesionRun
from napari_anysam._napari.object_measures import measuring
from napari_anysam._napari.outlook import Outlook
from napari_anysam._napari.propagation import reason_not_to_propagate
from napari_anysam._napari.reporting import report, reporting
from napari_anysam._napari.stack_prompts import positions_in_stack
from napari_anysam.errors import ImageError
from napari_anysam.images.presets import CT_WINDOWS

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam._napari.clicking import Clicking
    from napari_anysam._napari.inference import InferenceThread
    from napari_anysam._napari.propagation import Propagation, StackRange
    from napari_anysam._napari.runs import Runs
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.export.measures import Measures
    from napari_anysam.segmentation.session import PromptKey

__all__ = ["LesionView", "Lesions"]

_DRAW = (
    "Go to the slice where the lesion is largest. Draw its longest diameter, or a box around it."
)


@dataclass(frozen=True, slots=True)
class LesionView:
    """What the dock shows about the lesion that comes next.

    Parameters
    ----------
    words : str
        What to do now.
    refused : str
        Why no lesion can be followed now; empty when one can.
    contrast : (low, high) or None
        What is shown black and white; None where there is no contrast.
    window : str
        Name of the CT window that this is; empty if it is none.
    """

    words: str = _DRAW
    refused: str = "Choose an image first."
    contrast: tuple[float, float] | None = None
    window: str = ""


class Lesions:
    """Follows a lesion from the box or diameter that was drawn on its key slice.

    Parameters
    ----------
    clicking : Clicking
        Whose image, model and prompts it is about.
    inference : InferenceThread
        Measures what was found.
    runs : Runs
    on_change : callable
        Called when the dock has something else to show.

    Attributes
    ----------
    measured : psygnal signal ((Session, int), dict of int to Measures)
        A lesion was measured, at a revision of the session.
    """

    measured = Signal(object, object)

    def __init__(
        self,
        clicking: Clicking,
        inference: InferenceThread,
        runs: Runs,
        on_change: Callable[[], None],
    ) -> None:
        self._clicking = clicking
        self._inference = inference
        self._runs = runs
        self._on_change = on_change
        self._ended: Propagation | None = None
        self._found = ""
        self._moment: tuple[Any, int] = (None, 0)
        self._window = ""

    @property
    def found(self) -> str:
        """Say what was found, as long as nothing was done since; empty if there is nothing."""
        work = self._clicking.work
        now = (None, 0) if work is None else (work.session, work.session.revision)
        return self._found if now == self._moment and not self._runs.busy else ""

    def view(self, axis: int | None) -> LesionView:
        """Return what the dock shows, where lesions are followed along this data axis."""
        work = self._clicking.work
        if work is None:
            return LesionView()
        contrast = None
        if not work.image.rgb:
            low, high = (float(value) for value in work.image.contrast_limits)
            contrast = low, high
        words, refused = self._words(work, axis)
        return LesionView(words, refused, contrast, self._window_of(contrast))

    def outlook(self, where: StackRange) -> Outlook:
        """Say what following the next lesion will take."""
        work = self._clicking.work
        try:
            key = None if work is None else self._next_key(work, where.axis)
            if work is None or key is None:
                return Outlook()
            return self._runs.outlook(work, where, (key,))
        except ImageError:  # the status line says it
            return Outlook()

    def note_window(self, name: str) -> None:
        """Remember which of several CT windows with the same limits was chosen."""
        self._window = name

    def segment(self, where: StackRange) -> None:
        """Follow the next lesion through these planes."""
        work = self._clicking.work
        if work is None:
            return
        with reporting():
            key = self._next_key(work, where.axis)
            if key is not None and not self._runs.busy:
                if self._clicking.running.key == key:
                    self._clicking.running.drop()  # the run gives this plane its mask
                frame = work.frame()
                self._runs.begin(work, partial(LesionRun, key, work, frame, where))
        self._on_change()

    def follow(self, ended: Propagation | None) -> None:
        """Measure a lesion whose run has just ended, and let the next prompt be another one."""
        if ended is self._ended:
            return
        self._ended = ended
        work = self._clicking.work
        if work is None or not isinstance(ended, LesionRun) or ended.work is not work:
            return
        self._clicking.begin_object(max(work.next_object_id(), ended.object_id + 1))
        self._moment = (work.session, work.session.revision)
        kept = work.session.kept.items()
        voxels = sum(mask.window.area for key, mask in kept if key[0] == ended.object_id)
        self._found = f"Lesion {ended.object_id}: {voxels} voxels."
        if voxels:
            self._measure(work, ended.object_id)
        else:
            self._found = "No lesion was found. Draw its diameter or a box again."

    def _measure(self, work: Workspace, object_id: int) -> None:
        try:
            measure = measuring(work, [object_id])
        except ImageError:
            self._found += " For mL, set the layer's scale and units."
            return
        self._inference.ask(
            lambda _cancelled: measure(),
            partial(self._tell, self._moment),
            report,
            priority=Priority.LOAD,
        )

    def _tell(self, moment: tuple[Any, int], found: dict[int, Measures]) -> None:
        if moment == self._moment:
            for object_id, measures in found.items():
                self._found = _in_words(object_id, measures)
        self.measured.emit(moment, found)
        self._on_change()

    def _words(self, work: Workspace, axis: int | None) -> tuple[str, str]:
        """Return what to do now, and why no lesion can be followed."""
        if axis is None:
            return _DRAW, "This image has one plane only."
        try:
            frame = work.frame()
            key = self._next_key(work, axis)
        except ImageError as error:
            return str(error), str(error)
        if key is None:
            return _DRAW, _DRAW
        if any(other[0] == key[0] and other[1] != key[1] for other in work.session.kept):
            words = f"Lesion {key[0]} is done. Draw the next one, or segment this one again."
        else:
            position = positions_in_stack([key], frame, axis)[key]
            words = f"Lesion {key[0]} is marked on slice {position}: press Segment lesion."
        return words, reason_not_to_propagate(self._clicking.running.model, work, frame)

    def _next_key(self, work: Workspace, axis: int) -> PromptKey | None:
        """Return the box that is followed next, in the stack that is shown.

        That of the running object on this plane, else on the one plane where it has a box, else the
        newest one on this plane, such as that of a mask that was just accepted.
        """
        frame, prompts = work.frame(), work.session.prompts
        if not frame.index:
            return None
        boxed = [key for key, prompt in prompts.items() if prompt.box is not None]
        boxed = list(positions_in_stack(boxed, frame, axis))
        here = (work.object_id, frame.number)
        if here in boxed:
            return here
        own = [key for key in boxed if key[0] == work.object_id]
        if own:
            return own[0] if len(own) == 1 else None
        shown = [key for key in boxed if key[1] == frame.number]
        return shown[-1] if shown else None

    def _window_of(self, contrast: tuple[float, float] | None) -> str:
        names = [window.name for window in CT_WINDOWS if window.limits == contrast]
        return self._window if self._window in names else next(iter(names), "")


def _in_words(object_id: int, measures: Measures) -> str:
    volume = "" if measures.volume_ml is None else f"{measures.volume_ml:.3g} mL, "
    return f"Lesion {object_id}: {volume}longest diameter {measures.longest_diameter_mm:.1f} mm."
