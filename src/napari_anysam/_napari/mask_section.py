"""The part of the dock that says how logits become masks, and what masks may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QSpinBox,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_anysam.segmentation.derived_prompts import MOST_PADDING
from napari_anysam.segmentation.mask_options import MaskOptions

if TYPE_CHECKING:
    from napari_anysam._napari.label_target import WritePolicy

__all__ = ["MaskSection"]

_HIGHEST_THRESHOLD = 6.0
"""Logits of masks that are sure of themselves lie beyond it."""

_NARROW = 90
"""Pixels that a field needs at least."""

_POLICIES: tuple[tuple[str, WritePolicy], ...] = (
    ("Protect others", "protect"),
    ("Take over", "over"),
    ("Background only", "background"),
)


class MaskSection(QWidget):  # type: ignore[misc]  # Qt has no types here
    """How logits become masks; what masks may take, and when they are written.

    Attributes
    ----------
    changed : signal (MaskOptions)
    policy_changed : signal (str)
    """

    changed = Signal(object)
    policy_changed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.threshold = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.threshold.setRange(-_HIGHEST_THRESHOLD, _HIGHEST_THRESHOLD)
        self.threshold.setDecimals(1)
        self.threshold.setValue(0.0)
        self.smallest_area = _pixels()
        self.fill_holes = _pixels()
        self.smoothing = QDoubleSpinBox()
        self.smoothing.setRange(0, 50)
        self.smoothing.setSingleStep(0.5)
        self.smoothing.setSuffix(" px")
        self.largest = QCheckBox("Keep the largest part only")
        self.padding = QSpinBox()
        self.padding.setRange(0, round(100 * MOST_PADDING))
        self.padding.setSuffix(" %")
        self.hover = QCheckBox("Show masks under the mouse")
        self.policy = QComboBox()
        self.policy.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.policy.setMinimumContentsLength(6)
        for title, _ in _POLICIES:
            self.policy.addItem(title)
        self.accept_on_next = QCheckBox("Accept on next object")
        self.accept_on_next.setChecked(True)
        self._explain()
        self._lay_out()
        for emitter in (self.threshold, self.smallest_area, self.fill_holes):
            emitter.valueChanged.connect(self._on_changed)
        self.smoothing.valueChanged.connect(self._on_changed)
        self.padding.valueChanged.connect(self._on_changed)
        self.largest.toggled.connect(self._on_changed)
        self.policy.currentIndexChanged.connect(self._on_policy)

    @property
    def options(self) -> MaskOptions:
        """What is set."""
        return MaskOptions(
            threshold=round(self.threshold.value(), 1),
            smallest_area=self.smallest_area.value(),
            fill_holes=self.fill_holes.value(),
            smoothing=self.smoothing.value(),
            largest_component=self.largest.isChecked(),
            box_padding=self.padding.value() / 100,
        )

    @property
    def chosen_policy(self) -> WritePolicy:
        """What a mask may take."""
        index: int = self.policy.currentIndex()
        return _POLICIES[index][1]

    def show_settings(
        self, options: MaskOptions, policy: WritePolicy, *, accept_on_next: bool
    ) -> None:
        """Set everything, and tell of what is different then."""
        self.threshold.setValue(options.threshold)
        self.smallest_area.setValue(options.smallest_area)
        self.fill_holes.setValue(options.fill_holes)
        self.smoothing.setValue(options.smoothing)
        self.largest.setChecked(options.largest_component)
        self.padding.setValue(round(100 * options.box_padding))
        self.policy.setCurrentIndex([name for _, name in _POLICIES].index(policy))
        self.accept_on_next.setChecked(accept_on_next)

    def _on_changed(self, _value: object) -> None:
        self.changed.emit(self.options)

    def _on_policy(self, index: int) -> None:
        self.policy_changed.emit(_POLICIES[index][1])

    def _explain(self) -> None:
        self.threshold.setToolTip("Right: smaller masks; left: larger ones. The preview follows.")
        self.smallest_area.setToolTip("Parts of fewer pixels are dropped.")
        self.fill_holes.setToolTip("Holes of up to so many pixels are filled.")
        self.smoothing.setToolTip("Radius below which outlines are smoothed.")
        self.largest.setToolTip("Keeps the parts with a click in them, or else the largest one.")
        self.padding.setToolTip("Boxes grow by this part of their side before they are answered.")
        self.hover.setToolTip(
            "Where the mouse rests with the Point tool, shows lightly what a click would give. "
            "Large models answer where the image is encoded already."
        )
        self.policy.setToolTip(
            "What a mask may take: never other objects; other objects too; or background alone, so "
            "that an object only grows."
        )
        self.accept_on_next.setToolTip(
            "Beginning or choosing another object keeps the running mask. Otherwise only Accept "
            "does; the marks of what you leave stay in the table of objects: click it there, and "
            "its mask comes again."
        )

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Threshold", self.threshold)
        form.addRow("Least area", self.smallest_area)
        form.addRow("Fill holes", self.fill_holes)
        form.addRow("Smoothing", self.smoothing)
        form.addRow(self.largest)
        form.addRow("Box padding", self.padding)
        form.addRow("Write", self.policy)
        form.addRow(self.accept_on_next)
        form.addRow(self.hover)
        for field in (self.threshold, self.smallest_area, self.fill_holes, self.smoothing):
            field.setMinimumWidth(_NARROW)  # their own minimum is too wide for a narrow dock
        self.padding.setMinimumWidth(_NARROW)
        self.policy.setMinimumWidth(_NARROW)


def _pixels() -> QSpinBox:
    box = QSpinBox()
    box.setRange(0, 10**9)
    box.setSuffix(" px")
    return box
