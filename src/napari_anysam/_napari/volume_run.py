"""One run through z and t together: every marked object in every volume, with one id."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_anysam._napari.pixels import series_of
from napari_anysam._napari.propagation import (
    Propagation,
    StackRange,
    reason_not_to_propagate,
)
from napari_anysam._napari.run_progress import RunProgress
from napari_anysam._napari.time_axis import other_axis, time_axis
from napari_anysam.errors import CapabilityError, ImageError
from napari_anysam.segmentation.journal import record_of
from napari_anysam.segmentation.lifetimes import absences
from napari_anysam.segmentation.series_planes import SeriesPlanes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.engine import Engine
    from napari_anysam._napari.propagation import Plane
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.journal import Run
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.session import KeptMask, PromptKey

__all__ = ["VolumeRun", "reason_not_to_follow_volumes"]


def reason_not_to_follow_volumes(model: PromptableModel | None, work: Workspace | None) -> str:
    """Say why objects cannot be followed through z and t; empty when they can."""
    if work is None:
        return "Choose an image first."
    try:
        frame = work.frame()
    except ImageError as error:
        return str(error)
    if other_axis(frame, time_axis(work.image.axis_labels, frame)) is None:
        return "This needs an image with two sliders, time and z."
    if work.appearance.look().follow_axis is not None:
        return "The contrast follows one axis; choose one contrast for all planes in Image."
    return reason_not_to_propagate(model, work, frame)


class VolumeRun(Propagation):
    """A run through a time series of volumes; see ``time_lapse``, order "z then t".

    Positions are the numbers of planes here, counted through time and depth.

    Parameters
    ----------
    work, frame, engine, on_change, on_written, on_end
        See ``Propagation``.

    Raises
    ------
    CapabilityError
        If the image has no two sliders, or the model cannot track.
    """

    def __init__(
        self,
        work: Workspace,
        frame: PlaneFrame,
        engine: Engine,
        on_change: Callable[[], None],
        on_written: Callable[[Mapping[PromptKey, KeptMask | None]], None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        time = time_axis(work.image.axis_labels, frame)
        depth = other_axis(frame, time)
        if time is None or depth is None or reason_not_to_follow_volumes(engine.model, work):
            raise CapabilityError(reason_not_to_follow_volumes(engine.model, work))
        self._depth = depth
        places = frame.order.index(time), frame.order.index(depth)
        self._series = SeriesPlanes(frame.hidden_shape, frame.index, *places)
        where = StackRange(time, 0, frame.shape[places[0]] - 1)
        super().__init__(work, frame, where, engine, on_change, on_written, on_end)
        self.title = "propagation through z and t"
        self._volumes, self._channel_axis = series_of(self._look, frame, (time, depth))

    def _make_progress(self) -> RunProgress:
        hidden = self._series.hidden_shape
        return RunProgress(hidden[self._series.time] * hidden[self._series.depth])

    def _stack_prompts(self) -> list[Prompt]:
        keys = dict.fromkeys(self._anchor_keys())
        return [self._as_seen(key, key[1]) for key in keys if key[1] is not None]

    def _absences(self) -> frozenset[PromptKey]:
        count = range(self._series.hidden_shape[self._series.time])
        depth = range(self._series.hidden_shape[self._series.depth])
        numbers = {self._series.number(time, plane): time for time in count for plane in depth}
        return absences(self.work.session, numbers)

    def _frame_at(self, position: int) -> PlaneFrame:
        return self._frame.numbered(position)

    def _track(self, cancelled: Callable[[], bool]) -> Iterator[Plane]:
        from napari_anysam.segmentation.time_lapse import follow_volume_series

        self._record = record_of(self._engine.model)
        results = follow_volume_series(
            self._volumes,
            self._series.by_time(self._prompts),
            self._engine.model,
            conditioning=self._conditioning,
            channel_axis=self._channel_axis,
            cancelled=cancelled,
        )
        for one in results:
            number = self._series.number(one.time, one.plane)
            yield number, self._masks_of(one.answer, number)

    def _run(self) -> Run | None:
        run = super()._run()
        return None if run is None else replace(run, across=self._depth, memory="full", ending=None)
