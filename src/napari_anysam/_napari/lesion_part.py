"""What the Stack section shows where a lesion is followed from its key slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_anysam._napari.image_control import MR_WINDOW
from napari_anysam._napari.status import why_not
from napari_anysam._napari.tools import TOOLS
from napari_anysam._napari.user_keys import with_key
from napari_anysam.images.presets import CT_WINDOWS

if TYPE_CHECKING:
    from napari_anysam._napari.lesions import LesionView
    from napari_anysam._napari.status import Status

__all__ = ["LesionPart"]

_TITLES = {"diameter": "Diameter", "box": "Box"}
_WINDOW = (
    "What the model sees black and white: the contrast limits of the image layer. A CT window sets "
    "them, as in Image."
)


class LesionPart(QWidget):  # type: ignore[misc]  # Qt has no types here
    """What to do next, the tools for it, and the CT window.

    Attributes
    ----------
    tool_chosen : Qt signal (str)
        The user wants to draw with a tool of ``TOOLS``.
    window_chosen : Qt signal (str)
        The user chose a CT window by its name, or ``MR_WINDOW``.
    """

    tool_chosen = Signal(str)
    window_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.window_combo = QComboBox()
        self.window_combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.window_combo.setMinimumContentsLength(6)
        self.window_combo.addItem("", "")
        for window in CT_WINDOWS:
            low, high = window.limits
            self.window_combo.addItem(f"CT {window.name} ({low:g} to {high:g} HU)", window.name)
        self.window_combo.addItem("MR: 0.5 to 99.5 % of what is not zero", MR_WINDOW)
        self.window_combo.activated.connect(self._on_window)
        self._tools = {tool.name: tool for tool in TOOLS if tool.name in _TITLES}
        self.buttons = {name: QPushButton(title) for name, title in _TITLES.items()}
        for name, button in self.buttons.items():
            button.setObjectName(name)
            button.setCheckable(True)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.clicked.connect(self._on_tool)
        self._lay_out()

    def show_view(self, view: LesionView, status: Status) -> None:
        """Show what comes next, which tool is in use, and what is seen black and white."""
        self.words.setText(view.words)
        for name, button in self.buttons.items():
            reason = why_not(name, status)
            button.setEnabled(not reason)
            button.setChecked(status.drawing == self._tools[name].drawing)
            button.setToolTip(with_key(reason or self._tools[name].tooltip, name))
        combo = self.window_combo
        combo.setEnabled(view.contrast is not None)
        combo.setToolTip(_WINDOW if view.contrast is not None else "There is no contrast window.")
        low, high = view.contrast or (0.0, 0.0)
        with QSignalBlocker(combo):
            combo.setItemText(0, f"{low:g} to {high:g}" if view.contrast else "colours")
            combo.setCurrentIndex(max(0, combo.findData(view.window)))

    def _on_tool(self) -> None:
        self.tool_chosen.emit(self.sender().objectName())

    def _on_window(self, index: int) -> None:
        name = self.window_combo.itemData(index)
        if name:
            self.window_chosen.emit(name)

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        for button in self.buttons.values():
            buttons.addWidget(button)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Window", self.window_combo)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.words)
        layout.addLayout(buttons)
        layout.addLayout(form)
