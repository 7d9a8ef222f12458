"""What the chosen Labels layer holds, made here or not: counted in the inference thread.

The count follows what is written in a session, painted with a brush, or taken back.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_anysam._napari.connections import Connections
from napari_anysam._napari.inference import Priority
from napari_anysam._napari.label_store import store_of
from napari_anysam._napari.reporting import report
from napari_anysam.errors import ImageError
from napari_anysam.segmentation.label_census import LabelCensus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_anysam._napari.inference import InferenceThread, Ticket
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.label_census import FoundObject

__all__ = ["FoundLabels"]

_TURN_SECONDS = 0.02
"""How long is counted before a click gets its turn."""


class FoundLabels:
    """Keeps ``Workspace.found`` true.

    Parameters
    ----------
    viewer : napari viewer
    inference : InferenceThread
    on_change : callable
        Called when something else is found.
    """

    def __init__(
        self, viewer: Any, inference: InferenceThread, on_change: Callable[[], None]
    ) -> None:
        self._viewer = viewer
        self._inference = inference
        self._on_change = on_change
        self._connections = Connections()
        self._work: Workspace | None = None
        self._target: Any = None
        self._count_number = 0
        self._ticket: Ticket | None = None
        # Planes to be counted; None stands for all of them.
        self._stale: set[tuple[int, ...]] | None = set()
        self._painted: set[tuple[int, ...]] = set()
        self._point: tuple[float, ...] = ()
        self._version = 0

    @property
    def is_counting(self) -> bool:
        """Whether what is found may be different in a moment."""
        return self._ticket is not None

    def follow(self, work: Workspace | None) -> None:
        """Count the labels of this workspace from now on, and what its session wrote."""
        target = None if work is None else work.target
        if work is not self._work or target is not self._target:
            self._begin(work, target)
        elif work is not None and self._stale is not None:
            self._stale.update(work.session.take_touched())
        self._count()

    def stop(self) -> None:
        """Let go of the layer."""
        self._begin(None, None)

    def _begin(self, work: Workspace | None, target: Any) -> None:
        if self._ticket is not None:
            self._ticket.cancel()
        self._connections.disconnect()
        self._work, self._target, self._ticket = work, target, None
        self._count_number += 1
        self._painted.clear()
        self._stale = None
        if work is None:
            return
        work.found, work.census = {}, None
        work.session.take_touched()
        if target is None:
            return
        with suppress(ImageError):  # a store with rolled axes; writing into it says so
            work.census = LabelCensus(target.array)
        events = target.layer.events
        self._connections.connect(events.paint, self._on_stroke)
        self._connections.connect(events.set_data, self._on_shown)
        self._connections.connect(events.data, self._on_data)

    def _count(self) -> None:
        """Begin to count what is stale, unless that is under way."""
        census = None if self._work is None else self._work.census
        if census is None or self._ticket is not None:
            return
        if self._stale is not None and not self._stale:
            return
        planes, self._stale = self._stale, set()
        self._ticket = self._inference.stream(
            partial(_turns, census, planes),
            partial(self._take, self._count_number),
            partial(self._finish, self._count_number),
            priority=Priority.BACKGROUND,
        )

    def _take(self, number: int, found: dict[int, FoundObject] | None) -> None:
        work = self._work
        if found is None or work is None or number != self._count_number:
            return
        if self._stale == set() and found != work.found:  # else it is counted again anyway
            work.found = found
            work.show_features()

    def _finish(self, number: int, error: Exception | None) -> None:
        if number != self._count_number:
            return  # of labels that are counted no more
        self._ticket = None
        if error is not None:
            report(error)
        self._on_change()

    def _on_stroke(self, _event: Any = None) -> None:
        layer, work = self._target.layer, self._work
        if layer.n_edit_dimensions > 2 or work is None:
            self._stale = None
        else:
            index = work.frame().index
            self._painted.add(index)
            self._point = tuple(self._viewer.dims.point)
            if self._stale is not None:
                self._stale.add(index)
        self._count()

    def _on_shown(self, _event: Any = None) -> None:
        """Count again what may have been taken back: napari's undo says no more than this."""
        point, store = tuple(self._viewer.dims.point), store_of(self._target.layer)
        if store is not None:
            if store.version != self._version:
                self._version, self._stale = store.version, None
        elif point == self._point and self._painted and self._stale is not None:
            self._stale.update(self._painted)
        self._point = point
        self._count()

    def _on_data(self, _event: Any = None) -> None:
        self._begin(self._work, self._target)
        self._count()


def _turns(
    census: LabelCensus, planes: set[tuple[int, ...]] | None, cancelled: Callable[[], bool]
) -> Iterator[dict[int, FoundObject] | None]:
    """Count for a moment at a time; the last turn gives what was found."""
    began = time.monotonic()
    for _ in census.count(planes):
        if cancelled():
            return
        if time.monotonic() - began > _TURN_SECONDS:
            yield None
            began = time.monotonic()
    yield census.found()
