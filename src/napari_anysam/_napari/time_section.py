"""The part of the dock for time: cells that divide, and tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QListWidget, QPushButton, QVBoxLayout, QWidget

from napari_anysam._napari.volume_range import VolumeRangeForm

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam._napari.controller import SegmentController
    from napari_anysam.segmentation.seen_divisions import SeenDivision

__all__ = ["TimeSection"]

_ROWS = 4
"""Divisions that are seen without scrolling."""

_CHOOSE = "Choose a division in the list first."


class TimeSection(QWidget):  # type: ignore[misc]  # Qt has no types here
    """The divisions that were found, what can be done with each, and a button for tracks.

    Parameters
    ----------
    control : SegmentController
        Whose ``divisions`` and ``tracks`` the buttons act on.
    """

    def __init__(self, control: SegmentController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._control = control
        self._offered: tuple[SeenDivision, ...] = ()
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.list = QListWidget()
        self.list.setToolTip("Objects that fall in two, and the time point at which they do.")
        self.list.setMaximumHeight((_ROWS + 1) * self.list.fontMetrics().lineSpacing())
        self.look_button = QPushButton("Find divisions")
        self.show_button = QPushButton("Show")
        self.accept_button = QPushButton("Accept")
        self.dismiss_button = QPushButton("Dismiss")
        self.tracks_button = QPushButton("Tracks layer")
        self.volumes_button = QPushButton("Follow through z and t")
        self.range = VolumeRangeForm()
        self._lay_out()
        self.list.currentRowChanged.connect(self._render_buttons)
        self.list.itemActivated.connect(self._show_chosen)
        self.look_button.clicked.connect(self._look)
        self.show_button.clicked.connect(self._show_chosen)
        self.accept_button.clicked.connect(self._accept_chosen)
        self.dismiss_button.clicked.connect(self._dismiss_chosen)
        self.tracks_button.clicked.connect(self._show_tracks)
        self.volumes_button.clicked.connect(self._follow_volumes)

    def render_state(self) -> None:
        """Show the divisions on offer, and what can be done."""
        state = self._control.stacks.divisions.state
        self.words.setText(state.in_words)
        if state.offered != self._offered:
            row = max(0, self.list.currentRow())
            self._offered = state.offered
            with QSignalBlocker(self.list):
                self.list.clear()
                self.list.addItems(
                    [f"object {one.parent}, time {one.time}" for one in state.offered]
                )
                self.list.setCurrentRow(min(row, len(state.offered) - 1))
        self.list.setVisible(bool(state.offered))
        self.range.show_axes(self._control.stacks.volume_axes())
        self._render_buttons()

    def _render_buttons(self, _row: int = 0) -> None:
        state = self._control.stacks.divisions.state
        none = "" if self._chosen() is not None else _CHOOSE
        accept = (
            "Give the daughters ids of their own, and follow each from there on; undo takes it back"
        )
        for button, reason, what in (
            (
                self.look_button,
                state.no_look,
                "Look for objects that fall in two, as is done after every run along time",
            ),
            (self.show_button, none, "Show the time point at which it falls in two"),
            (self.accept_button, none or state.no_accept, accept),
            (
                self.dismiss_button,
                none,
                "This is no division: offer it no more; undo takes it back",
            ),
            (
                self.tracks_button,
                self._control.stacks.tracks.why_not,
                "Show the paths of the objects, with mothers and daughters, as a layer; "
                "again to bring it up to date",
            ),
            (
                self.volumes_button,
                self._control.stacks.cannot_follow_volumes,
                "Follow every marked object through its volume, on that plane through time, and "
                "through every other volume from there, with one id",
            ),
        ):
            button.setEnabled(not reason)
            button.setToolTip(reason or f"{what}.")

    def _chosen(self) -> SeenDivision | None:
        row = self.list.currentRow()
        return self._offered[row] if 0 <= row < len(self._offered) else None

    def _with_chosen(self, act: Callable[[SeenDivision], None]) -> None:
        chosen = self._chosen()
        if chosen is not None:
            act(chosen)

    def _look(self) -> None:
        self._control.stacks.divisions.look()

    def _show_chosen(self) -> None:
        self._with_chosen(self._control.stacks.divisions.show)

    def _accept_chosen(self) -> None:
        self._with_chosen(self._control.stacks.divisions.accept)

    def _dismiss_chosen(self) -> None:
        self._with_chosen(self._control.stacks.divisions.dismiss)

    def _show_tracks(self) -> None:
        self._control.stacks.tracks.show()

    def _follow_volumes(self) -> None:
        self._control.stacks.follow_volumes(self.range.chosen())

    def _lay_out(self) -> None:
        buttons = QGridLayout()
        placed = (
            (self.look_button, self.show_button),
            (self.accept_button, self.dismiss_button),
        )
        for row, pair in enumerate(placed):
            for column, button in enumerate(pair):
                buttons.addWidget(button, row, column)
        buttons.addWidget(self.tracks_button, len(placed), 0, 1, 2)
        buttons.addWidget(self.range, len(placed) + 1, 0, 1, 2)
        buttons.addWidget(self.volumes_button, len(placed) + 2, 0, 1, 2)
        for button in self.findChildren(QPushButton):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.words)
        layout.addWidget(self.list)
        layout.addLayout(buttons)
