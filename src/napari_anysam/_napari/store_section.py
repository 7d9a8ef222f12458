"""The part of the dock that asks where labels are kept which are too large for the memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_anysam._napari.label_store import suggested_store
from napari_anysam._napari.user_keys import with_key

if TYPE_CHECKING:
    from napari_anysam._napari.workspace import Workspace

__all__ = ["StoreSection"]


class StoreSection(QWidget):  # type: ignore[misc]  # Qt has no types here
    """Two buttons, shown for huge images only; the first time, the question comes by itself."""

    chosen = Signal(object)
    brush = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.store_button = QPushButton("Label store...")
        self.brush_button = QPushButton("Brush window")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.store_button)
        layout.addWidget(self.brush_button)
        self.dialog: QFileDialog | None = None
        self._image: Any = None
        self._asked: set[str] = set()
        self.store_button.clicked.connect(self.ask)
        self.brush_button.clicked.connect(self.brush)
        self.hide()

    def show_work(self, work: Workspace | None) -> None:
        """Show what an image needs; ask once if its labels have no place yet."""
        self._image = None if work is None else work.image
        needs, has = (False, False) if work is None else (work.needs_store, work.has_store)
        self.setVisible(needs or has)
        self.store_button.setVisible(needs)
        words = "These labels are too large for the memory: choose a folder to keep them in."
        self.store_button.setToolTip(with_key(words, "store"))
        words = "Paint where you look; strokes are written at once."
        self.brush_button.setToolTip(with_key(words, "brush"))
        self.brush_button.setVisible(has)
        if needs and str(self._image.unique_id) not in self._asked and self.isVisible():
            self.ask()

    def ask(self) -> None:
        """Ask for a folder; the window goes on meanwhile."""
        if self._image is None or self.dialog is not None:
            return
        self._asked.add(str(self._image.unique_id))
        suggested = suggested_store(self._image)
        dialog = QFileDialog(self, f"Where to keep the labels of {self._image.name}")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setOption(QFileDialog.Option.DontConfirmOverwrite)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setDirectory(str(suggested.parent))
        dialog.selectFile(suggested.name)
        dialog.fileSelected.connect(self._take)
        dialog.finished.connect(self._forget)
        self.dialog = dialog
        dialog.open()

    def _take(self, path: str) -> None:
        if path:
            self.chosen.emit(Path(path))

    def _forget(self, _result: int) -> None:
        self.dialog = None
