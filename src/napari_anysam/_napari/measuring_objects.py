"""The Measure button of the object table: asks a thread, shows and keeps what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject

from napari_anysam._napari.background import Background
from napari_anysam._napari.object_measures import measuring, with_measures
from napari_anysam._napari.reporting import report, reporting

if TYPE_CHECKING:
    from napari_anysam._napari.controller import SegmentController
    from napari_anysam._napari.object_table import ObjectSection
    from napari_anysam.export.measures import Measures

__all__ = ["MeasuringObjects"]


class MeasuringObjects(QObject):  # type: ignore[misc]  # Qt has no types here
    """Measures the selected objects of the table, or all of them.

    Parameters
    ----------
    control : SegmentController
    table : ObjectSection
    """

    def __init__(
        self, control: SegmentController, table: ObjectSection, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._control = control
        self._table = table
        self._background = Background(self)
        self._measured: dict[int, Measures] = {}
        self._of: tuple[Any, int] = (None, 0)
        control.stacks.lesions.measured.connect(self._show)

    def measure(self, object_ids: tuple[int, ...]) -> None:
        """Measure these objects, on a thread; all if none is named."""
        work = self._control.workspace
        if work is None:
            return
        named = object_ids or tuple(one.object_id for one in self._control.objects.summaries())
        moment = (work.session, work.session.revision)
        with reporting():
            self._background.ask(
                measuring(work, named), lambda found: self._show(moment, found), report
            )

    def follow(self) -> None:
        """Show no measures of objects that have changed since."""
        work = self._control.workspace
        now = (None, 0) if work is None else (work.session, work.session.revision)
        if now != self._of:
            self._of, self._measured = now, {}
        self._table.show_measures(self._measured)

    def close_quietly(self) -> None:
        """Drop what is still on its way."""
        self._background.forget()
        self._control.stacks.lesions.measured.disconnect(self._show)

    def _show(self, moment: tuple[Any, int], found: dict[int, Measures]) -> None:
        self.follow()
        if moment != self._of:
            return
        self._measured = {**self._measured, **found}
        self._table.show_measures(self._measured)
        layer = self._control.labels
        if layer is not None and "index" in layer.features:
            layer.features = with_measures(layer.features, found)
