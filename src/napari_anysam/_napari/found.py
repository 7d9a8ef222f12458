"""What a search for everything has found, to be looked through: each object is kept or dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_anysam._napari.box_outline import BoxOutline
from napari_anysam._napari.coordinates import show_plane
from napari_anysam._napari.visible import visible_box

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from napari_anysam._napari.clicking import Clicking
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.session import KeptMask

__all__ = ["FoundObjects", "FoundState"]

OUTLINE_NAME = "AnySAM found object"


@dataclass(frozen=True, slots=True)
class FoundState:
    """How far the objects were looked through.

    Parameters
    ----------
    count : int
        Found objects that are still there.
    place : int
        Which one is looked at, from 1; 0 before the first.
    score : float or None
        Its predicted IoU.
    area : int
        Its pixels.
    """

    count: int
    place: int = 0
    score: float | None = None
    area: int = 0


class FoundObjects:
    """Objects of one run, walked through one by one.

    All of them are kept unless they are dropped; undo brings dropped ones back.

    Parameters
    ----------
    viewer : napari viewer
    clicking : Clicking
        Knows the image that is worked on.
    delete : callable
        Deletes objects by their ids, as one step.
    on_change : callable
        Called when another object is looked at.
    """

    def __init__(
        self,
        viewer: Any,
        clicking: Clicking,
        delete: Callable[[Collection[int]], None],
        on_change: Callable[[], None],
    ) -> None:
        self._viewer = viewer
        self._clicking = clicking
        self._delete = delete
        self._on_change = on_change
        self._outline = BoxOutline(viewer, OUTLINE_NAME, "found")
        self._run: tuple[Workspace, PlaneFrame, Sequence[int]] | None = None
        self._current: int | None = None

    @property
    def state(self) -> FoundState:
        """How far the user is."""
        masks = self._masks()
        ids = list(masks)
        if self._current not in masks:
            return FoundState(len(ids))
        mask = masks[self._current]
        place = ids.index(self._current) + 1
        return FoundState(len(ids), place, mask.score, mask.window.area)

    def begin(self, work: Workspace, frame: PlaneFrame, object_ids: Sequence[int]) -> None:
        """Offer the objects that a run has written on a plane."""
        self.end()
        self._run = work, frame, tuple(object_ids)

    def end(self) -> None:
        """Look at nothing any more; what was not dropped is kept."""
        self._run = self._current = None
        self._outline.remove()
        self._on_change()

    def keep(self) -> None:
        """Go to the next object; after the last one all have been looked at."""
        self._go_to(self.state.place + 1)

    def go_back(self) -> None:
        """Look at the object before."""
        self._go_to(max(1, self.state.place - 1))

    def drop(self) -> None:
        """Delete the object that is looked at, and go to the next."""
        place = self.state.place
        if place and self._current is not None:
            self._delete([self._current])
            self._go_to(min(place, self.state.count))

    def drop_below(self, score: float, area: int) -> None:
        """Delete the objects of a lower score or fewer pixels, as one step."""
        low = self.below(score, area)
        if low:
            self._delete(low)
            self._go_to(min(self.state.place, self.state.count))

    def below(self, score: float, area: int) -> list[int]:
        """Return the ids of the objects of a lower score or fewer pixels."""
        return [
            object_id
            for object_id, mask in self._masks().items()
            if (mask.score is not None and mask.score < score) or mask.window.area < area
        ]

    def _masks(self) -> dict[int, KeptMask]:
        """Return the masks of the objects that are still there, in the order of their ids."""
        if self._run is None:
            return {}
        work, frame, ids = self._run
        if work is not self._clicking.work:
            return {}
        kept = work.session.kept
        return {one: kept[one, frame.number] for one in ids if (one, frame.number) in kept}

    def _go_to(self, place: int) -> None:
        """Show the object at a place from 1; there is none after the last."""
        masks = self._masks()
        if self._run is None or place > len(masks) > 0:
            self.end()
            return
        if not 0 < place <= len(masks):
            self._current = None
            self._outline.remove()
            self._on_change()  # undo may bring what was dropped back
            return
        work, frame, _ = self._run
        self._current = list(masks)[place - 1]
        rows, columns = masks[self._current].window.slices
        show_plane(self._viewer.dims, work.image, frame)
        self._bring_into_view(work, frame, (rows.start + rows.stop) / 2, columns)
        self._outline.draw(work.image, frame, (rows.start, columns.start, rows.stop, columns.stop))
        self._on_change()

    def _bring_into_view(
        self, work: Workspace, frame: PlaneFrame, row: float, columns: slice
    ) -> None:
        column = (columns.start + columns.stop) / 2
        seen = visible_box(self._viewer, work.image, frame)
        if seen is not None and seen[0] <= row <= seen[2] and seen[1] <= column <= seen[3]:
            return
        (place,) = frame.coordinates([(row, column)])
        world = work.image.data_to_world(place)
        displayed = [world[axis - self._viewer.dims.ndim] for axis in self._viewer.dims.displayed]
        self._viewer.camera.center = (0, *displayed)
