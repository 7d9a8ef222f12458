"""The dock's table of objects: click one to go on with it, name its class, merge, split, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, QSignalBlocker, Qt
from qtpy.QtCore import Signal as QtSignal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHeaderView,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_anysam._napari.user_keys import with_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_anysam._napari.object_looks import Colour
    from napari_anysam.export.measures import Measures
    from napari_anysam.segmentation.object_summaries import ObjectSummary

__all__ = ["ObjectSection"]

_TITLES = ("Id", "Class", "Planes", "Score", "Area", "mL", "mm", "Mean")
_MEASURED = (5, 6, 7)
_CLASS, _PLANES = 1, 2
_ROWS_SHOWN = 5


class ObjectSection(QWidget):  # type: ignore[misc]  # Qt has no types here
    """The table and its buttons.

    Attributes
    ----------
    resume : Qt signal (int)
        The user clicked an object.
    classed : Qt signal (int, str)
        The user named an object's class.
    delete, merge : Qt signals (tuple of int)
        The user wants that done to the selected objects.
    split, pick : Qt signals ()
        The user wants the running object split, or to pick one in the image.
    measure : Qt signal (tuple of int)
        The user wants the selected objects measured, or all.
    """

    resume = QtSignal(int)
    classed = QtSignal(int, str)
    delete = QtSignal(object)
    merge = QtSignal(object)
    split = QtSignal()
    pick = QtSignal()
    measure = QtSignal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = _ObjectModel(self.classed.emit)
        self.table = QTableView()
        self.table.setModel(self._model)
        self.table.verticalHeader().hide()
        self.table.setShowGrid(False)
        self.table.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setResizeContentsPrecision(0)  # of the rows that are shown, not of a thousand
        header.setSectionResizeMode(_CLASS, QHeaderView.ResizeMode.Stretch)
        line = self.table.verticalHeader().defaultSectionSize()
        self.table.setMinimumHeight((_ROWS_SHOWN + 1) * line)
        self.pick_button = QPushButton("Pick")
        self.split_button = QPushButton("Split")
        self.merge_button = QPushButton("Merge")
        self.delete_button = QPushButton("Delete")
        self.measure_button = QPushButton("Measure")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)
        buttons = QGridLayout()
        for place, button in enumerate(
            (
                self.pick_button,
                self.split_button,
                self.merge_button,
                self.delete_button,
                self.measure_button,
            )
        ):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            buttons.addWidget(button, place // 2, place % 2)
        layout.addLayout(buttons)
        self.table.clicked.connect(self._on_clicked)
        self.table.selectionModel().selectionChanged.connect(self._allow)
        self.pick_button.clicked.connect(self.pick)
        self.split_button.clicked.connect(self.split)
        self.merge_button.clicked.connect(lambda: self.merge.emit(self.selected()))
        self.delete_button.clicked.connect(lambda: self.delete.emit(self.selected()))
        self.measure_button.clicked.connect(lambda: self.measure.emit(self.selected()))
        self.show_measures({})
        self._allow()

    def show_objects(
        self,
        summaries: tuple[ObjectSummary, ...],
        current: int,
        colour_of: Callable[[int], Colour],
        *,
        cannot_split: str,
    ) -> None:
        """Show these objects; the current one is marked unless several are selected.

        Parameters
        ----------
        summaries : tuple of ObjectSummary
        current : int
            The running object.
        colour_of : callable
            Returns the colour of an object.
        cannot_split : str
            Why the running object cannot be split; empty when it can.
        """
        chosen = self.selected()
        self.table.setColumnHidden(_PLANES, not any(one.planes for one in summaries))
        if self._model.show(summaries, colour_of):
            self.table.doItemsLayout()  # a row that is new is scrolled to only when it has a place
            self._select(chosen if len(chosen) > 1 else (current,))
        elif len(chosen) < 2 and chosen != (current,):
            self._select((current,))
        self.split_button.setEnabled(not cannot_split)
        self.split_button.setToolTip(
            with_key(cannot_split or "Make what this mask leaves out an object.", "split")
        )
        self.measure_button.setEnabled(bool(summaries))
        self.measure_button.setToolTip(
            with_key(
                "Volume, longest and perpendicular diameter, and mean intensity, of the selected "
                "objects or all; the image needs pixel sizes.",
                "measure",
            )
        )
        self.pick_button.setEnabled(bool(summaries))
        words = "Click an object in the image to go on with it."
        self.pick_button.setToolTip(
            with_key(words if summaries else "There are no objects yet.", "pick")
        )
        self._allow()

    def show_measures(self, measures: Mapping[int, Measures]) -> None:
        """Show what was measured, in columns that are there only then."""
        self._model.show_measures(measures)
        for column in _MEASURED:
            self.table.setColumnHidden(column, not measures)

    def selected(self) -> tuple[int, ...]:
        """Return the ids of the selected objects, ascending."""
        rows = self.table.selectionModel().selectedRows()
        return tuple(sorted(self._model.object_id(index.row()) for index in rows))

    def _select(self, object_ids: Sequence[int]) -> None:
        flags = QItemSelectionModel.SelectionFlag
        selection = self.table.selectionModel()
        with QSignalBlocker(selection):
            selection.clearSelection()
            for object_id in object_ids:
                row = self._model.row_of(object_id)
                if row is not None:
                    index = self._model.index(row, 0)
                    selection.select(index, flags.Select | flags.Rows)
                    self.table.scrollTo(index)
        self.table.viewport().update()

    def _on_clicked(self, index: QModelIndex) -> None:
        if len(self.selected()) == 1:
            self.resume.emit(self._model.object_id(index.row()))

    def _allow(self, *_: object) -> None:
        count = len(self.selected())
        self.delete_button.setEnabled(count > 0)
        words = "Erase the selected objects on all planes." if count else "Select an object first."
        self.delete_button.setToolTip(with_key(words, "delete"))
        self.merge_button.setEnabled(count > 1)
        words = (
            "Make the selected objects one."
            if count > 1
            else "Select two objects or more: Ctrl-click their rows."
        )
        self.merge_button.setToolTip(with_key(words, "merge"))


class _ObjectModel(QAbstractTableModel):  # type: ignore[misc]  # Qt has no types here
    """Objects as Qt's views ask for them; nothing is made for rows that are not shown."""

    def __init__(self, classed: Callable[[int, str], None]) -> None:
        super().__init__()
        self._classed = classed
        self._objects: tuple[ObjectSummary, ...] = ()
        self._colour_of: Callable[[int], Colour] | None = None
        self._measures: Mapping[int, Measures] = {}

    def show(self, objects: tuple[ObjectSummary, ...], colour_of: Callable[[int], Colour]) -> bool:
        """Show these; return whether they are others than before."""
        self._colour_of = colour_of
        if objects == self._objects:
            return False
        self.beginResetModel()
        self._objects = objects
        self.endResetModel()
        return True

    def show_measures(self, measures: Mapping[int, Measures]) -> None:
        """Show what was measured."""
        if measures != self._measures:
            self._measures = dict(measures)
            last = self.index(len(self._objects) - 1, len(_TITLES) - 1)
            self.dataChanged.emit(self.index(0, _MEASURED[0]), last)

    def object_id(self, row: int) -> int:
        """Return the id of the object in a row."""
        return self._objects[row].object_id

    def row_of(self, object_id: int) -> int | None:
        """Return the row of an object, if it is shown."""
        rows = (k for k, one in enumerate(self._objects) if one.object_id == object_id)
        return next(rows, None)

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802, ARG002
        """Count the objects."""
        return len(self._objects)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802, ARG002
        """Count the columns."""
        return len(_TITLES)

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return a column's title."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return _TITLES[section]
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        one = self._objects[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            cells = (*_cells(one), *_measured(self._measures.get(one.object_id)))
            return cells[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            return _in_words(one)
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 0 and self._colour_of:
            return QColor.fromRgbF(*self._colour_of(one.object_id))
        return None

    def flags(self, index: QModelIndex) -> Any:
        """Let classes be edited."""
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() == _CLASS else flags

    def setData(  # noqa: N802 - Qt's name
        self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole
    ) -> bool:
        """Pass a class on that the user has typed."""
        if role != Qt.ItemDataRole.EditRole or index.column() != _CLASS:
            return False
        self._classed(self.object_id(index.row()), str(value))
        return True


def _cells(one: ObjectSummary) -> tuple[str, ...]:
    return (
        str(one.object_id),
        one.class_name,
        str(len(one.planes)) if one.planes else "",
        "" if one.score is None else f"{one.score:.2f}",
        str(one.area) if one.kept else "",
    )


def _measured(found: Measures | None) -> tuple[str, str, str]:
    if found is None:
        return "", "", ""
    return (
        "" if found.volume_ml is None else f"{found.volume_ml:.3g}",
        f"{found.longest_diameter_mm:.3g} x {found.perpendicular_diameter_mm:.3g}",
        "" if found.mean_intensity is None else f"{found.mean_intensity:.4g}",
    )


def _in_words(one: ObjectSummary) -> str:
    planes = f" on planes {one.planes[0]} to {one.planes[-1]}" if len(one.planes) > 1 else ""
    made = f" by {one.model}" if one.model else ", not made by a model here"
    state = f"{one.area} pixels{planes}{made}" if one.kept else f"marked{planes}, nothing kept yet"
    return f"Object {one.object_id}: {state}. Double-click its class to name it."
