"""The rows of the dock that walk through what a search for everything has found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_anysam._napari.user_keys import with_key

if TYPE_CHECKING:
    from napari_anysam._napari.found import FoundObjects, FoundState

__all__ = ["FoundRow"]


class FoundRow(QWidget):  # type: ignore[misc]  # Qt has no types here
    """Back, keep, drop, done; and drop all below a score or an area. There while any are found.

    Parameters
    ----------
    found : FoundObjects
        What the buttons act on.
    """

    def __init__(self, found: FoundObjects, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._found = found
        self.words = QElidingLabel()
        self.previous_button = QPushButton("<")
        self.keep_button = QPushButton("Keep >")
        self.drop_button = QPushButton("Drop")
        self.done_button = QPushButton("Done")
        self.least_score = QDoubleSpinBox()
        self.least_score.setRange(0, 1)
        self.least_score.setSingleStep(0.05)
        self.least_score.setToolTip("Objects of a lower predicted score are dropped together.")
        self.least_area = QSpinBox()
        self.least_area.setRange(0, 10**9)
        self.least_area.setSuffix(" px")
        self.least_area.setToolTip("Objects of fewer pixels are dropped together.")
        self.below_button = QPushButton("Drop below")
        self._lay_out()
        self.previous_button.clicked.connect(found.go_back)
        self.keep_button.clicked.connect(found.keep)
        self.drop_button.clicked.connect(found.drop)
        self.done_button.clicked.connect(found.end)
        self.below_button.clicked.connect(self._drop_below)
        self.least_score.valueChanged.connect(self._count)
        self.least_area.valueChanged.connect(self._count)
        self.hide()

    def render_state(self) -> None:
        """Show which object is looked at."""
        state = self._found.state
        self.setVisible(state.count > 0)
        self.words.setText(_in_words(state))
        self.previous_button.setEnabled(state.place > 1)
        self.previous_button.setToolTip(with_key("Look at the object before.", "found_previous"))
        self.keep_button.setText("Keep >" if state.place else "Look >")
        words = "Keep this object and look at the next." if state.place else "Look at the first."
        self.keep_button.setToolTip(with_key(words, "found_keep"))
        self.drop_button.setEnabled(state.place > 0)
        words = "Delete this object and look at the next; undo brings it back."
        self.drop_button.setToolTip(
            with_key(words if state.place else "Look at an object first.", "found_drop")
        )
        self.done_button.setToolTip("Keep all that are left.")
        self._count()

    def _count(self, _value: object = None) -> None:
        count = len(self._found.below(self.least_score.value(), self.least_area.value()))
        self.below_button.setText(f"Drop {count}" if count else "Drop below")
        self.below_button.setEnabled(count > 0)
        self.below_button.setToolTip(
            "Delete all objects below this score or area, as one step to undo."
            if count
            else "No object has a lower score or fewer pixels than this."
        )

    def _drop_below(self) -> None:
        self._found.drop_below(self.least_score.value(), self.least_area.value())

    def _lay_out(self) -> None:
        walk = QGridLayout()
        for place, button in enumerate(
            (self.previous_button, self.keep_button, self.drop_button, self.done_button)
        ):
            walk.addWidget(button, place // 2, place % 2)
        below = QFormLayout()
        below.setContentsMargins(0, 0, 0, 0)
        below.addRow("Least score", self.least_score)
        below.addRow("Least area", self.least_area)
        below.addRow(self.below_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.words)
        layout.addLayout(walk)
        layout.addLayout(below)


def _in_words(state: FoundState) -> str:
    if not state.place:
        return f"{state.count} found. All are kept unless dropped."
    score = "" if state.score is None else f", score {state.score:.2f}"
    return f"{state.place} of {state.count}{score}, {state.area} px"
