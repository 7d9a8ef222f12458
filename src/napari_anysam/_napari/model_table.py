"""The Model manager's table: sorted by a click on a column's title, filtered by words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QHeaderView,
    QRadioButton,
    QTableWidget,
    QTableWidgetItem,
)

from napari_anysam._napari.model_rows import COLUMNS, NAME_COLUMN, STATUS_COLUMN

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtGui import QResizeEvent
    from qtpy.QtWidgets import QWidget

    from napari_anysam._napari.model_rows import ModelRow

__all__ = ["ModelTable"]

# Pixels: a radio button's mark with its margins; that and a dozen letters.
_MARK_WIDTH = 34
_LEAST_NAME_WIDTH = 120


class ModelTable(QTableWidget):  # type: ignore[misc]  # Qt has no types here
    """Rows of models, each with a radio button that activates it.

    Attributes
    ----------
    activated_row : Qt signal (ModelRow)
        The user pressed the radio button of a row.
    """

    activated_row = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self._rows: tuple[ModelRow, ...] = ()
        self._words: list[str] = []
        self._sorted_by: int | None = None
        self._descending = False
        self._checked: str | Path | None = None
        self._radios = QButtonGroup(self)
        for index, column in enumerate(COLUMNS):
            item = QTableWidgetItem(column.title)
            item.setToolTip(f"{column.help} Click to sort by it.")
            self.setHorizontalHeaderItem(index, item)
        self.verticalHeader().hide()
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setMinimumHeight(120)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME_COLUMN, QHeaderView.ResizeMode.Fixed)
        header.setSectionsClickable(True)
        header.sectionClicked.connect(self._sort_by)
        self._radios.idClicked.connect(self._activate)

    @property
    def rows(self) -> tuple[ModelRow, ...]:
        """The rows from top to bottom, those that the filter hides too."""
        return self._rows

    def show_rows(self, rows: tuple[ModelRow, ...]) -> None:
        """Show these, in the chosen order; the selected model stays selected."""
        selected = self.selected_row()
        self._rows = self._in_order(rows)
        for button in self._radios.buttons():  # the table deletes them later, not now
            self._radios.removeButton(button)
        with QSignalBlocker(self):
            self.setRowCount(0)
            self.setRowCount(len(self._rows))
            for index, row in enumerate(self._rows):
                self._fill(index, row)
        self._hide()
        self._fit()
        if selected is not None:
            self.select(selected.target)

    def filter(self, text: str) -> None:
        """Hide the rows that lack one of these words."""
        self._words = text.casefold().split()
        self._hide()

    def set_status(self, target: str | Path, text: str) -> None:
        """Write into the status cell of a model."""
        index = self._index(target)
        if index is not None:
            self.item(index, STATUS_COLUMN).setText(text)

    def selected_row(self) -> ModelRow | None:
        """Return the selected row, if there is one."""
        indices = [index.row() for index in self.selectionModel().selectedRows()]
        return self._rows[indices[0]] if indices and indices[0] < len(self._rows) else None

    def select(self, target: str | Path) -> None:
        """Select a model and bring it into view."""
        index = self._index(target)
        if index is not None:
            self.selectRow(index)
            self._bring_into_view(index)

    def check(self, target: str | Path | None) -> None:
        """Mark a model as the active one; None marks none."""
        index = None if target is None else self._index(target)
        if index is not None:
            if target != self._checked:
                self._bring_into_view(index)
            self._radios.button(index).setChecked(True)
            self._checked = target
            return
        self._checked = None
        self._radios.setExclusive(False)
        for button in self._radios.buttons():
            button.setChecked(False)
        self._radios.setExclusive(True)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Keep the status and the selected row in view."""
        super().resizeEvent(event)
        self._fit()
        selected = self.selected_row()
        if selected is not None:
            self._bring_into_view(self._rows.index(selected))

    def _fit(self) -> None:
        room = self.viewport().width() - self.columnWidth(STATUS_COLUMN)
        metrics = self.fontMetrics()
        wanted = max((metrics.horizontalAdvance(row.title) for row in self._rows), default=0)
        width = max(_LEAST_NAME_WIDTH, min(wanted + _MARK_WIDTH, room))
        self.setColumnWidth(NAME_COLUMN, width)
        for index, row in enumerate(self._rows):
            shown = metrics.elidedText(row.title, Qt.TextElideMode.ElideMiddle, width - _MARK_WIDTH)
            self._radios.button(index).setText(shown)

    def _fill(self, index: int, row: ModelRow) -> None:
        for column, text in enumerate(row.cells):
            item = QTableWidgetItem("" if column == NAME_COLUMN else text)
            item.setToolTip(row.details)
            self.setItem(index, column, item)
        radio = QRadioButton(row.title)
        radio.setToolTip(f"{row.title}. {row.details}")
        radio.setEnabled(row.available)
        self._radios.addButton(radio, index)
        self.setCellWidget(index, NAME_COLUMN, radio)

    def _hide(self) -> None:
        for index, row in enumerate(self._rows):
            self.setRowHidden(index, not all(word in row.searched for word in self._words))

    def _sort_by(self, column: int) -> None:
        """Sort by a column, then the other way round, then as the catalogue has them."""
        if column != self._sorted_by:
            self._sorted_by, self._descending = column, False
        elif not self._descending:
            self._descending = True
        else:
            self._sorted_by = None
        header = self.horizontalHeader()
        header.setSortIndicatorShown(self._sorted_by is not None)
        order = Qt.SortOrder.DescendingOrder if self._descending else Qt.SortOrder.AscendingOrder
        header.setSortIndicator(column, order)
        self.show_rows(self._rows)
        self.check(self._checked)

    def _in_order(self, rows: tuple[ModelRow, ...]) -> tuple[ModelRow, ...]:
        """Sort, with rows that have nothing in that column at the end both ways."""
        rows = tuple(sorted(rows, key=lambda row: row.place))
        if self._sorted_by is None:
            return rows
        column = COLUMNS[self._sorted_by]
        keyed = [(column.sort_key(row), row) for row in rows]
        known = [(key, row) for key, row in keyed if key is not None]
        known.sort(key=lambda pair: pair[0], reverse=self._descending)
        return tuple(row for _, row in known) + tuple(row for key, row in keyed if key is None)

    def _activate(self, index: int) -> None:
        self.selectRow(index)
        self.activated_row.emit(self._rows[index])

    def _index(self, target: str | Path) -> int | None:
        targets = (index for index, row in enumerate(self._rows) if row.target == target)
        return next(targets, None)

    def _bring_into_view(self, index: int) -> None:
        self.scrollTo(self.model().index(index, NAME_COLUMN))
