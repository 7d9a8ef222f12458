"""One object followed anew from a plane on which it was corrected; what is reviewed stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_anysam._napari.from_label import label_window
from napari_anysam._napari.propagation import Propagation, StackRange
from napari_anysam._napari.run_progress import RunProgress
from napari_anysam.errors import PromptError
from napari_anysam.segmentation.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.engine import Engine
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.session import KeptMask, PromptKey
    from napari_anysam.segmentation.tracking import Tracker
    from napari_anysam.segmentation.tracking_results import PropagationResult
    from napari_anysam.segmentation.windows import Window

__all__ = ["Repair"]


class Repair(Propagation):
    """A run of one object, from one plane outward as far as there is something to change.

    On each side it goes to the nearest plane that is reviewed or on which the object is prompted,
    and ends before that once the object is as it was.

    Parameters
    ----------
    object_id : int
        Whose mask on the plane of ``frame`` is right now.
    axis : int
        Hidden data axis to follow it along.
    work, frame, engine, on_change, on_written, on_end
        See ``Propagation``.
    """

    def __init__(
        self,
        object_id: int,
        axis: int,
        work: Workspace,
        frame: PlaneFrame,
        engine: Engine,
        on_change: Callable[[], None],
        on_written: Callable[[Mapping[PromptKey, KeptMask | None]], None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        place = frame.order.index(axis)
        self.object_id = object_id
        self._position = frame.index[place]
        where = StackRange(axis, 0, frame.shape[place] - 1)
        super().__init__(work, frame, where, engine, on_change, on_written, on_end)
        self.title = f"repair of object {object_id}"
        known = {
            number: mask.window
            for (one, number), mask in work.session.kept.items()
            if one == object_id
        }
        self._before: dict[int, Window | None] = {
            position: known.get(frame.at(axis, position).number)
            for position in range(frame.shape[place])
        }
        self._repaired = (object_id, self._position)
        self._ends_early = True

    def _make_progress(self) -> RunProgress:
        """Count the planes to the locked ones, from which they are answered a second time."""
        position, length = self._position, self._where.last + 1
        self._reviewed = frozenset(
            other
            for other in range(length)
            if (self.object_id, self._frame.at(self._where.axis, other).number) in self._locked
        )
        locked = self._reviewed.union(prompt.plane or 0 for prompt in self._prompts)
        left = max((one for one in locked if one < position), default=-1)
        right = min((one for one in locked if one > position), default=length)
        before, after = position - left - 1, right - position - 1
        twice = (before if left >= 0 else 0) + (after if right < length else 0)
        return RunProgress(before + after + 1, twice)

    def _anchor_keys(self) -> list[PromptKey]:
        here = (self.object_id, self._frame.number)
        return [here, *(key for key in self.work.session.prompts if key[0] == self.object_id)]

    def _as_seen(self, key: PromptKey, position: int) -> Prompt:
        """Return the mask as it is in the labels on the corrected plane: a brush corrects too."""
        target = self.work.target
        if position == self._position and target is not None:
            window = label_window(target.layer, key[0], self._frame)
            if window is not None:
                return Prompt(key[0], position, mask=window.mask, mask_origin=window.origin)
        if key not in self.work.session.kept and key not in self.work.session.prompts:
            raise PromptError(
                f"Object {key[0]} is not on this plane; click it here first, and then repair."
            )
        return super()._as_seen(key, position)

    def _results(
        self, tracker: Tracker, cancelled: Callable[[], bool]
    ) -> Iterator[PropagationResult]:
        return tracker.repair(
            self._prompts,
            self.object_id,
            self._position,
            before=self._before.get,
            reviewed=self._reviewed,
            cancelled=cancelled,
        )
