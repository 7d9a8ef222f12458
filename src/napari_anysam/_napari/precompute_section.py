"""The part of the dock that encodes a stack in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget
from superqt import QElidingLabel

from napari_anysam._napari.status import seconds_in_words
from napari_anysam._napari.user_keys import with_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam._napari.controller import SegmentController
    from napari_anysam._napari.precomputing import Precomputing
    from napari_anysam._napari.propagation import StackRange

__all__ = ["PrecomputeSection", "state_in_words"]

_TOOLTIP = (
    "Encode these planes now, in the background and as they look now, so that clicks on them are "
    "answered at once. Clicks go first. What is done stays on disk, also after a cancel."
)


class PrecomputeSection(QWidget):  # type: ignore[misc]  # Qt has no types here
    """Run and cancel; progress with the time left.

    Parameters
    ----------
    controller : SegmentController
    chosen_range : callable
        Returns the StackRange that the user has chosen, or None.
    """

    def __init__(
        self,
        controller: SegmentController,
        chosen_range: Callable[[], StackRange | None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._controller = controller
        self._chosen_range = chosen_range
        self.run_button = QPushButton("Precompute")
        self.cancel_button = QPushButton("Cancel")
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setMaximumHeight(8)
        self.words = QElidingLabel()
        self.run_button.clicked.connect(self._run)
        self.cancel_button.clicked.connect(controller.stacks.precomputing.cancel)
        buttons = QHBoxLayout()
        buttons.addWidget(self.run_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.words)

    def render_state(self) -> None:
        """Show how far a run is, and whether one can begin."""
        state = self._controller.stacks.precomputing
        reason = self._why_not()
        self.run_button.setEnabled(not reason)
        self.run_button.setToolTip(with_key(reason or _TOOLTIP, "precompute"))
        self.cancel_button.setEnabled(state.is_running)
        self.cancel_button.setToolTip(
            "Stop; planes that are done stay on disk."
            if state.is_running
            else "Nothing is being encoded."
        )
        self.progress.setVisible(state.is_running)
        self.words.setVisible(state.progress is not None)
        self.words.setText(state_in_words(state))
        if state.progress is not None:
            self.progress.setRange(0, state.progress.total)
            self.progress.setValue(state.progress.done)

    def _why_not(self) -> str:
        if self._controller.stacks.precomputing.is_running:
            return "Planes are being encoded already."
        if not self._controller.stacks.can_precompute:
            return "Wait until a model is loaded."
        return "" if self._chosen_range() is not None else "This image has one plane only."

    def _run(self) -> None:
        chosen = self._chosen_range()
        if chosen is not None:
            self._controller.stacks.precompute(chosen)


def state_in_words(state: Precomputing) -> str:
    """Return how far a run is, or was when it ended; empty before the first."""
    progress = state.progress
    if progress is None:
        return ""
    left = state.seconds_left
    words = "" if left is None else f", {seconds_in_words(left)} left"
    return f"{progress.done} of {progress.total} planes encoded{words}: {state.title}"
