"""The part of the dock that says how the image is seen, and changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_anysam._napari.image_control import MR_WINDOW
from napari_anysam.images.presets import CT_WINDOWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_anysam._napari.image_control import ImageView
    from napari_anysam._napari.propagation import StackAxis

__all__ = ["ImageSection"]

SETTLE_MILLISECONDS = 300
"""How long the look of the image must stay the same before it is encoded again."""

_FIXED = "constant"
_ONE_PLANE = "This image has one plane only."
_AHEAD = (
    "While you move along a stack with prompts, the next planes are encoded, so that a click there "
    "need not wait. On by itself for models that encode within two seconds."
)
_BLEND = (
    "Visible layers of the same pixels are one picture, as napari draws them; without, the chosen "
    "image is seen alone."
)


class ImageSection(QWidget):  # type: ignore[misc]  # Qt has no types here
    """Contrast window, channels, brightness along the stack, voxel-grid view."""

    window_chosen = Signal(str)
    blend_chosen = Signal(bool)
    follow_chosen = Signal(object)
    voxel_grid_chosen = Signal(bool)
    ahead_chosen = Signal(bool)
    settled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._axes: list[StackAxis] = []
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setToolTip(
            "What the model sees: the image with its contrast, as napari shows it."
        )
        self.window_combo = _short_combo()
        self.window_combo.addItem("CT or MR ...", "")
        for window in CT_WINDOWS:
            low, high = window.limits
            self.window_combo.addItem(f"CT {window.name} ({low:g} to {high:g} HU)", window.name)
        self.window_combo.addItem("MR: 0.5 to 99.5 % of what is not zero", MR_WINDOW)
        self.blend_box = QCheckBox("Blend visible channels")
        self.follow_combo = _short_combo()
        self.voxel_box = QCheckBox("Voxel-grid view")
        self.ahead_box = QCheckBox("Encode ahead")
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SETTLE_MILLISECONDS)
        self._timer.timeout.connect(self.settled)
        self.window_combo.activated.connect(self._on_window)
        self.blend_box.clicked.connect(self.blend_chosen)
        self.follow_combo.activated.connect(self._on_follow)
        self.voxel_box.clicked.connect(self.voxel_grid_chosen)
        self.ahead_box.clicked.connect(self.ahead_chosen)
        self._lay_out()

    def restless(self) -> None:
        """Say that the image looks different now; ``settled`` follows when it stays so."""
        self._timer.start()

    def stop(self) -> None:
        """Emit nothing more."""
        self._timer.stop()

    def show_view(self, view: ImageView, axes: Sequence[StackAxis], *, ahead: bool) -> None:
        """Show how the image is seen, what can be changed, and whether planes are encoded ahead."""
        self.ahead_box.setEnabled(bool(axes))
        self.ahead_box.setChecked(ahead)
        self.ahead_box.setToolTip(_AHEAD if axes else _ONE_PLANE)
        self.words.setText("Measuring ..." if view.measuring else view.words)
        self.words.setToolTip(
            view.details or "What the model sees: the image with its contrast, as napari shows it."
        )
        self.window_combo.setEnabled(bool(view.words) and not view.coloured)
        self.window_combo.setToolTip(
            "Colours have no contrast window."
            if view.coloured
            else "Sets the contrast limits of the image layer."
        )
        self.blend_box.setEnabled(bool(view.words) and not view.coloured)
        self.blend_box.setChecked(view.blended)
        self.blend_box.setToolTip("Colours are one picture already." if view.coloured else _BLEND)
        self._show_axes(axes, view)
        self.voxel_box.setEnabled(view.oblique or view.voxel_grid)
        self.voxel_box.setChecked(view.voxel_grid)
        self.voxel_box.setToolTip(
            "Shows a volume that lies askew along its own axes, plane by plane; its place comes "
            "back when this is turned off or the dock is closed."
            if view.oblique or view.voxel_grid
            else "The view shows planes of this image already."
        )

    def _show_axes(self, axes: Sequence[StackAxis], view: ImageView) -> None:
        if list(axes) != self._axes or not self.follow_combo.count():
            self._axes = list(axes)
            self.follow_combo.clear()
            self.follow_combo.addItem(_FIXED)
            for axis in axes:
                self.follow_combo.addItem(f"follow along {axis.label}")
        choices = [None, *(axis.axis for axis in self._axes)]
        followed = view.follow_axis if view.follow_axis in choices else None
        with QSignalBlocker(self.follow_combo):
            self.follow_combo.setCurrentIndex(choices.index(followed))
        self.follow_combo.setEnabled(bool(axes))
        self.follow_combo.setToolTip(
            "For series that bleach: the contrast follows the brightness smoothly. The contrast of "
            "the plane that is shown now stays as it is."
            if axes
            else _ONE_PLANE
        )

    def _on_window(self, index: int) -> None:
        name = self.window_combo.itemData(index)
        self.window_combo.setCurrentIndex(0)
        if name:
            self.window_chosen.emit(name)

    def _on_follow(self, index: int) -> None:
        self.follow_chosen.emit(None if index == 0 else self._axes[index - 1].axis)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Contrast", self.window_combo)
        form.addRow("Brightness", self.follow_combo)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.words)
        layout.addLayout(form)
        layout.addWidget(self.blend_box)
        layout.addWidget(self.voxel_box)
        layout.addWidget(self.ahead_box)


def _short_combo() -> QComboBox:
    """Return a combo box that does not widen the dock."""
    combo = QComboBox()
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(6)
    return combo
