"""The part of the dock for many objects at once: clicks, a Labels layer, everything in a plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_anysam._napari.found_row import FoundRow
from napari_anysam._napari.layer_combo import LayerCombo
from napari_anysam._napari.status import Stage, why_not
from napari_anysam._napari.user_keys import with_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_anysam._napari.found import FoundObjects
    from napari_anysam._napari.status import Status
    from napari_anysam.segmentation.label_prompts import LabelKind

__all__ = ["ManySection"]

_KINDS: tuple[tuple[str, LabelKind], ...] = (
    ("as boxes", "box"),
    ("as masks", "mask"),
    ("as points", "points"),
)


class ManySection(QWidget):  # type: ignore[misc]  # Qt has no types here
    """What makes many objects, and how far it is.

    Parameters
    ----------
    found : FoundObjects
        What the last search for everything has found.

    Attributes
    ----------
    refine : signal (Labels layer, str)
        The layer whose objects become prompts, and of which kind.
    everything, cancel : signal ()
    """

    refine = Signal(object, str)
    everything = Signal()
    cancel = Signal()

    def __init__(self, found: FoundObjects, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.found = FoundRow(found)
        self._layer: Any = None
        self.each_click = QCheckBox("Each click an object")
        self.each_box = QCheckBox("Each box an object")
        self.each_box.setChecked(True)
        self.labels = LayerCombo("choose labels", "Objects to refine, such as those of Cellpose")
        self.kind = QComboBox()
        for title, _ in _KINDS:
            self.kind.addItem(title)
        self.kind.setToolTip("What of each object the model is told.")
        self.refine_button = QPushButton("Refine all")
        self.everything_button = QPushButton("Everything")
        self.cancel_button = QPushButton("Cancel")
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setMaximumHeight(8)
        policy = self.progress.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.progress.setSizePolicy(policy)
        self._lay_out()
        self.labels.chosen.connect(self._on_layer)
        self.refine_button.clicked.connect(self._on_refine)
        self.everything_button.clicked.connect(self.everything)
        self.cancel_button.clicked.connect(self.cancel)

    def show_status(self, status: Status, layers: Sequence[Any]) -> None:
        """Show which layers there are, what can be done, and how far a run is."""
        if self._layer not in layers:
            self._layer = layers[-1] if len(layers) == 1 else None
        self.labels.offer(layers, self._layer)
        reason = why_not("many", status)
        unchosen = "" if self._layer is not None else "Choose a Labels layer first."
        self.refine_button.setEnabled(not (reason or unchosen))
        words = "Ask the model about every object of this layer; ids are kept."
        self.refine_button.setToolTip(with_key(reason or unchosen or words, "refine"))
        self.everything_button.setEnabled(not reason)
        words = "Find every object in this plane, and keep or drop each."
        self.everything_button.setToolTip(with_key(reason or words, "everything"))
        running = status.stage is Stage.IN_BULK
        self.cancel_button.setEnabled(running)
        words = "Stop; what is done stays." if running else "Nothing runs."
        self.cancel_button.setToolTip(with_key(words, "cancel"))
        self.each_click.setToolTip(
            with_key("Every click is an object of its own, written at once.", "each_click")
        )
        words = "A second box begins another object, or else moves the first."
        self.each_box.setToolTip(with_key(words, "each_box"))
        self.found.render_state()
        self.progress.setVisible(running)
        if running:
            self.progress.setRange(0, status.total)
            self.progress.setValue(status.done)

    def _on_layer(self, layer: Any) -> None:
        self._layer = layer
        self.refine_button.setEnabled(layer is not None)

    def _on_refine(self) -> None:
        if self._layer is not None:
            self.refine.emit(self._layer, _KINDS[self.kind.currentIndex()][1])

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Labels", self.labels)
        form.addRow("Refine", self.kind)
        buttons = QGridLayout()  # three in a row are too wide for a narrow dock
        buttons.addWidget(self.refine_button, 0, 0)
        buttons.addWidget(self.everything_button, 0, 1)
        buttons.addWidget(self.cancel_button, 1, 0, 1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.each_click)
        layout.addWidget(self.each_box)
        layout.addLayout(form)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.found)
