"""The buttons that bring a model's file to this computer and take it away again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QGridLayout, QMessageBox, QProgressBar, QPushButton, QWidget

from napari_anysam._napari.background import Background
from napari_anysam._napari.model_rows import progress_words
from napari_anysam.errors import AnySAMError

if TYPE_CHECKING:
    from napari_anysam._napari.downloads import Downloads
    from napari_anysam._napari.model_rows import ModelRow
    from napari_anysam.models.catalogue import ModelSpec
    from napari_anysam.models.store import ModelStore

__all__ = ["ModelTransfers"]


class ModelTransfers(QWidget):  # type: ignore[misc]  # Qt has no types here
    """Download, pause, continue, discard and delete the selected model; open the folder.

    Parameters
    ----------
    store : ModelStore
        Where models lie.
    downloads : Downloads
        Those of the process.

    Attributes
    ----------
    deleted : Qt signal (str)
        A deletion has ended; why it failed, or empty.
    """

    deleted = Signal(str)

    def __init__(self, store: ModelStore, downloads: Downloads) -> None:
        super().__init__()
        self._background = Background(self)
        self._store, self._downloads = store, downloads
        self._row: ModelRow | None = None
        self.download_button = QPushButton("Download")
        self.delete_button = QPushButton("Delete")
        self.folder_button = QPushButton("Open folder")  # the manager finds its place
        self.folder_button.setToolTip(f"Show {store.models_folder}, where models lie.")
        self.progress = QProgressBar()  # the table's status is cut off in a narrow dock
        self.progress.setRange(0, 1000)
        self.progress.hide()
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.download_button, 0, 0)
        layout.addWidget(self.delete_button, 0, 1)
        layout.addWidget(self.progress, 1, 0, 1, 2)
        self.download_button.clicked.connect(self._download_or_pause)
        self.delete_button.clicked.connect(self._delete)
        self.folder_button.clicked.connect(self._open_folder)

    def show_row(self, row: ModelRow | None) -> None:
        """Let the buttons do what can be done with this row's file; None if none is selected."""
        self._row = row
        spec = None if row is None else row.spec
        state = None if spec is None else self._downloads.state(spec.name)
        running = state is not None and state.running
        self.show_progress()
        wanted = row is not None and spec is not None and not row.available
        self.download_button.setEnabled(running or (wanted and bool(spec and spec.urls)))
        words = "Pause" if running else "Continue" if row and row.unfinished else "Download"
        self.download_button.setText(words)
        self.download_button.setToolTip(
            "What has arrived stays."
            if running
            else "Fetch the selected model."
            if self.download_button.isEnabled()
            else "Select a model that is not on this computer and has an address."
        )
        discardable = row is not None and (running or row.unfinished)
        self.delete_button.setText("Discard" if discardable else "Delete")
        self.delete_button.setEnabled(discardable or (row is not None and row.deletable))
        self.delete_button.setToolTip(
            "Delete what has arrived."
            if discardable
            else "Delete the selected model's file from this computer."
            if self.delete_button.isEnabled()
            else "Select a model that was downloaded."
        )

    def show_progress(self) -> None:
        """Show how far the selected model's download is, while there is one."""
        spec = None if self._row is None else self._row.spec
        state = None if spec is None else self._downloads.state(spec.name)
        running = state is not None and state.running
        self.progress.setVisible(running)
        if state is None or not running:
            return
        told = state.progress
        share = told.done / told.total if told is not None and told.total else 0.0
        self.progress.setValue(round(1000 * share))
        self.progress.setFormat(progress_words(told).replace("%", "%%"))

    def _download_or_pause(self) -> None:
        row = self._row
        if row is None or row.spec is None:
            return
        state = self._downloads.state(row.spec.name)
        if state is not None and state.running:
            self._downloads.pause(row.spec.name)
        elif row.spec.restricted:
            self._ask_licence(row.spec)
        else:
            self._downloads.start(row.spec)

    def _ask_licence(self, spec: ModelSpec) -> None:
        """Ask before the download of a model whose licence limits its use."""
        box = QMessageBox(self)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("Licence")
        box.setText(f"{spec.title} comes under: {spec.licence}.")
        box.setInformativeText("This licence limits its use. Do you agree to it?")
        box.setStandardButtons(QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No)
        box.setDefaultButton(QMessageBox.StandardButton.No)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.button(QMessageBox.StandardButton.Yes).clicked.connect(
            lambda: self._downloads.start(spec)
        )
        box.open()

    def _delete(self) -> None:
        row = self._row
        if row is None or row.spec is None:
            return
        if not row.deletable:
            self._downloads.discard(row.spec)
            return
        spec = row.spec
        self.delete_button.setEnabled(False)
        self._background.ask(lambda: self._store.delete(spec), self._gone, self._kept)

    def _gone(self, _result: object) -> None:
        self.deleted.emit("")

    def _kept(self, error: Exception) -> None:
        known = isinstance(error, AnySAMError)
        self.deleted.emit(str(error) if known else f"The file could not be deleted ({error}).")

    def _open_folder(self) -> None:
        self._store.models_folder.mkdir(parents=True, exist_ok=True)
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._store.models_folder)))
