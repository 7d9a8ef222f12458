"""One lesion followed from its key slice, as MedSAM2 does it (``segmentation/key_slice.py``)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_anysam._napari.propagation import Propagation
from napari_anysam.segmentation.key_slice import largest_part, lesion_region

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.engine import Engine
    from napari_anysam._napari.propagation import Plane, StackRange
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.journal import Run
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.session import KeptMask, PromptKey
    from napari_anysam.segmentation.windows import Window

__all__ = ["LesionRun"]


@dataclass(frozen=True, slots=True)
class _Cut:
    """What becomes of the planes that lose pixels; written at once, when the last one is there."""

    planes: tuple[Plane, ...]


class LesionRun(Propagation):
    """A run of one object from one prompt, in both directions, of which the largest part stays.

    The prompt is what was drawn on the key slice, not the mask that came of it. Planes are written
    as they come; what is not connected to most of the lesion is taken out at the end, also of a run
    that was cancelled.

    Parameters
    ----------
    key : (object id, plane)
        Of the prompt on the key slice.
    work, frame, where, engine, on_change, on_written, on_end
        See ``Propagation``; the direction is always "both".
    """

    def __init__(
        self,
        key: PromptKey,
        work: Workspace,
        frame: PlaneFrame,
        where: StackRange,
        engine: Engine,
        on_change: Callable[[], None],
        on_written: Callable[[Mapping[PromptKey, KeptMask | None]], None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        self.object_id = key[0]
        self._key = key
        self._largest = False
        both = replace(where, direction="both")
        super().__init__(work, frame, both, engine, on_change, on_written, on_end)
        self.title = f"lesion {key[0]}"
        self._region = lesion_region(engine.model, frame.plane_shape)

    def _anchor_keys(self) -> list[PromptKey]:
        return [self._key]

    def _as_seen(self, key: PromptKey, position: int) -> Prompt:
        drawn = self.work.session.prompts[key]
        return replace(drawn, plane=position, mask=None, mask_origin=None)

    def _track(self, cancelled: Callable[[], bool]) -> Iterator[Plane | _Cut]:  # type: ignore[override]
        found: dict[int, KeptMask | None] = {}
        for position, masks in super()._track(cancelled):
            found[position] = masks.get(self.object_id)
            yield position, masks
        windows = {at: None if mask is None else mask.window for at, mask in found.items()}
        yield _Cut(
            tuple(
                (position, {self.object_id: _with_window(found[position], window)})
                for position, window in largest_part(windows).items()
            )
        )

    def _write(self, plane: Plane | _Cut) -> None:
        if not isinstance(plane, _Cut):
            super()._write(plane)
        elif self._may_write():
            self._largest = True
            for position, masks in plane.planes:
                self._write_plane(position, masks)

    def _run(self) -> Run | None:
        run = super()._run()
        return None if run is None else replace(run, largest=self._largest)


def _with_window(mask: KeptMask | None, window: Window | None) -> KeptMask | None:
    return None if mask is None or window is None else replace(mask, window=window)
