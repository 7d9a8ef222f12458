"""One run through z and t together: every marked object in every volume, with one id."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_anysam._napari.pixels import series_of
from napari_anysam._napari.propagation import (
    Propagation,
    StackAxis,
    StackRange,
    reason_not_to_propagate,
)
from napari_anysam._napari.run_progress import RunProgress, planes_to_come
from napari_anysam._napari.time_axis import other_axis, time_axis
from napari_anysam.errors import CapabilityError, ImageError
from napari_anysam.segmentation.journal import record_of
from napari_anysam.segmentation.lifetimes import absences
from napari_anysam.segmentation.series_planes import SeriesPlanes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.engine import Engine
    from napari_anysam._napari.propagation import Direction, Plane
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.journal import Run
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.session import KeptMask, PromptKey

__all__ = [
    "VolumeRange",
    "VolumeRun",
    "reason_not_to_follow_volumes",
    "series_planes",
    "volume_axes",
]

_TWO_SLIDERS = "This needs an image with two sliders, time and z."


@dataclass(frozen=True, slots=True)
class VolumeRange:
    """Where to follow objects through z and t.

    Parameters
    ----------
    first_time, last_time : int
        Time points, both included.
    first_plane, last_plane : int
        Planes of every volume, both included.
    direction : {"both", "forward", "backward"}
        Through time; z is followed both ways.
    """

    first_time: int
    last_time: int
    first_plane: int
    last_plane: int
    direction: Direction = "both"


def volume_axes(names: tuple[str, ...], frame: PlaneFrame) -> tuple[StackAxis, StackAxis] | None:
    """Return the sliders time and z of an image with two; None of others.

    Parameters
    ----------
    names : tuple of str
        Of all data axes, as the layer has them.
    frame : PlaneFrame
    """
    time = time_axis(names, frame)
    depth = other_axis(frame, time)
    if time is None or depth is None:
        return None
    first, second = (
        StackAxis(axis, str(names[axis]), frame.shape[frame.order.index(axis)])
        for axis in (time, depth)
    )
    return first, second


def series_planes(work: Workspace, frame: PlaneFrame) -> SeriesPlanes:
    """Return how the planes of an image with two sliders are counted.

    Raises
    ------
    CapabilityError
        If it has not two.
    """
    axes = volume_axes(work.image.axis_labels, frame)
    if axes is None:
        raise CapabilityError(_TWO_SLIDERS)
    places = (frame.order.index(one.axis) for one in axes)
    return SeriesPlanes(frame.hidden_shape, frame.index, *places)


def reason_not_to_follow_volumes(model: PromptableModel | None, work: Workspace | None) -> str:
    """Say why objects cannot be followed through z and t; empty when they can."""
    if work is None:
        return "Choose an image first."
    try:
        frame = work.frame()
    except ImageError as error:
        return str(error)
    if volume_axes(work.image.axis_labels, frame) is None:
        return _TWO_SLIDERS
    if work.appearance.look().follow_axis is not None:
        return "The contrast follows one axis; choose one contrast for all planes in Image."
    return reason_not_to_propagate(model, work, frame)


class VolumeRun(Propagation):
    """A run through a time series of volumes; see ``time_lapse``, order "z then t".

    Positions are the numbers of planes here, counted through time and depth.

    Parameters
    ----------
    where : VolumeRange or None
        None for everything.
    work, frame, engine, on_change, on_written, on_end
        See ``Propagation``.

    Raises
    ------
    CapabilityError
        If the image has no two sliders, or the model cannot track.
    """

    def __init__(
        self,
        where: VolumeRange | None,
        work: Workspace,
        frame: PlaneFrame,
        engine: Engine,
        on_change: Callable[[], None],
        on_written: Callable[[Mapping[PromptKey, KeptMask | None]], None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        axes = volume_axes(work.image.axis_labels, frame)
        if axes is None or reason_not_to_follow_volumes(engine.model, work):
            raise CapabilityError(reason_not_to_follow_volumes(engine.model, work))
        time, depth = axes
        self._depth = depth.axis
        self._series = series_planes(work, frame)
        where = where or VolumeRange(0, time.length - 1, 0, depth.length - 1)
        self._planes_asked = where.first_plane, where.last_plane + 1
        through = StackRange(time.axis, where.first_time, where.last_time, where.direction)
        super().__init__(work, frame, through, engine, on_change, on_written, on_end)
        self.title = "propagation through z and t"
        self._volumes, self._channel_axis = series_of(self._look, frame, (time.axis, depth.axis))

    def _make_progress(self) -> RunProgress:
        first, stop = self._planes_asked
        times = planes_to_come(self._where, sorted(self._series.by_time(self._prompts)))
        return RunProgress(times * (stop - first))

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
        where = self._where
        z_start, z_stop = self._planes_asked
        results = follow_volume_series(
            self._volumes,
            self._series.by_time(self._prompts),
            self._engine.model,
            direction=where.direction,
            start=where.first,
            stop=where.last + 1,
            z_start=z_start,
            z_stop=z_stop,
            conditioning=self._conditioning,
            channel_axis=self._channel_axis,
            cancelled=cancelled,
        )
        for one in results:
            number = self._series.number(one.time, one.plane)
            yield number, self._masks_of(one.answer, number)

    def _run(self) -> Run | None:
        run = super()._run()
        if run is None:
            return None
        across, depths = self._depth, self._planes_asked
        return replace(run, across=across, depths=depths, memory="full", ending=None)
