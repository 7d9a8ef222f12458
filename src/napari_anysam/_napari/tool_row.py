"""The row of tools in the dock: one is in use, and those that a model cannot take say why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QGridLayout, QPushButton, QWidget

from napari_anysam._napari.status import why_not
from napari_anysam._napari.tools import TOOLS
from napari_anysam._napari.user_keys import with_key

if TYPE_CHECKING:
    from napari_anysam._napari.status import Status

__all__ = ["ToolRow"]

_TOOLS = tuple(tool for tool in TOOLS if tool.in_row)
_COLUMNS = 3
"""So that the dock stays usable when it is 250 pixels wide."""


class ToolRow(QWidget):  # type: ignore[misc]  # Qt has no types here
    """Buttons by the names of their tools.

    Attributes
    ----------
    chosen : signal (str)
        The tool that the user wants to use.
    """

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._group = QButtonGroup(self)
        self.buttons: dict[str, QPushButton] = {}
        self._layout = QGridLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        for tool in _TOOLS:
            button = QPushButton(tool.title)
            button.setCheckable(True)
            button.setObjectName(tool.name)
            self._group.addButton(button)
            self.buttons[tool.name] = button
            self.fill_up(button)
        self._group.buttonClicked.connect(self._on_clicked)

    def fill_up(self, button: QPushButton) -> None:
        """Put a button into the next free place."""
        place = self._layout.count()
        self._layout.addWidget(button, place // _COLUMNS, place % _COLUMNS)

    def show_status(self, status: Status) -> None:
        """Show which tool is in use, and which cannot be."""
        self._group.setExclusive(False)
        for tool in _TOOLS:
            button = self.buttons[tool.name]
            reason = why_not(tool.name, status)
            button.setEnabled(not reason)
            button.setToolTip(with_key(reason or tool.tooltip, tool.name))
            button.setChecked(status.drawing == tool.drawing)
        self._group.setExclusive(True)

    def _on_clicked(self, button: QPushButton) -> None:
        self.chosen.emit(button.objectName())
