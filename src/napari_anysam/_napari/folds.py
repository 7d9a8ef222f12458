"""Sections of a dock that can be folded away, one close below the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from superqt import QCollapsible

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

__all__ = ["fold"]


def fold(title: str, *sections: QWidget) -> QCollapsible:
    """Return widgets below a title that shows and hides them; hidden at first."""
    folded = QCollapsible(title, expandedIcon="▼", collapsedIcon="▶")
    # Its own margins leave as much room around a title as the title takes.
    folded.layout().setContentsMargins(0, 2, 0, 2)
    folded.layout().setSpacing(0)
    folded.content().layout().setContentsMargins(0, 6, 0, 6)
    for section in sections:
        folded.addWidget(section)
    return folded
