"""Labels for other programs: a section of the Segment dock, and a dock of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.utils.notifications import show_info
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_anysam._napari.background import Background
from napari_anysam._napari.connections import Connections
from napari_anysam._napari.layer_combo import LayerCombo
from napari_anysam._napari.layer_export import exportable_labels, layer_export
from napari_anysam._napari.reporting import report
from napari_anysam._napari.user_keys import user_keys, with_key
from napari_anysam.errors import AnySAMError
from napari_anysam.export.formats import FORMATS

if TYPE_CHECKING:
    from qtpy.QtGui import QHideEvent, QShowEvent

__all__ = ["ExportSection", "ExportWidget"]


class ExportSection(QWidget):  # type: ignore[misc]  # Qt has no types here
    """Labels, image and format; a button that asks where to; what was written, or why not.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers are on offer; by default those that are worked on.
    """

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._labels: Any = None
        self._image: Any = None
        self._worked_on: tuple[Any, Any] = (None, None)
        self._background = Background(self)
        self._busy = False
        self._connections = Connections()
        self.labels = LayerCombo("choose labels", "Labels to export")
        self.image = LayerCombo("none", "Image to measure, cut out or save with them")
        self.format = QComboBox()
        self.format.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.format.setMinimumContentsLength(6)
        for name, one in FORMATS.items():
            self.format.addItem(one.title, name)
        self.format.setToolTip("What to write, and for which programs.")
        self.replace = QCheckBox("Replace an earlier export")
        self.replace.setToolTip("Otherwise a file or folder that exists is left alone.")
        self.run_button = QPushButton("Export...")
        self.progress = QProgressBar()
        self.progress.setRange(0, 0)
        self.progress.setTextVisible(False)
        self.progress.setMaximumHeight(8)
        self.progress.hide()
        self.words = QElidingLabel()
        self.words.setElideMode(Qt.TextElideMode.ElideMiddle)
        self.dialog: QFileDialog | None = None
        self._lay_out()
        self.labels.chosen.connect(self._choose_labels)
        self.image.chosen.connect(self._choose_image)
        self.run_button.clicked.connect(self.ask)
        self._on_layers()

    def work_on(self, labels: Any, image: Any) -> None:
        """Choose these layers, unless they were chosen for the user before."""
        if labels is not self._worked_on[0]:
            self._labels = labels
        if image is not self._worked_on[1]:
            self._image = image
        self._worked_on = labels, image
        self._on_layers()

    def ask(self) -> None:
        """Ask where to; the window goes on meanwhile."""
        if self.dialog is not None:
            self.dialog.raise_()
            return
        chosen = FORMATS[self.format.currentData()]
        dialog = QFileDialog(self, f"Export {self._labels.name} as {self.format.currentText()}")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setOption(QFileDialog.Option.DontConfirmOverwrite)  # the check box says it
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        if chosen.endings:
            dialog.setNameFilter(f"{self.format.currentText()} (*{' *'.join(chosen.endings)})")
            dialog.setDefaultSuffix(chosen.endings[0].lstrip("."))
        dialog.selectFile(self._labels.name)
        dialog.fileSelected.connect(self._on_selected)
        dialog.finished.connect(self._on_finished)
        self.dialog = dialog
        dialog.open()

    def export_to(self, path: Path) -> None:
        """Write the chosen labels there, on a thread."""
        try:
            write = layer_export(
                self._labels,
                self._image,
                path,
                self.format.currentData(),
                overwrite=self.replace.isChecked(),
            )
        except AnySAMError as error:
            self._failed(error)
            return
        self._busy = True
        self._say(f"Writing {path.name} ...")
        self._on_layers()
        self._background.ask(write, self._written, self._failed)

    def close_quietly(self) -> None:
        """Let go of the viewer; an export that runs is still written."""
        self._background.forget()
        self._connections.disconnect()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Follow the layers of the viewer while they can be seen."""
        super().showEvent(event)
        self._connections.disconnect()
        layers = self._viewer.layers
        for emitter in (layers.events.inserted, layers.events.removed, user_keys().changed):
            self._connections.connect(emitter, self._on_layers)
        self._on_layers()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802 - Qt's name
        """Let go of the viewer; it may be about to close."""
        super().hideEvent(event)
        self._connections.disconnect()

    def _written(self, path: Path) -> None:
        self._busy = False
        self._say(f"Written: {path}")
        show_info(f"Labels were written to {path}.")
        self._on_layers()

    def _failed(self, error: Exception) -> None:
        self._busy = False
        self._say(str(error))
        report(error)
        self._on_layers()

    def _say(self, words: str) -> None:
        self.words.setText(words)
        self.words.setToolTip(words)

    def _on_selected(self, path: str) -> None:
        self.export_to(Path(path))

    def _on_finished(self, _result: int) -> None:
        self.dialog = None

    def _choose_labels(self, layer: Any) -> None:
        self._labels = layer
        self._on_layers()

    def _choose_image(self, layer: Any) -> None:
        self._image = layer

    def _on_layers(self, _event: Any = None) -> None:
        """Offer the layers as they are now."""
        labels = exportable_labels(self._viewer)
        images = [layer for layer in self._viewer.layers if isinstance(layer, Image)]
        if self._labels not in labels:
            self._labels = labels[-1] if labels else None
        if self._image not in images:
            self._image = None
        self.labels.offer(labels, self._labels)
        self.image.offer(images, self._image)
        self.progress.setVisible(self._busy)
        reason = ""
        if self._labels is None:
            reason = "There are no labels yet."
        elif self._busy:
            reason = "Labels are being written already."
        self.run_button.setEnabled(not reason)
        self.run_button.setToolTip(
            with_key(reason or "Write these labels for other programs.", "export")
        )

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Labels", self.labels)
        form.addRow("Image", self.image)
        form.addRow("Format", self.format)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.replace)
        layout.addWidget(self.run_button)
        layout.addWidget(self.progress)
        layout.addWidget(self.words)


class ExportWidget(ExportSection):
    """The section as a dock of its own, for labels from anywhere.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        napari passes it by this name.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        self.layout().setContentsMargins(6, 6, 6, 6)
        self.layout().addStretch(1)
        selected = list(napari_viewer.layers.selection)
        images = [layer for layer in selected if isinstance(layer, Image)]
        labels = [layer for layer in exportable_labels(napari_viewer) if layer in selected]
        self.work_on(labels[-1] if labels else None, images[-1] if images else None)
