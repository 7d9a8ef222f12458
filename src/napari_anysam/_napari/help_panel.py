"""The help panel: every action with its key, which can be changed there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QDialog,
    QFrame,
    QGridLayout,
    QKeySequenceEdit,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_anysam._napari.actions import ACTIONS
from napari_anysam._napari.user_keys import POINTS_KEYS, user_keys
from napari_anysam.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtGui import QKeyEvent

    from napari_anysam._napari.actions import Action

__all__ = ["HelpPanel"]

_HOW = (
    "Keys work while the image, its prompts or its labels are the selected layer. To change one, "
    "click its field and press the new key."
)


class HelpPanel(QDialog):  # type: ignore[misc]  # Qt has no types here
    """A window beside napari's; the keys that are changed in it work at once."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("AnySAM: keys")
        self.setModal(False)
        self.fields: dict[str, KeyField] = {}
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.hide()
        self.restore_button = QPushButton("Restore defaults")
        self.restore_button.setToolTip("Give every action the key that it had at first.")
        self.restore_button.setAutoDefault(False)
        how = QLabel(_HOW)
        how.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(how)
        layout.addWidget(self._table(), 1)
        layout.addWidget(self.message)
        layout.addWidget(self.restore_button)
        self.resize(320, 620)
        self.restore_button.clicked.connect(self._restore)
        user_keys().changed.connect(self._show)
        self._show()

    def close_quietly(self) -> None:
        """Let go of the keys, and close."""
        user_keys().changed.disconnect(self._show)
        self.close()

    def _table(self) -> QScrollArea:
        content = QWidget()
        grid = QGridLayout(content)
        grid.setContentsMargins(0, 0, 6, 0)
        grid.setColumnStretch(0, 1)
        group = ""
        for action in ACTIONS:
            if action.group != group:
                group = action.group
                heading = QLabel(group)
                heading.setStyleSheet("font-weight: bold; padding-top: 6px;")
                grid.addWidget(heading, grid.rowCount(), 0, 1, 2)
            self._add_row(grid, action)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(content)
        return area

    def _add_row(self, grid: QGridLayout, action: Action) -> None:
        also = POINTS_KEYS.get(action.name)
        does = f"{action.does} {also} does so too while points are added." if also else action.does
        title = QLabel(action.title)
        field = KeyField(lambda key: self._change(action.name, key))
        field.setToolTip(does)
        title.setToolTip(does)
        title.setBuddy(field)
        self.fields[action.name] = field
        row = grid.rowCount()
        grid.addWidget(title, row, 0)
        grid.addWidget(field, row, 1)

    def _change(self, name: str, key: str) -> None:
        try:
            user_keys().change(name, key)
        except SettingsError as error:
            self._say(str(error))
        else:
            self._say("")
        self._show()

    def _restore(self) -> None:
        try:
            user_keys().restore()
        except SettingsError as error:
            self._say(str(error))
        else:
            self._say("")
        self._show()

    def _say(self, words: str) -> None:
        self.message.setText(words)
        self.message.setVisible(bool(words))

    def _show(self) -> None:
        for name, field in self.fields.items():
            field.show_key(user_keys().keys[name])


class KeyField(QKeySequenceEdit):  # type: ignore[misc]  # Qt has no types here
    """A field that takes the next key that is pressed in it.

    Parameters
    ----------
    on_key : callable
        Called with the key as text.
    """

    def __init__(self, on_key: Callable[[str], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._on_key = on_key
        self._key = ""
        self.setFixedWidth(92)
        # A click chooses it; otherwise turning the wheel over the panel would, too.
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)

    def show_key(self, key: str) -> None:
        """Show a key without taking it for the user's."""
        self._key = key
        with QSignalBlocker(self):
            self.setKeySequence(QKeySequence(key))

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Take a key at once: one key is a whole sequence here."""
        with QSignalBlocker(self):
            self.clear()
            super().keyPressEvent(event)
        sequence = self.keySequence()
        if sequence.count():
            key = sequence.toString(QKeySequence.SequenceFormat.PortableText).split(", ")[0]
            self.show_key(self._key)
            self._on_key(key)
