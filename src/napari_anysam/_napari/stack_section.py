"""The part of the dock that follows objects through a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_anysam._napari.lesion_part import LesionPart
from napari_anysam._napari.propagation import StackRange
from napari_anysam._napari.status import Stage, Status, progress_in_words, why_not
from napari_anysam._napari.time_axis import is_time
from napari_anysam._napari.user_keys import in_words, with_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_anysam._napari.continuation import Continuation
    from napari_anysam._napari.lesions import LesionView
    from napari_anysam._napari.outlook import Outlook
    from napari_anysam._napari.propagation import Direction, StackAxis
    from napari_anysam.segmentation.journal import Run

__all__ = ["StackSection"]

_DIRECTIONS: tuple[tuple[str, Direction], ...] = (
    ("Both ways", "both"),
    ("Forward", "forward"),
    ("Backward", "backward"),
)

_WAYS = ("all marked objects", "one lesion")
_LESION = 1
_HOW = (
    "All marked objects, or one lesion from a box or RECIST line on the slice where it is largest: "
    "in both directions, each begun afresh, and its largest part is kept, as MedSAM2 does it."
)

_LIVE = (
    "Follow every accepted mask outward at once, until the object ends; a correction follows it "
    "anew."
)
_FAST = (
    "Read the memories of the last two planes, not of six: with SAM 2.1 tiny a plane takes about a "
    "quarter less time, with anysam-nano a tenth. Masks were as near to the truth, and differ "
    "most from those with the full memory where an object is hard to follow (docs/benchmarks.md)."
)
_ENDS = (
    "Look for an object no more behind the first plane on which the model is unsure of it: for "
    "stacks. Leave it off where objects leave and come back, as in films."
)
_CONTINUE = (
    "Go on at plane {plane} with the run that was ended there; the labels become those of a run "
    "that was never ended."
)
_ANEW = "Follow every marked object from the planes that it is marked on, through all planes."
_ONE_PLANE = "This image has one plane only."


_WARNING = "color: #e0605a"  # readable on napari's dark and light themes


class StackSection(QWidget):  # type: ignore[misc]  # Qt has no types here
    """Axis, range and direction; run and cancel; progress with the time left."""

    propagate = Signal(object)
    propagate_anew = Signal(object)
    segment_lesion = Signal(object)
    way_chosen = Signal(bool)
    axis_chosen = Signal(object)
    range_chosen = Signal()
    cancel = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._axes: list[StackAxis] = []
        self.way, self.axis = QComboBox(), QComboBox()
        for combo in (self.way, self.axis):
            combo.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            combo.setMinimumContentsLength(6)
        self.way.addItems(_WAYS)
        self.lesion = LesionPart()
        self.first, self.last = QSpinBox(), QSpinBox()
        self.direction = QComboBox()
        for title, _ in _DIRECTIONS:
            self.direction.addItem(title)
        self.outlook = QLabel()
        self.outlook.setWordWrap(True)
        self.run_button = QPushButton("Propagate")
        self.cancel_button = QPushButton("Cancel")
        self.anew_button = QPushButton("Begin anew")
        self.anew_button.setVisible(False)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setMaximumHeight(8)
        self.left = QLabel()
        for widget in (self.progress, self.left):
            policy = widget.sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            widget.setSizePolicy(policy)
        self.live = QCheckBox("Live volume")
        self.fast = QCheckBox("Fast memory")
        self.ends = QCheckBox("Stop where objects end")
        self._lay_out()
        self.way.currentIndexChanged.connect(self._on_way)
        self.axis.currentIndexChanged.connect(self._on_axis)
        for box in (self.first, self.last):
            box.valueChanged.connect(self._on_range)
        self.direction.currentIndexChanged.connect(self._on_range)
        self.run_button.clicked.connect(self.ask_to_propagate)
        self.cancel_button.clicked.connect(self.cancel)
        self.anew_button.clicked.connect(self._ask_to_begin_anew)

    def ask_to_propagate(self) -> None:
        """Emit ``propagate``, or ``segment_lesion``, with what is chosen."""
        chosen = self.chosen_range()
        if chosen is not None and self.run_button.isEnabled():
            (self.segment_lesion if self.follows_lesion else self.propagate).emit(chosen)

    @property
    def follows_lesion(self) -> bool:
        """Whether one lesion is followed from its key slice, and not all marked objects."""
        return bool(self.way.currentIndex() == _LESION)

    def _ask_to_begin_anew(self) -> None:
        chosen = self.chosen_range()
        if chosen is not None:
            self.propagate_anew.emit(chosen)

    def choose(self, run: Run) -> None:
        """Choose what a run was asked for."""
        axes = [one.axis for one in self._axes]
        if run.axis not in axes:
            return
        self.axis.setCurrentIndex(axes.index(run.axis))
        self.first.setValue(run.start)
        self.last.setValue(run.stop - 1)
        self.direction.setCurrentIndex([name for _, name in _DIRECTIONS].index(run.direction))
        self.fast.setChecked(run.memory == "fast")
        self.ends.setChecked(run.ending is not None)

    def show_continuation(self, continuation: Continuation | None) -> None:
        """Offer to go on with an unfinished run, or to begin anew; after ``show_status``."""
        goes_on = continuation is not None and continuation.reached is not None
        self.anew_button.setVisible(goes_on)
        if continuation is None or not self.run_button.isEnabled():
            return
        if goes_on:
            key = in_words("propagate")
            self.run_button.setText(f"Continue at {continuation.plane} ({key})")
            self.run_button.setToolTip(
                with_key(_CONTINUE.format(plane=continuation.plane), "propagate")
            )
        else:
            words = f"{continuation.lost} It begins anew."
            self.run_button.setToolTip(with_key(words, "propagate"))

    def chosen_range(self) -> StackRange | None:
        """Return what is chosen; None if there is no axis."""
        index = self.axis.currentIndex()
        if not 0 <= index < len(self._axes):
            return None
        first, last = sorted((self.first.value(), self.last.value()))
        direction = _DIRECTIONS[self.direction.currentIndex()][1]
        return StackRange(self._axes[index].axis, first, last, direction)

    def show_axes(self, axes: Sequence[StackAxis]) -> None:
        """Offer these axes; the range starts again when they are others than before."""
        if list(axes) == self._axes:
            return
        self._axes = list(axes)
        with QSignalBlocker(self.axis):
            self.axis.clear()
            for axis in axes:
                self.axis.addItem(f"{axis.label} ({axis.length} planes)")
            self.axis.setCurrentIndex(len(self._axes) - 1)
        self._on_axis(self.axis.currentIndex())

    def show_status(self, status: Status) -> None:
        """Show what can be done and how far a run is."""
        self._explain()
        reason = why_not("propagate", status)
        self.run_button.setText(f"Propagate ({in_words('propagate')})")
        self.run_button.setEnabled(not reason)
        words = "Follow every marked object through these planes."
        self.run_button.setToolTip(with_key(reason or words, "propagate"))
        running = status.stage is Stage.PROPAGATING
        self.cancel_button.setEnabled(running)
        words = "Stop after the plane in progress; finished planes stay."
        self.cancel_button.setToolTip(
            with_key(words if running else why_not("cancel", status), "cancel")
        )
        self.progress.setVisible(running)
        self.left.setVisible(running)
        if running:
            self.progress.setRange(0, status.total)
            self.progress.setValue(status.done)
            self.left.setText(progress_in_words(status))

    def show_lesion(self, view: LesionView, status: Status) -> None:
        """Show which lesion comes next, in place of what ``show_status`` says of propagation."""
        self.lesion.show_view(view, status)
        if self.follows_lesion:
            running = status.stage in (Stage.PROPAGATING, Stage.IN_BULK)
            reason = why_not("propagate", status) if running else view.refused
            self.run_button.setText(f"Segment lesion ({in_words('propagate')})")
            self.run_button.setEnabled(not reason)
            words = "Follow this lesion in both directions and keep its largest part."
            self.run_button.setToolTip(with_key(reason or words, "propagate"))

    def show_outlook(self, outlook: Outlook) -> None:
        """Say what the run to come will take, as a warning where it is more than there is."""
        self.outlook.setVisible(bool(outlook.words))
        self.outlook.setText(outlook.words)
        self.outlook.setToolTip(outlook.details)
        self.outlook.setStyleSheet("" if outlook.fits else _WARNING)

    def _on_range(self, _value: int) -> None:
        self.range_chosen.emit()

    def _explain(self) -> None:
        """Say what the fields do, or that an image of one plane has no use for them."""
        has_axes = bool(self._axes)
        for field, words in (
            (self.way, _HOW),
            (self.axis, "The slider to follow the objects along."),
            (self.first, "First plane that is segmented."),
            (self.last, "Last plane that is segmented."),
            (self.direction, "Where to go from the planes on which objects are marked."),
            (self.live, _LIVE),
            (self.fast, _FAST),
            (self.ends, _ENDS),
        ):
            field.setEnabled(has_axes)
            field.setToolTip(words if has_axes else _ONE_PLANE)
        self.live.setToolTip(with_key(self.live.toolTip(), "live"))
        self.anew_button.setToolTip(with_key(_ANEW, "anew"))

    def _on_way(self, _index: int) -> None:
        lesion = self.follows_lesion
        self.lesion.setVisible(lesion)
        for field in (self._form.labelForField(self.direction), self.direction, self.live):
            field.setVisible(not lesion)
        self.way_chosen.emit(lesion)

    def _on_axis(self, index: int) -> None:
        length = self._axes[index].length if 0 <= index < len(self._axes) else 1
        for box in (self.first, self.last):
            box.setRange(0, length - 1)
        self.first.setValue(0)
        self.last.setValue(length - 1)
        if 0 <= index < len(self._axes):
            self.ends.setChecked(not is_time(self._axes[index].label))
        self.axis_chosen.emit(self._axes[index].axis if 0 <= index < len(self._axes) else None)

    def _lay_out(self) -> None:
        form = self._form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Follow", self.way)
        form.addRow(self.lesion)
        self.lesion.hide()
        form.addRow("Along", self.axis)
        form.addRow("From", self.first)
        form.addRow("To", self.last)
        form.addRow("Direction", self.direction)
        buttons = QHBoxLayout()
        buttons.addWidget(self.run_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.outlook)
        layout.addWidget(self.ends)
        layout.addWidget(self.live)
        layout.addWidget(self.fast)
        layout.addLayout(buttons)
        layout.addWidget(self.anew_button)
        layout.addWidget(self.progress)
        layout.addWidget(self.left)
