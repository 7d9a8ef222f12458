"""The sections of a dock below each other: folded away while they have nothing to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_anysam._napari.folds import fold

if TYPE_CHECKING:
    from superqt import QCollapsible

__all__ = ["FoldArea"]

_LEAST_HEIGHT = 120
"""Pixels that are left for the sections in a low window: a few of their titles."""


class FoldArea(QScrollArea):  # type: ignore[misc]  # Qt has no types here
    """Sections that can be folded away, to be scrolled where the window is low."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        content = QWidget()
        self._rows = QVBoxLayout(content)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(0)
        self._rows.addStretch(1)
        self._filled: set[QCollapsible] = set()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(_LEAST_HEIGHT)
        self.setWidget(content)

    def add(self, title: str, *sections: QWidget) -> QCollapsible:
        """Add widgets below a title, folded away."""
        folded = fold(title, *sections)
        self._rows.insertWidget(self._rows.count() - 1, folded)
        return folded

    def fill(self, section: QCollapsible, filled: bool) -> None:
        """Unfold a section that has something to show now, or fold it away when that is gone."""
        if filled is (section in self._filled):
            return
        if filled:
            self._filled.add(section)
            section.expand(animate=False)
        else:
            self._filled.remove(section)
            section.collapse(animate=False)

    def bring_up(self, section: QCollapsible) -> None:
        """Scroll until a section is seen, as far as it fits."""
        self._rows.activate()
        self.ensureWidgetVisible(section, 0, 0)
