"""The fields that say how far objects are followed through z and t."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QLabel, QSpinBox, QWidget

from napari_anysam._napari.volume_run import VolumeRange

if TYPE_CHECKING:
    from napari_anysam._napari.propagation import Direction, StackAxis

__all__ = ["VolumeRangeForm"]

_DIRECTIONS: tuple[tuple[str, Direction], ...] = (
    ("Both ways in time", "both"),
    ("Forward in time", "forward"),
    ("Backward in time", "backward"),
)

_NARROW = "min-width: 44px"  # two of napari's 90 pixels side by side do not fit the dock


class VolumeRangeForm(QWidget):  # type: ignore[misc]  # Qt has no types here
    """First and last plane, first and last time point, direction; hidden for other images."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._axes: tuple[StackAxis, StackAxis] | None = None
        self.first_plane, self.last_plane = QSpinBox(), QSpinBox()
        self.first_time, self.last_time = QSpinBox(), QSpinBox()
        self.direction = QComboBox()
        for title, _ in _DIRECTIONS:
            self.direction.addItem(title)
        narrow = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        self.direction.setSizeAdjustPolicy(narrow)
        self.direction.setMinimumContentsLength(6)
        for field, words in (
            (self.first_plane, "First plane of every volume that is segmented."),
            (self.last_plane, "Last plane of every volume that is segmented."),
            (self.first_time, "First time point that is segmented."),
            (self.last_time, "Last time point that is segmented."),
            (
                self.direction,
                "Where to go in time from the time points at which objects are marked; in z they "
                "are followed both ways.",
            ),
        ):
            field.setToolTip(words)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        self._names = QLabel(), QLabel()
        for name, pair in zip(
            self._names,
            ((self.first_plane, self.last_plane), (self.first_time, self.last_time)),
            strict=True,
        ):
            form.addRow(name, _side_by_side(*pair))
        form.addRow("Direction", self.direction)
        self.setVisible(False)

    def show_axes(self, axes: tuple[StackAxis, StackAxis] | None) -> None:
        """Offer all of these, time and z; the choice starts again when they are others."""
        self.setVisible(axes is not None)
        if axes == self._axes:
            return
        self._axes = axes
        if axes is None:
            return
        time, depth = axes
        for name, axis, first, last in (
            (self._names[0], depth, self.first_plane, self.last_plane),
            (self._names[1], time, self.first_time, self.last_time),
        ):
            name.setText(f"Along {axis.label}")
            for field in (first, last):
                field.setRange(0, axis.length - 1)
            first.setValue(0)
            last.setValue(axis.length - 1)
        self.direction.setCurrentIndex(0)

    def chosen(self) -> VolumeRange | None:
        """Return what is chosen; None where nothing is offered."""
        if self._axes is None:
            return None
        first_time, last_time = sorted((self.first_time.value(), self.last_time.value()))
        first_plane, last_plane = sorted((self.first_plane.value(), self.last_plane.value()))
        direction = _DIRECTIONS[self.direction.currentIndex()][1]
        return VolumeRange(first_time, last_time, first_plane, last_plane, direction)


def _side_by_side(first: QSpinBox, last: QSpinBox) -> QHBoxLayout:
    row = QHBoxLayout()
    for field in (first, last):
        field.setStyleSheet(_NARROW)
    row.addWidget(first, 1)
    row.addWidget(QLabel("to"))
    row.addWidget(last, 1)
    return row
