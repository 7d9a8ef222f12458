"""A combo box of layers that stays narrow however long their names are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QPaintEvent

__all__ = ["LayerCombo"]


class LayerCombo(QComboBox):  # type: ignore[misc]  # Qt has no types here
    """Shows layers by name; the first entry may stand for none.

    Parameters
    ----------
    none_text : str
        What the entry for "no layer" says.
    role : str
        What the layer is for, said in the tooltip.
    """

    chosen = Signal(object)

    def __init__(self, none_text: str, role: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._none_text = none_text
        self._role = role
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(6)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.view().setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.activated.connect(self._on_activated)
        self._layers: list[Any] = []
        self._names: list[str] = []

    def offer(self, layers: Sequence[Any], current: Any) -> None:
        """Show these layers with this one chosen; None is always on offer."""
        names = [layer.name for layer in layers]
        with QSignalBlocker(self):
            if layers != self._layers or names != self._names or not self.count():
                self._layers, self._names = list(layers), names
                self.clear()
                self.addItem(self._none_text)
                for name in names:
                    self.addItem(name)
                    self.setItemData(self.count() - 1, name, Qt.ItemDataRole.ToolTipRole)
            index = self._layers.index(current) + 1 if current in self._layers else 0
            self.setCurrentIndex(index)
        self.setToolTip(f"{self._role}: {names[index - 1]}" if index else f"{self._role}.")

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Cut a long name in its middle, where names of one series differ least."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        field = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox,
            option,
            QStyle.SubControl.SC_ComboBoxEditField,
            self,
        )
        option.currentText = self.fontMetrics().elidedText(
            option.currentText, Qt.TextElideMode.ElideMiddle, field.width() - 4
        )
        painter = QStylePainter(self)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def _on_activated(self, index: int) -> None:
        self.chosen.emit(self._layers[index - 1] if index else None)
