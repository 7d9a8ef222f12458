"""The question which of several models an added file is, where its content cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_anysam.models.recognition import distinction

if TYPE_CHECKING:
    from pathlib import Path

    from napari_anysam.models.catalogue import ModelSpec

__all__ = ["VariantQuestion"]


class VariantQuestion(QWidget):  # type: ignore[misc]  # Qt has no types here
    """Names the models that share a file's network and differ in how images are prepared.

    Attributes
    ----------
    answered : Qt signal (Path, str)
        The file, and the name of the model that it is.
    """

    answered = Signal(object, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._path: Path | None = None
        self.question = QLabel()
        self.question.setWordWrap(True)
        self.variant = QComboBox()
        self.variant.setMinimumContentsLength(8)
        self.variant.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.description = QLabel()
        self.description.setWordWrap(True)
        self.use_button = QPushButton("Use it so")
        self.cancel_button = QPushButton("Cancel")
        buttons = QHBoxLayout()
        buttons.addWidget(self.use_button)
        buttons.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.question, self.variant, self.description):
            layout.addWidget(widget)
        layout.addLayout(buttons)
        self.hide()
        self.variant.currentIndexChanged.connect(self._describe)
        self.use_button.clicked.connect(self._answer)
        self.cancel_button.clicked.connect(self.hide)

    def ask(self, path: Path, variants: tuple[ModelSpec, ...]) -> None:
        """Show the question for a file."""
        self._path = path
        self.question.setText(
            f"{path.name} has a network that several models share, and they want their images "
            "prepared differently. Which of them is it, or was it trained from?"
        )
        self.variant.clear()
        for spec in variants:
            self.variant.addItem(spec.title, spec)
        self.show()

    def _describe(self) -> None:
        spec = self.variant.currentData()
        self.description.setText("" if spec is None else distinction(spec))

    def _answer(self) -> None:
        self.hide()
        self.answered.emit(self._path, self.variant.currentData().name)
