"""A form that fetches weights from a Hugging Face repository."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_anysam._napari.background import Background
from napari_anysam._napari.delivery import QtDelivery
from napari_anysam._napari.model_rows import progress_words
from napari_anysam.errors import AnySAMError
from napari_anysam.models.hub import download_from_hub
from napari_anysam.settings import read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from napari_anysam.models.download import Progress

__all__ = ["HubPanel"]


class HubPanel(QWidget):  # type: ignore[misc]  # Qt has no types here
    """Asks for a repository's id, fetches its weights, and says how far it is.

    Attributes
    ----------
    fetched : Qt signal (Path)
        The file has arrived in the hub's cache.
    """

    fetched = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._background = Background(self)
        self._deliver = QtDelivery(self)
        self._stop = threading.Event()
        self.repository = QLineEdit()
        self.repository.setPlaceholderText("owner/name")
        self.repository.setToolTip("The id of a repository on huggingface.co.")
        self.file = QLineEdit()
        self.file.setPlaceholderText("only if it holds several")
        self.file.setToolTip("The path of the file of weights in the repository.")
        self.fetch_button = QPushButton("Fetch")
        self.cancel_button = QPushButton("Cancel")
        self.progress = QProgressBar()
        self.progress.setRange(0, 1000)
        self.error = QLabel()
        self.error.setWordWrap(True)
        self.error.setStyleSheet("color: #e0605a")  # readable on napari's dark and light themes
        self._lay_out()
        self._show_fetching(False)
        self.repository.textChanged.connect(self._allow)
        self.repository.returnPressed.connect(self.fetch_button.click)
        self.file.returnPressed.connect(self.fetch_button.click)
        self.fetch_button.clicked.connect(self._fetch)
        self.cancel_button.clicked.connect(self.cancel)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.addRow("Repository", self.repository)
        form.addRow("File", self.file)
        buttons = QHBoxLayout()
        buttons.addWidget(self.fetch_button)
        buttons.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.progress)
        layout.addWidget(self.error)
        layout.addLayout(buttons)

    def cancel(self) -> None:
        """End the download, if there is one; the hub keeps what has arrived."""
        self._stop.set()
        self._background.forget()
        self._show_fetching(False)

    def _allow(self) -> None:
        named = "/" in self.repository.text().strip(" /")
        self.fetch_button.setEnabled(named and not self.progress.isVisibleTo(self))
        self.fetch_button.setToolTip(
            "Download the weights." if named else "Write the repository's id first: owner/name."
        )

    def _show_fetching(self, fetching: bool) -> None:
        self.progress.setVisible(fetching)
        self.cancel_button.setEnabled(fetching)
        self.progress.setValue(0)
        self.progress.setFormat("asking ...")
        self.error.setVisible(bool(self.error.text()))
        self._allow()

    def _fetch(self) -> None:
        repository = self.repository.text().strip(" /")
        file = self.file.text().strip() or None
        self._stop = stop = threading.Event()
        self.destroyed.connect(stop.set)  # no function that holds this widget: see QtDelivery

        def report(progress: Progress) -> None:
            self._deliver(lambda: None if stop.is_set() else self._show_progress(progress))

        def work() -> Path:
            return download_from_hub(
                repository, file, read_settings(), report=report, cancelled=stop.is_set
            )

        self.error.clear()
        self._show_fetching(True)
        self._background.ask(work, self._arrived, self._fail)

    def _show_progress(self, progress: Progress) -> None:
        share = progress.done / progress.total if progress.total else 0.0
        self.progress.setValue(round(1000 * share))
        self.progress.setFormat(progress_words(progress).replace("%", "%%"))

    def _arrived(self, path: Path) -> None:
        self._stop.set()
        self._show_fetching(False)
        self.fetched.emit(path)

    def _fail(self, error: Exception) -> None:
        self._stop.set()
        known = isinstance(error, AnySAMError)
        words = str(error) if known else f"The download failed ({type(error).__name__}: {error})."
        self.error.setText(words)
        self._show_fetching(False)
