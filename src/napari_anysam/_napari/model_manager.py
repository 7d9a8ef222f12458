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
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from napari_anysam._napari.active_model import Request, active_model
from napari_anysam._napari.background import Background
from napari_anysam._napari.downloads import downloads
from napari_anysam._napari.hub_panel import HubPanel
from napari_anysam._napari.image_size_choice import ImageSizeChoice
from napari_anysam._napari.model_chooser import LINK_COLOUR, ModelChooser
from napari_anysam._napari.model_rows import ModelRow, progress_words, resolve_rows
from napari_anysam._napari.model_table import ModelTable
from napari_anysam._napari.model_transfers import ModelTransfers
from napari_anysam._napari.variant_question import VariantQuestion
from napari_anysam.errors import AnySAMError
from napari_anysam.models.catalogue import catalogue
from napari_anysam.models.measurements import default_measurements
from napari_anysam.models.recognition import possible_variants
from napari_anysam.models.store import default_store
from napari_anysam.networks.device import DEVICES, PRECISIONS, available_devices

if TYPE_CHECKING:
    from qtpy.QtGui import QEnterEvent, QHideEvent, QShowEvent

    from napari_anysam.models.catalogue import ModelSpec
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
        self._reading = Background(self)
        self._examining = Background(self)
        self._error = ""
        self._make_widgets()
        self._lay_out()
        self.table.activated_row.connect(lambda row: self._ask(row.target))
        self.table.itemSelectionChanged.connect(self._show_details)
        self.filter.textChanged.connect(self.table.filter)
        self.chooser_button.toggled.connect(self.chooser.setVisible)
        self.chooser.chosen.connect(self._show_proposed)
        self.transfers.deleted.connect(self._on_deleted)
        self.add_button.clicked.connect(self._choose_file)
        self.hub_button.toggled.connect(self.hub.setVisible)
        self.forget_button.clicked.connect(self._forget)
        self.hub.fetched.connect(self._add_fetched)
        self.question.answered.connect(self._ask)
        self.device.textActivated.connect(self._reload)
        self.precision.textActivated.connect(self._reload)
        self.image_size.activated.connect(self._reload)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Catch up with the active model, and follow it while the dock can be seen."""
        super().showEvent(event)
        self._active.loading.connect(self._render_progress, unique=True)
        self._active.loaded.connect(self._on_loaded, unique=True)
        self._active.failed.connect(self._on_failed, unique=True)
        self._downloads.changed.connect(self._on_download, unique=True)
        self._active.ensure()
        self._refresh()

    def enterEvent(self, event: QEnterEvent) -> None:  # noqa: N802 - Qt's name
        """Catch up with the disk and with what was measured when the user turns to the dock."""
        super().enterEvent(event)
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
        self.hint = _paragraph()
        self.chooser_button = QPushButton("Help me choose")
        self.chooser_button.setToolTip("Say what you segment, and see which models suit it.")
        self.chooser_button.setCheckable(True)
        self.chooser = ModelChooser()
        self.chooser.hide()
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Filter: microscopy, boxes, on disk, ...")
        self.filter.setToolTip("Show only models whose row or description holds all these words.")
        self.filter.setClearButtonEnabled(True)
        self.table = ModelTable()
        self.details = QTextBrowser()
        self.details.setOpenExternalLinks(True)
        self.details.document().setDefaultStyleSheet(f"a {{ color: {LINK_COLOUR} }}")
        self.details.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.details.setMaximumHeight(8 * self.details.fontMetrics().lineSpacing())
        self.transfers = ModelTransfers(self._store, self._downloads)
        self.add_button = QPushButton("Add file...")
        self.add_button.setToolTip("Load a checkpoint from this computer and keep it in the list.")
        self.hub_button = QPushButton("Add from hub")
        self.hub_button.setToolTip("Fetch a checkpoint from a repository of Hugging Face.")
        self.hub_button.setCheckable(True)
        self.forget_button = QPushButton("Forget")
        self.hub = HubPanel()
        self.hub.hide()
        self.question = VariantQuestion()
        self.device = _combo(DEVICES)
        self.device.setToolTip("Where the model computes; auto takes a graphics card if it can.")
        self.precision = _combo(PRECISIONS)
        self.precision.setToolTip(
            "auto takes half precision where this computer is faster in it; fp32 is exact."
        )
        self.image_size = ImageSizeChoice()
        self.progress = QProgressBar()
        self.progress.setRange(0, 0)  # moves to and fro: nobody knows how long it takes
        self.progress.setTextVisible(False)
        self.error = _paragraph()
        self.error.setStyleSheet("color: #e0605a")  # readable on napari's dark and light themes

    def _lay_out(self) -> None:
        files = QGridLayout()
        files.addWidget(self.add_button, 0, 0)
        files.addWidget(self.hub_button, 0, 1)
        files.addWidget(self.forget_button, 1, 0)
        files.addWidget(self.transfers.folder_button, 1, 1)
        form = QFormLayout()
        form.addRow("Device", self.device)
        form.addRow("Precision", self.precision)
        form.addRow("Image size", self.image_size)
        layout = QVBoxLayout(self)
        layout.addWidget(self.state)
        layout.addWidget(self.hint)
        layout.addWidget(self.progress)
        layout.addWidget(self.error)
        layout.addWidget(self.question)
        layout.addWidget(self.chooser_button)
        layout.addWidget(self.chooser)
        layout.addWidget(self.filter)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.details)
        layout.addWidget(self.transfers)
        layout.addLayout(files)
        layout.addWidget(self.hub)
        layout.addLayout(form)

    def _refresh(self) -> None:
        """Read again what is on disk, on a thread, and show it with the state of the model."""
        self._render()
        self._reading.ask(
            lambda: resolve_rows(self._store, default_measurements()),
            self._show_rows,
            self._complain,
        )

    def _show_rows(self, rows: tuple[ModelRow, ...]) -> None:
        self.table.show_rows(rows)
        for row in rows:
            if row.spec is not None:
                self._show_progress(row.spec.name)
        self._show_details()
        self._render()

    def _on_deleted(self, why_not: str) -> None:
        self._error = why_not
        self._refresh()

    def _complain(self, error: Exception) -> None:
        self._error = _one_sentence(error)
        self._render()

    def _show_proposed(self, name: str) -> None:
        """Bring a proposed model into view, even if the filter would hide it."""
        self.filter.clear()
        self.table.select(name)

    def _render(self) -> None:
        """Show the state of the active model: its row, its words, its device."""
        self._render_progress(self._active.message)
        request = self._active.requested
        row = self._active_row()
        self.table.check(None if row is None else row.target)
        if request is not None:
            _select(self.device, request.device)
            _select(self.precision, request.precision)
        loaded = None if self._active.busy else self._active.model
        self.image_size.show_model(loaded, request)
        if self._active.model is not None:
            self._render_devices()

    def _render_progress(self, words: str) -> None:
        if self._active.busy:
            self._error = ""
        self.error.setText(_breakable(self._error))
        self.error.setVisible(bool(self._error))
        self.progress.setVisible(self._active.busy)
        self.state.setText(words or _state(self._active.model))
        self.hint.setText(self._active.hint)
        self.hint.setVisible(bool(self._active.hint))

    def _render_devices(self) -> None:
        """Grey what this computer lacks; torch, which knows, is imported once a model is there."""
        present = available_devices()
        for index, name in enumerate(DEVICES):
            item = self.device.model().item(index)
            item.setEnabled(name in present)
            item.setToolTip("" if name in present else _ABSENT[name])

    def _show_details(self) -> None:
        row = self.table.selected_row()
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
        state = self._downloads.state(name)
        if state is not None and state.running:
            self.table.set_status(name, progress_words(state.progress))
            self.transfers.show_progress()

    def _active_row(self) -> ModelRow | None:
        """Return the row of the model that is active or on its way."""
        request = self._active.requested
        if request is None:
            return None
        return next((row for row in self.table.rows if _is_of(request, row)), None)

    def _reload(self, _choice: str | int) -> None:
        """Take a new device, precision or image size for the model that is active or on its way."""
        request = self._active.requested
        if request is not None:
            self._ask(request.name_or_path, image_size=self.image_size.chosen)

    def _ask(
        self, target: str | Path, variant: str | None = None, image_size: int | None = None
    ) -> None:
        device, precision = self.device.currentText(), self.precision.currentText()
        self._active.request(target, device, precision, variant, image_size)
        self._render()

    def _choose_file(self) -> None:
        dialog = QFileDialog(self, "Add a checkpoint file", "", _FILTER)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self._add_file(Path(path)))
        dialog.open()

    def _add_fetched(self, path: Path) -> None:
        self.hub_button.setChecked(False)
        self._add_file(path)

    def _add_file(self, path: Path) -> None:
        """Load a file, after the question what it is where its content cannot tell."""
        path = path.absolute()
        self.question.hide()

        def examine() -> tuple[ModelSpec, ...]:
            told = self._store.remembered_variant(path) is not None
            return () if told else possible_variants(path)

        def go_on(variants: tuple[ModelSpec, ...]) -> None:
            if variants:
                self.question.ask(path, variants)
            else:
                self._ask(path)

        # A file that cannot be read is explained by the loading itself.
        self._examining.ask(examine, go_on, lambda _: self._ask(path))

    def _forget(self) -> None:
        row = self.table.selected_row()
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
    linked = re.sub(r"(https://[^\s,]+)", r'<a href="\1">\1</a>', html.escape(text))
    return linked.replace("\n", "<br>")


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


def _one_sentence(error: Exception) -> str:
    if isinstance(error, AnySAMError):
        return str(error)
    words = (str(error).splitlines() or [""])[0][:200]
    return f"The model could not be loaded ({type(error).__name__}: {words})."
