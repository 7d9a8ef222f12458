"""The part of the dock where propagated masks are looked through and corrected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_anysam._napari.review_strip import LaneArea, ReviewStrip
from napari_anysam._napari.user_keys import in_words, with_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam._napari.object_looks import Colour
    from napari_anysam._napari.review import ReviewState

__all__ = ["ReviewSection"]

_NOTHING = "Nothing to review yet: propagate an object first."
_BEFORE = "Show the {} plane before."
_NEXT = "Show the next {} plane."
_REPAIR = (
    "Follow this object anew from this plane, to the nearest reviewed or prompted plane "
    "on each side."
)


class ReviewSection(QWidget):  # type: ignore[misc]  # Qt has no types here
    """The strip, and the buttons to go from doubt to doubt.

    Attributes
    ----------
    jumped : Qt signal (int, int)
        The user wants to see this object on this plane.
    doubtful, prompted : Qt signals (int)
        The user wants the next (1) or previous (-1) doubtful or prompted plane.
    reviewed, repair : Qt signals ()
        This plane is right, or to be corrected from here.
    """

    jumped = Signal(int, int)
    doubtful = Signal(int)
    prompted = Signal(int)
    reviewed = Signal()
    repair = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown_object = 0
        self.strip = ReviewStrip()
        self.area = LaneArea(self.strip)
        self.summary = QLabel(_NOTHING)
        self.summary.setWordWrap(True)
        self.previous_button = QPushButton()
        self.next_button = QPushButton()
        self.previous_prompt_button = QPushButton("< prompt")
        self.next_prompt_button = QPushButton("prompt >")
        self.reviewed_button = QPushButton("Reviewed")
        self.repair_button = QPushButton("Repair from here")
        buttons = QGridLayout()
        placed = (
            (self.previous_button, self.next_button),
            (self.previous_prompt_button, self.next_prompt_button),
            (self.reviewed_button, self.repair_button),
        )
        for row, pair in enumerate(placed):
            for column, button in enumerate(pair):
                button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
                buttons.addWidget(button, row, column)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.area)
        layout.addWidget(self.summary)
        layout.addLayout(buttons)
        self.strip.jumped.connect(self.jumped)
        self.previous_button.clicked.connect(lambda: self.doubtful.emit(-1))
        self.next_button.clicked.connect(lambda: self.doubtful.emit(1))
        self.previous_prompt_button.clicked.connect(lambda: self.prompted.emit(-1))
        self.next_prompt_button.clicked.connect(lambda: self.prompted.emit(1))
        self.reviewed_button.clicked.connect(self.reviewed)
        self.repair_button.clicked.connect(self.repair)

    def show_review(self, state: ReviewState, colour_of: Callable[[int], Colour]) -> None:
        """Show what is known of the objects along the axis, and what can be done."""
        lanes = state.lanes
        self.area.setVisible(bool(lanes is not None and lanes.object_ids))
        self.strip.show_lanes(lanes, state.position, state.object_id, colour_of)
        self.area.fit()
        if state.object_id != self._shown_object:
            self._shown_object = state.object_id
            self.area.show_object(state.object_id)
        self.summary.setText(state.in_words or _NOTHING)
        right = (
            "Let propagations change the masks of this plane again."
            if state.is_reviewed
            else "The masks of this plane are right: propagations leave them as they are."
        )
        no_doubt, no_prompt = state.no_doubt, state.no_prompt
        for button, reason, what, action in (
            (self.previous_button, no_doubt[0], _BEFORE.format("doubtful"), "doubtful_before"),
            (self.next_button, no_doubt[1], _NEXT.format("doubtful"), "doubtful_next"),
            (
                self.previous_prompt_button,
                no_prompt[0],
                _BEFORE.format("prompted"),
                "prompt_before",
            ),
            (self.next_prompt_button, no_prompt[1], _NEXT.format("prompted"), "prompt_next"),
            (self.reviewed_button, state.no_review, right, "reviewed"),
            (self.repair_button, state.no_repair, _REPAIR, "repair"),
        ):
            button.setEnabled(not reason)
            button.setToolTip(with_key(reason or what, action))
        self.previous_button.setText(f"< doubtful ({in_words('doubtful_before')})")
        self.next_button.setText(f"doubtful ({in_words('doubtful_next')}) >")
        self.reviewed_button.setText("Not reviewed" if state.is_reviewed else "Reviewed")
