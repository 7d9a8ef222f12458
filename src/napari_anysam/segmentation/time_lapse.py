"""Objects followed through volumes and through time.

In order "z then t" an object is followed through the volume of the time point where it was
prompted; on one plane of that volume it is followed through time; and from the mask that this gives
at each time point it is followed through the volume there. So an object has one id at all times.
It must stay on that plane: one that leaves it, up or down, is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from napari_anysam.errors import PromptError
from napari_anysam.images.conditioning import resolve_conditioning
from napari_anysam.images.volume_series import VolumeSeries
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.tracking import Tracker
from napari_anysam.segmentation.tracking_plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike

    from napari_anysam.images.conditioning import Conditioning, Contrast
    from napari_anysam.images.planes import Planes
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.tracking import Direction
    from napari_anysam.segmentation.tracking_results import PropagationResult
    from napari_anysam.segmentation.windows import Window

    Prompts = Mapping[int, Sequence[Prompt]]

__all__ = ["Order", "SeriesResult", "follow_volume_series"]

Order = Literal["z", "t", "z then t"]


@dataclass(frozen=True, slots=True, eq=False)
class SeriesResult:
    """All that is known for one plane at one time point.

    Parameters
    ----------
    time, plane : int
        Where it is.
    answer : PropagationResult
        Labels, masks and scores; its index is the one along the axis that was followed.
    """

    time: int
    plane: int
    answer: PropagationResult


def follow_volume_series(
    series: ArrayLike,
    prompts: Prompts,
    model: PromptableModel | None = None,
    *,
    order: Order = "z then t",
    through: Literal["prompted", "largest"] = "prompted",
    direction: Direction = "both",
    start: int | None = None,
    stop: int | None = None,
    z_start: int | None = None,
    z_stop: int | None = None,
    region: Literal["auto", "plane"] = "auto",
    contrast: Contrast = "auto",
    channel_axis: int | None = None,
    conditioning: Conditioning | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[SeriesResult]:
    """Follow objects through a time series of volumes; checks at once, computes as asked for.

    Parameters
    ----------
    series : array (T, Z, Y, X) or, with ``channel_axis``, of five dimensions
        numpy, dask or zarr; planes are read one at a time.
    prompts : mapping of int to sequence of Prompt
        Time point to prompts, each of which names its plane, the index along z.
    model : PromptableModel, optional
        From ``load_model``; the shipped model if left out.
    order : {"z then t", "z", "t"}
        "z" stays within the prompted time points, "t" on the prompted planes.
    through : {"prompted", "largest"}
        In "z then t", the plane on which an object is followed through time: that of its first
        prompt, or the one where it is largest in its first prompted volume.
    direction : {"both", "forward", "backward"}
        Through time; z is followed both ways.
    start, stop : int, optional
        Half-open range of time points to answer.
    z_start, z_stop : int, optional
        Half-open range of planes to answer. Prompts outside it are followed into it.
    region, contrast, channel_axis
        As in ``propagate``. The contrast is one for the whole series, and cannot follow it.
    conditioning : Conditioning, optional
        How planes are shown to the network, in place of ``contrast``.
    cancelled : callable, optional
        Asked between planes; when it answers True the run ends without an exception.

    Returns
    -------
    iterator of SeriesResult
        A later result for a plane replaces the earlier one. Memory holds, beside what ``propagate``
        holds, one packed mask per object and time point.

    Raises
    ------
    PromptError
        If there is no prompt, one lies outside, an option is none of these, or an object does not
        reach the time points asked for.
    ImageError
        If it is no time series of volumes.
    CapabilityError
        If the model segments single images only.
    """
    volumes = VolumeSeries(series, channel_axis)
    told = {int(time): list(own) for time, own in prompts.items() if own}
    times = _checked_range("Time points", volumes.count, start, stop)
    planes = _checked_range("Planes", volumes.depth, z_start, z_stop)
    _check(volumes, told, order, through, direction)
    if order != "z":
        _check_reach(told, times, direction)
    if isinstance(contrast, str) and contrast == "follow":
        raise PromptError("The contrast cannot follow two axes; use 'auto' or (low, high).")
    if model is None:
        from napari_anysam.networks.load import load_model

        model = load_model("anysam-nano")
    if conditioning is None:
        conditioning = resolve_conditioning(volumes.all_planes(), contrast)
    run = _Run(model, volumes, conditioning, region, direction, times, planes, cancelled or _never)
    run.tracker(volumes.through_z(0))  # a model that cannot follow is told now
    if order == "z":
        found = run.through_volumes({time: own for time, own in told.items() if time in times})
    elif order == "t":
        found = run.through_time(
            {plane: own for plane, own in _by_plane(told).items() if plane in planes}
        )
    else:
        found = run.through_both(told, through)
    return (one for one in found if one.plane in planes)


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """A checked request."""

    model: PromptableModel
    volumes: VolumeSeries
    conditioning: Conditioning
    region: Literal["auto", "plane"]
    direction: Direction
    times: range
    planes: range
    cancelled: Callable[[], bool]

    def tracker(self, planes: Planes) -> Tracker:
        return Tracker(self.model, planes, self.conditioning, region=self.region)

    def through_volumes(self, prompts: Prompts) -> Iterator[SeriesResult]:
        """Follow through z at each of these time points, as far as planes or prompts reach."""
        for time in sorted(prompts):
            tracker = self.tracker(self.volumes.through_z(time))
            prompted = [prompt.plane or 0 for prompt in prompts[time]]
            for answer in tracker.run(
                prompts[time],
                start=min(self.planes.start, *prompted),
                stop=max(self.planes.stop - 1, *prompted) + 1,
                cancelled=self.cancelled,
            ):
                yield SeriesResult(time, answer.index, answer)

    def through_time(self, prompts: Prompts) -> Iterator[SeriesResult]:
        """Follow through t on each of these planes; the prompts name time points."""
        for plane in sorted(prompts):
            tracker = self.tracker(self.volumes.through_t(plane))
            for answer in tracker.run(
                prompts[plane],
                direction=self.direction,
                start=self.times.start,
                stop=self.times.stop,
                cancelled=self.cancelled,
            ):
                yield SeriesResult(answer.index, plane, answer)

    def through_both(
        self, prompts: Prompts, through: Literal["prompted", "largest"]
    ) -> Iterator[SeriesResult]:
        """Follow through prompted volumes, then on one plane, then through all other volumes."""
        found: dict[int, dict[int, dict[int, Window]]] = {}
        for result in self.through_volumes(prompts):
            if result.time in self.times:
                yield result
            _remember(found.setdefault(result.time, {}), result)
        anchors = _anchors(prompts, found, through)
        sections: dict[int, dict[int, Prompt]] = {}
        for result in self.through_time(anchors):
            answer = result.answer
            for number, window in zip(answer.object_ids, answer.windows, strict=True):
                here = sections.setdefault(result.time, {})
                here.pop(number, None)
                if window is not None:
                    here[number] = _prompt(number, result.plane, window)
        if self.cancelled():
            return
        for time in sorted(sections):
            own = prompts.get(time, ())
            known = {prompt.object_id for prompt in own}
            others = [one for number, one in sections[time].items() if number not in known]
            if others:
                yield from self.through_volumes({time: [*own, *others]})


def _remember(volume: dict[int, dict[int, Window]], result: SeriesResult) -> None:
    """Keep the masks of a plane, by object and plane, in place of earlier ones."""
    for number, window in zip(result.answer.object_ids, result.answer.windows, strict=True):
        own = volume.setdefault(number, {})
        own.pop(result.plane, None)
        if window is not None:
            own[result.plane] = window


def _anchors(
    prompts: Prompts,
    found: Mapping[int, Mapping[int, Mapping[int, Window]]],
    through: Literal["prompted", "largest"],
) -> dict[int, list[Prompt]]:
    """Choose one plane per object; return plane to masks there at the prompted time points."""
    planes: dict[int, int] = {}
    anchors: dict[int, list[Prompt]] = {}
    for time in sorted(found):
        for prompt in prompts[time]:
            number = prompt.object_id
            windows = found[time].get(number, {})
            if number not in planes and windows:
                asked = prompt.plane or 0
                largest = max(windows, key=lambda plane: windows[plane].area)
                planes[number] = largest if through == "largest" else asked
        for number, windows in found[time].items():
            window = windows.get(planes.get(number, -1))
            if window is not None:
                anchor = replace(_prompt(number, planes[number], window), plane=time)
                anchors.setdefault(planes[number], []).append(anchor)
    return anchors


def _prompt(number: int, plane: int, window: Window) -> Prompt:
    return Prompt(number, plane, mask=window.mask, mask_origin=window.origin)


def _by_plane(prompts: Prompts) -> dict[int, list[Prompt]]:
    """Turn time point to prompts on planes into plane to prompts at time points."""
    turned: dict[int, list[Prompt]] = {}
    for time, own in prompts.items():
        for prompt in own:
            turned.setdefault(prompt.plane or 0, []).append(replace(prompt, plane=time))
    return turned


def _checked_range(name: str, count: int, start: int | None, stop: int | None) -> range:
    first = 0 if start is None else start
    last = count if stop is None else stop
    if not 0 <= first < last <= count:
        raise PromptError(
            f"{name} {first} to {last} (stop excluded) are no range of this series; use "
            f"0 <= start < stop <= {count}."
        )
    return range(first, last)


def _check_reach(prompts: Prompts, times: range, direction: str) -> None:
    """Refuse objects that would be followed through volumes and then reach no time point."""
    own: dict[int, list[int]] = {}
    for time in sorted(prompts):
        for prompt in prompts[time]:
            own.setdefault(prompt.object_id, []).append(time)
    for number, known in own.items():
        late = direction == "forward" and known[0] >= times.stop
        if late or (direction == "backward" and known[-1] < times.start):
            raise PromptError(
                f"Going {direction} from its prompts at time points "
                f"{', '.join(map(str, known))}, object {number} does not reach time points "
                f"{times.start} to {times.stop - 1}; widen the range or use direction='both'."
            )


def _check(volumes: VolumeSeries, prompts: Prompts, order: str, through: str, way: str) -> None:
    if order not in ("z", "t", "z then t"):
        raise PromptError(f"order is {order!r}; use 'z then t', 'z' or 't'.")
    if through not in ("prompted", "largest"):
        raise PromptError(f"through is {through!r}; use 'prompted' or 'largest'.")
    if not prompts:
        raise PromptError("There is no prompt; give a time point with at least one.")
    for time, own in prompts.items():
        if not 0 <= time < volumes.count:
            raise PromptError(
                f"There is a prompt at time point {time}, outside the series; use 0 to "
                f"{volumes.count - 1}."
            )
        make_plan(own, volumes.plane_shape, volumes.depth, way)


def _never() -> bool:
    return False
