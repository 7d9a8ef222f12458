"""The Model manager dock: which models there are, which one is active, and where it computes."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QTextOption
from qtpy.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QRadioButton,
    QTableWidget,
    QTableWidgetItem,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from napari_anysam._napari.active_model import Request, active_model
from napari_anysam._napari.downloads import downloads
from napari_anysam._napari.model_rows import COLUMNS, ModelRow, progress_words, resolve_rows
from napari_anysam._napari.model_transfers import ModelTransfers
from napari_anysam.errors import AnySAMError
from napari_anysam.models.catalogue import catalogue
from napari_anysam.models.store import default_store
from napari_anysam.networks.device import DEVICES, PRECISIONS, available_devices

if TYPE_CHECKING:
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_anysam.networks.protocol import PromptableModel

__all__ = ["ModelManagerWidget"]

_FILTER = "Checkpoints (*.pt *.pth *.safetensors *.ckpt *.bin);;All files (*)"
_ABSENT = {
    "cuda": "torch finds no CUDA graphics card on this computer.",
    "mps": "torch finds no Apple graphics on this computer.",
}


class ModelManagerWidget(QWidget):  # type: ignore[misc]  # Qt has no types here
    """Choose the model that segments, or add a checkpoint file.

    The active model belongs to the process, not to a window: every Segment dock uses it.

    Parameters
    ----------
    viewer : napari.Viewer
        napari passes it; the manager needs nothing from it.
    """

    def __init__(self, viewer: Any = None, parent: QWidget | None = None) -> None:  # noqa: ARG002
        super().__init__(parent)
        self._active = active_model()
        self._downloads = downloads()
        self._store = default_store()
        self._rows: tuple[ModelRow, ...] = ()
        self._error = ""
        self._make_widgets()
        self._lay_out()
        self.add_button.clicked.connect(self._choose_file)
        self.forget_button.clicked.connect(self._forget)
        self.transfers.deleted.connect(self._refresh)
        self.filter.textChanged.connect(self._hide_rows)
        self.device.textActivated.connect(self._reload)
        self.precision.textActivated.connect(self._reload)
        self.table.itemSelectionChanged.connect(self._show_details)
        self._radios.idClicked.connect(self._activate)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Catch up with the active model, and follow it while the dock can be seen."""
        super().showEvent(event)
        self._active.loading.connect(self._render_progress, unique=True)
        self._active.loaded.connect(self._on_loaded, unique=True)
        self._active.failed.connect(self._on_failed, unique=True)
        self._downloads.changed.connect(self._on_download, unique=True)
        self._active.ensure()
        self._refresh()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802 - Qt's name
        """Let go of the active model: a closed dock is hidden before it goes."""
        for signal, slot in (
            (self._active.loading, self._render_progress),
            (self._active.loaded, self._on_loaded),
            (self._active.failed, self._on_failed),
            (self._downloads.changed, self._on_download),
        ):
            signal.disconnect(slot, missing_ok=True)
        super().hideEvent(event)

    def _make_widgets(self) -> None:
        self.state = _paragraph()
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Filter: microscopy, boxes, on disk, ...")
        self.filter.setToolTip("Show only models whose row or description holds all these words.")
        self.filter.setClearButtonEnabled(True)
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(list(COLUMNS))
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setShowGrid(False)
        self.table.setMinimumHeight(120)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self._radios = QButtonGroup(self)
        self.details = QTextBrowser()
        self.details.setOpenExternalLinks(True)
        # Qt's own blue cannot be read on a dark theme.
        self.details.document().setDefaultStyleSheet("a { color: #3d8bfd }")
        self.details.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.details.setMaximumHeight(8 * self.details.fontMetrics().lineSpacing())
        self.add_button = QPushButton("Add file...")
        self.add_button.setToolTip("Load a checkpoint from this computer and keep it in the list.")
        self.forget_button = QPushButton("Forget")
        self.transfers = ModelTransfers(self._store, self._downloads)
        self.device = _combo(DEVICES)
        self.device.setToolTip("Where the model computes; auto takes a graphics card if it can.")
        self.precision = _combo(PRECISIONS)
        self.precision.setToolTip(
            "auto takes half precision where this computer is faster in it; fp32 is exact."
        )
        self.progress = QProgressBar()
        self.progress.setRange(0, 0)  # moves to and fro: nobody knows how long it takes
        self.progress.setTextVisible(False)
        self.error = _paragraph()
        self.error.setStyleSheet("color: #e0605a")  # readable on napari's dark and light themes

    def _lay_out(self) -> None:
        files = QHBoxLayout()
        files.addWidget(self.add_button)
        files.addWidget(self.forget_button)
        form = QFormLayout()
        form.addRow("Device", self.device)
        form.addRow("Precision", self.precision)
        layout = QVBoxLayout(self)
        layout.addWidget(self.state)
        layout.addWidget(self.progress)
        layout.addWidget(self.error)
        layout.addWidget(self.filter)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.details)
        layout.addWidget(self.transfers)
        layout.addLayout(files)
        layout.addLayout(form)

    def _refresh(self) -> None:
        """Read again what is on disk, and show it with the state of the active model."""
        try:
            self._rows = resolve_rows(self._store)
        except AnySAMError as error:
            self._error = str(error)
        self._fill_table()
        self._render()

    def _fill_table(self) -> None:
        selected = self._selected()
        for button in self._radios.buttons():  # the table deletes them later, not now
            self._radios.removeButton(button)
        with QSignalBlocker(self.table):
            self.table.setRowCount(0)
            self.table.setRowCount(len(self._rows))
            for index, row in enumerate(self._rows):
                self._fill_row(index, row)
        self._hide_rows()
        targets = [row.target for row in self._rows]
        if selected is not None and selected.target in targets:
            self.table.selectRow(targets.index(selected.target))
        self._show_details()

    def _hide_rows(self) -> None:
        """Hide the rows that lack a word of the filter."""
        words = self.filter.text().casefold().split()
        for index, row in enumerate(self._rows):
            self.table.setRowHidden(index, not all(word in row.searched for word in words))

    def _fill_row(self, index: int, row: ModelRow) -> None:
        for column, text in enumerate(row.cells):
            item = QTableWidgetItem("" if column == 0 else text)
            item.setToolTip(row.details)
            self.table.setItem(index, column, item)
        if row.spec is not None:
            self._show_progress(row.spec.name)
        radio = QRadioButton(_shortened(row.title))
        radio.setToolTip(row.details)
        radio.setEnabled(row.available)
        self._radios.addButton(radio, index)
        self.table.setCellWidget(index, 0, radio)

    def _render(self) -> None:
        """Show the state of the active model: its row, its words, its device."""
        self._render_progress(self._active.message)
        request = self._active.requested
        self._check_row()
        if request is not None:
            _select(self.device, request.device)
            _select(self.precision, request.precision)
        if self._active.model is not None:
            self._render_devices()

    def _render_progress(self, words: str) -> None:
        if self._active.busy:
            self._error = ""
        self.error.setText(_breakable(self._error))
        self.error.setVisible(bool(self._error))
        self.progress.setVisible(self._active.busy)
        self.state.setText(words or _state(self._active.model))

    def _render_devices(self) -> None:
        """Grey what this computer lacks; torch, which knows, is imported once a model is there."""
        present = available_devices()
        for index, name in enumerate(DEVICES):
            item = self.device.model().item(index)
            item.setEnabled(name in present)
            item.setToolTip("" if name in present else _ABSENT[name])

    def _check_row(self) -> None:
        row = self._active_row()
        if row is not None:
            index = self._rows.index(row)
            self._radios.button(index).setChecked(True)
            self.table.scrollTo(self.table.model().index(index, 0))
            return
        self._radios.setExclusive(False)
        for button in self._radios.buttons():
            button.setChecked(False)
        self._radios.setExclusive(True)

    def _show_details(self) -> None:
        row = self._selected()
        shown = self._active_row() if row is None else row
        text = "Select a model to read about it." if shown is None else shown.details
        self.details.setHtml(_with_links(text))
        self.transfers.show_row(row)
        can_forget = row is not None and row.added
        self.forget_button.setEnabled(can_forget)
        self.forget_button.setToolTip(
            "Take this file off the list; it stays on disk."
            if can_forget
            else "Select a file that was added; the other models always stay in the list."
        )

    def _on_download(self, name: str) -> None:
        """Show how far a download is; read the disk again where one began or ended."""
        state = self._downloads.state(name)
        if state is not None and state.running and state.progress is not None:
            self._show_progress(name)
            return
        if state is not None and state.error:
            self._error = state.error
        self._refresh()

    def _show_progress(self, name: str) -> None:
        index = next((k for k, row in enumerate(self._rows) if row.target == name), None)
        state = self._downloads.state(name)
        if index is not None and state is not None and state.running:
            self.table.item(index, 1).setText(progress_words(state.progress))
            self.transfers.show_progress()

    def _active_row(self) -> ModelRow | None:
        """Return the row of the model that is active or on its way."""
        request = self._active.requested
        if request is None:
            return None
        return next((row for row in self._rows if _is_of(request, row)), None)

    def _selected(self) -> ModelRow | None:
        indices = [index.row() for index in self.table.selectionModel().selectedRows()]
        return self._rows[indices[0]] if indices and indices[0] < len(self._rows) else None

    def _activate(self, index: int) -> None:
        self.table.selectRow(index)
        self._ask(self._rows[index].target)

    def _reload(self, _text: str) -> None:
        """Take a new device or precision for the model that is active or on its way."""
        request = self._active.requested
        if request is not None:
            self._ask(request.name_or_path)

    def _ask(self, target: str | Path) -> None:
        self._active.request(target, self.device.currentText(), self.precision.currentText())
        self._render()

    def _choose_file(self) -> None:
        dialog = QFileDialog(self, "Add a checkpoint file", "", _FILTER)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self._add_file)
        dialog.open()

    def _add_file(self, path: str) -> None:
        self._ask(Path(path).resolve())

    def _forget(self) -> None:
        row = self._selected()
        if row is not None and row.added:
            self._store.remove(row.target)
            self._refresh()

    def _on_loaded(self, _model: PromptableModel) -> None:
        self._error = ""
        self._refresh()

    def _on_failed(self, error: Exception) -> None:
        self._error = _one_sentence(error)
        if len(self._active.failed) == 1:  # a Segment dock that listens too notifies by itself
            notify = show_warning if isinstance(error, AnySAMError) else show_error
            notify(self._error)
        self._refresh()


def _paragraph() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label


def _breakable(text: str) -> str:
    """Let a label wrap inside a path, which has no spaces and would widen the dock."""
    return text.replace("/", "/\u200b").replace("\\", "\\\u200b")


def _with_links(text: str) -> str:
    """Write plain text as HTML in which addresses can be clicked."""
    return re.sub(r"(https://[^\s,]+)", r'<a href="\1">\1</a>', html.escape(text))


def _combo(choices: tuple[str, ...]) -> QComboBox:
    combo = QComboBox()
    combo.addItems(list(choices))
    return combo


def _select(combo: QComboBox, text: str) -> None:
    with QSignalBlocker(combo):
        combo.setCurrentText(text)


def _is_of(request: Request, row: ModelRow) -> bool:
    if request.name_or_path == row.target:
        return True
    return any(
        row.target == spec.name and request.name_or_path in spec.all_names for spec in catalogue()
    )


def _state(model: PromptableModel | None) -> str:
    if model is None:
        return "No model is active."
    return f"{model.name} is active, on {model.device} in {model.precision}."


def _shortened(title: str, length: int = 24) -> str:
    """Cut a long name in its middle, so that its end can still be read."""
    if len(title) <= length:
        return title
    half = (length - 3) // 2
    return f"{title[:half]}...{title[-half:]}"


def _one_sentence(error: Exception) -> str:
    if isinstance(error, AnySAMError):
        return str(error)
    words = (str(error).splitlines() or [""])[0][:200]
    return f"The model could not be loaded ({type(error).__name__}: {words})."
