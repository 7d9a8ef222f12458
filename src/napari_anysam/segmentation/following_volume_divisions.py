"""Objects followed through volumes and time, in which cells divide.

A generation is one run of ``follow_volume_series``. Its masks are gathered by object, time point
and plane; the daughters that turn up in them are the objects of the next run, each from the volume
of its division on. Compare ``following_divisions``, the same for series of planes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from napari_anysam.images.volume_series import VolumeSeries
from napari_anysam.segmentation.divisions import DivisionFinder
from napari_anysam.segmentation.following_divisions import DividingResult
from napari_anysam.segmentation.seen_divisions import divisions_in_volumes
from napari_anysam.segmentation.time_lapse import follow_volume_series
from napari_anysam.segmentation.tracking_results import compose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from numpy.typing import ArrayLike

    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.seen_divisions import Sections, SeenDivision
    from napari_anysam.segmentation.time_lapse import SeriesResult

    Told = Mapping[int, Sequence[Prompt]]
    Tracks = dict[int, dict[int, Sections]]

__all__ = ["DividingVolumeResult", "follow_volume_divisions"]


@dataclass(frozen=True, slots=True, eq=False)
class DividingVolumeResult:
    """What one generation adds to one plane at one time point.

    Parameters
    ----------
    time, plane : int
        Where it is.
    drawn : DividingResult
        ``drawn.drawn_over(labels)`` brings the labels (H, W) there up to date.
    """

    time: int
    plane: int
    drawn: DividingResult


def follow_volume_divisions(
    series: ArrayLike,
    prompts: Told,
    model: PromptableModel | None = None,
    *,
    share: float = 0.25,
    apart: float = 2.0,
    persist: int = 3,
    channel_axis: int | None = None,
    stop: int | None = None,
    cancelled: Callable[[], bool] | None = None,
    **options: Any,
) -> Iterator[DividingVolumeResult]:
    """Follow objects through volumes and time, and their daughters after them; checks at once.

    Parameters
    ----------
    series, prompts, model, channel_axis, stop, cancelled
        As in ``follow_volume_series``. Daughters get the ids above the highest of the prompts.
    share, apart, persist
        See ``divisions.DivisionFinder``. Of an object that is prompted again later on, divisions
        count after its last prompt only.
    **options
        Further ones of ``follow_volume_series``, order "z then t". Daughters are followed forward,
        on the plane where most is seen of them at their birth.

    Returns
    -------
    iterator of DividingVolumeResult
        Generation by generation. Memory holds the packed masks of one generation.

    Raises
    ------
    PromptError, ImageError, CapabilityError
        As ``follow_volume_series`` does.
    LineageError
        If ``share``, ``apart`` or ``persist`` is out of its range.
    """
    DivisionFinder(share=share, apart=apart, persist=persist)  # wrong options are told now
    volumes = VolumeSeries(series, channel_axis)
    follow = partial(
        follow_volume_series,
        series,
        model=model,
        channel_axis=channel_axis,
        stop=stop,
        cancelled=cancelled,
    )
    find = partial(divisions_in_volumes, share=share, apart=apart, persist=persist)
    run = follow(prompts, **options)
    onward = {**options, "direction": "forward", "start": None, "through": "prompted"}
    return _generations(
        {time: list(own) for time, own in prompts.items()},
        run,
        find,
        partial(follow, **onward),
        volumes.plane_shape,
        cancelled or _never,
    )


def _generations(
    told: Told,
    run: Iterator[SeriesResult],
    find: Callable[[Tracks], list[SeenDivision]],
    follow: Callable[[Told], Iterator[SeriesResult]],
    plane_shape: tuple[int, int],
    cancelled: Callable[[], bool],
) -> Iterator[DividingVolumeResult]:
    parents: dict[int, int] = {}
    ends: dict[int, int] = {}
    standing: set[tuple[int, int]] = set()
    next_id = 1 + max(prompt.object_id for own in told.values() for prompt in own)
    for generation in count():
        tracks: Tracks = {}
        for one in run:
            _note(tracks, one)
            standing.discard((one.time, one.plane))
            ended = frozenset(mother for mother, time in ends.items() if time <= one.time)
            drawn = DividingResult(one.answer, generation, ended, dict(parents))
            yield DividingVolumeResult(one.time, one.plane, drawn)
        for time, plane in sorted(standing):  # mothers end where no daughter came, too
            ended = frozenset(mother for mother, birth in ends.items() if birth <= time)
            nothing = compose(plane, [], plane_shape)
            drawn = DividingResult(nothing, generation, ended, dict(parents))
            yield DividingVolumeResult(time, plane, drawn)
        found = [one for one in find(tracks) if one.time > _last_prompt(told, one.parent)]
        if not found or cancelled():
            return
        births: dict[int, list[Prompt]] = {}
        standing = set()
        for division in found:
            daughters, links = division.daughters(next_id)
            births.setdefault(division.time, []).extend(daughters)
            parents |= links
            ends[division.parent] = division.time
            standing |= {
                (time, plane)
                for time, sections in tracks[division.parent].items()
                for plane in sections
                if time >= division.time
            }
            next_id += 2
        told = births
        run = follow(told)


def _note(tracks: Tracks, one: SeriesResult) -> None:
    """Keep the masks of a plane in place of earlier ones; every time point is named."""
    for number, window in zip(one.answer.object_ids, one.answer.windows, strict=True):
        sections = tracks.setdefault(number, {}).setdefault(one.time, {})
        sections.pop(one.plane, None)
        if window is not None:
            sections[one.plane] = window


def _last_prompt(told: Told, object_id: int) -> int:
    return max(time for time, own in told.items() if any(one.object_id == object_id for one in own))


def _never() -> bool:
    return False
