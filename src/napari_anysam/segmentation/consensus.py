"""Objects of a volume followed along all three of its axes, and what the majority says.

From its prompts an object is followed along one axis. Its masks on the prompted planes are sure;
across each of the other axes, the plane that cuts them longest is prompted with clicks along that
cut, and from there the object is followed too. Clicks, not the mask that the first axis found
there: following easily goes on beyond an object's end, and a mask that does would be confirmed. A
voxel belongs to the object if two of the three say so. Planes across anisotropic volumes are shown
to the network in their true aspect (``images/square_pixels.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_anysam.errors import Cancelled, ImageError, OptionsError
from napari_anysam.images.conditioning import resolve_conditioning
from napari_anysam.images.planes import Planes
from napari_anysam.images.square_pixels import SquarePixels
from napari_anysam.segmentation.object_volume import ObjectVolume, joined_box
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.regions import Region, mask_in
from napari_anysam.segmentation.tracking import Tracker
from napari_anysam.segmentation.tracking_plan import make_plan
from napari_anysam.segmentation.windows import tight_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_anysam.images.conditioning import Conditioning, Contrast
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.object_volume import Box
    from napari_anysam.segmentation.windows import Window

__all__ = ["checked_spacing", "consensus"]

MARGIN = 0.25
"""How far beyond what the first axis found the others are followed, as a share of its extent."""

POINTS = 3
"""Clicks on a plane across."""


def consensus(
    volume: ArrayLike,
    prompts: Iterable[Prompt],
    model: PromptableModel | None = None,
    *,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    axis: int = 0,
    region: Literal["auto", "plane"] = "auto",
    contrast: Contrast = "auto",
    channel_axis: int | None = None,
    cancelled: Callable[[], bool] | None = None,
    progress: Callable[[], None] | None = None,
) -> NDArray[np.int32]:
    """Follow objects along z, y and x and let the majority decide, voxel by voxel.

    As many planes are answered as the three axes have, where ``propagate`` answers those of one.
    What it gains depends on the volume: see docs/benchmarks.md.

    Parameters
    ----------
    volume : array (Z, Y, X) or, with ``channel_axis``, of four dimensions
        numpy, dask or zarr; planes are read one at a time, across its chunks too.
    prompts : iterable of Prompt
        Each names its plane, the index along ``axis``. On these planes the result is what the
        prompts gave.
    model : PromptableModel, optional
        From ``load_model``; the shipped model if left out.
    spacing : (z, y, x)
        Distances of voxels along the three axes of space, in any one unit.
    axis : int
        Axis of ``volume`` that the prompts' planes are counted along.
    region, contrast, channel_axis
        As in ``propagate``; a contrast that follows one axis is not possible.
    cancelled : callable, optional
        Asked between planes.
    progress : callable, optional
        Called whenever an answer for a plane has come.

    Returns
    -------
    int32 array (Z, Y, X)
        Object ids; where objects overlap the one with more votes has the voxel, and the lower id
        where they have equally many. An axis along which an object is nowhere has no vote.

    Raises
    ------
    PromptError
        As ``propagate`` does, before any work.
    ImageError
        If it is no volume.
    OptionsError
        If the spacing is not three numbers above 0.
    CapabilityError
        If the model segments single images only.
    Cancelled
        If ``cancelled`` said so.
    """
    steps = checked_spacing(spacing)
    prompts = list(prompts)
    planes = Planes(volume, axis, channel_axis)
    make_plan(prompts, planes.plane_shape, planes.count)
    if isinstance(contrast, str) and contrast == "follow":
        raise ImageError("The contrast cannot follow three axes; use 'auto' or (low, high).")
    if model is None:
        from napari_anysam.networks.load import load_model

        model = load_model("anysam-nano")
    conditioning = resolve_conditioning(planes, contrast)
    run = _Run(model, conditioning, region, cancelled or _never, progress or _nothing)
    views = _views(volume, channel_axis, steps)
    ndim = 3 + (channel_axis is not None)
    first = views[_without_channels(axis % ndim, channel_axis, ndim)]
    found = [run.follow(first, [_squared(one, first) for one in prompts])]
    prompted: dict[int, list[int]] = {number: [] for number in sorted(found[0])}
    for one in prompts:
        if one.object_id in prompted:
            prompted[one.object_id].append(one.plane or 0)
    for view in views:
        if prompted and view is not first:
            found.append(_follow_across(run, view, found[0], prompted))
    return _decided(found, prompted, views)


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A volume seen along one axis of space, in its true aspect."""

    axis: int
    stored: tuple[int, int]
    pixels: SquarePixels
    planes: Planes


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """What stays the same for all three axes."""

    model: PromptableModel
    conditioning: Conditioning
    region: Literal["auto", "plane"]
    cancelled: Callable[[], bool]
    progress: Callable[[], None]

    def follow(
        self, view: _View, prompts: Sequence[Prompt], start: int = 0, stop: int | None = None
    ) -> dict[int, ObjectVolume]:
        """Follow objects along one axis; those that are nowhere are left out."""
        tracker = Tracker(self.model, view.planes, self.conditioning, region=self.region)
        windows: dict[int, dict[int, Window]] = {}
        for result in tracker.run(prompts, start=start, stop=stop, cancelled=self.cancelled):
            for number, found in zip(result.object_ids, result.windows, strict=True):
                own = windows.setdefault(number, {})
                own.pop(result.index, None)
                if found is None:
                    continue
                window = tight_window(view.pixels.stored(found.whole(result.plane_shape)))
                if window is not None:
                    own[result.index] = window
            self.progress()
        if self.cancelled():
            raise Cancelled("The consensus was cancelled.")
        return {number: ObjectVolume(view.axis, own) for number, own in windows.items() if own}


def _views(
    volume: ArrayLike, channel_axis: int | None, spacing: tuple[float, float, float]
) -> list[_View]:
    """See a volume along z, y and x."""
    ndim = 3 + (channel_axis is not None)
    axes = [one for one in range(ndim) if channel_axis is None or one != channel_axis % ndim]
    views = []
    for place, axis in enumerate(axes):
        stored = Planes(volume, axis, channel_axis)
        row, column = (step for other, step in enumerate(spacing) if other != place)
        pixels = SquarePixels(stored, (row, column))
        planes = Planes(pixels, 0, None if stored.channels is None else 3)
        views.append(_View(place, stored.plane_shape, pixels, planes))
    return views


def _squared(prompt: Prompt, view: _View) -> Prompt:
    """Bring a prompt to the plane in its true aspect."""
    if view.pixels.plane_shape == view.stored:
        return prompt
    rows, columns = np.divide(view.pixels.plane_shape, view.stored).tolist()

    def moved(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        return [((y + 0.5) * rows - 0.5, (x + 0.5) * columns - 0.5) for y, x in points]

    mask, box = prompt.mask, prompt.box
    if mask is not None:
        mask = view.pixels.squared(mask_in(prompt, Region.whole(view.stored)))
    if box is not None:
        box = (box[0] * rows, box[1] * columns, box[2] * rows, box[3] * columns)
    return replace(
        prompt,
        points=moved(prompt.points),
        box=box,
        mask=mask,
        mask_origin=None,
        lasso=None if prompt.lasso is None else moved(prompt.lasso),
        scribbles=[replace(stroke, vertices=moved(stroke.vertices)) for stroke in prompt.scribbles],
    )


def _follow_across(
    run: _Run,
    view: _View,
    found: dict[int, ObjectVolume],
    prompted: dict[int, list[int]],
) -> dict[int, ObjectVolume]:
    """Follow objects along another axis, from where their prompted planes cut them longest."""
    prompts = []
    starts, stops = [], []
    for number, one in found.items():
        sure = one.on(prompted[number]) or one
        box = sure.box
        planes = np.moveaxis(sure.block(box), view.axis, 0)
        place = int(np.count_nonzero(planes, axis=(1, 2)).argmax())
        cut = np.zeros(view.stored, bool)
        cut[tuple(part for axis, part in enumerate(box) if axis != view.axis)] = planes[place]
        points = _along(view.pixels.squared(cut))
        prompts.append(Prompt(number, box[view.axis].start + place, points=points))
        side = one.box[view.axis]
        margin = max(2, round(MARGIN * (side.stop - side.start)))
        starts.append(side.start - margin)
        stops.append(side.stop + margin)
    return run.follow(view, prompts, max(0, min(starts)), min(view.planes.count, max(stops)))


def _along(cut: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Return a few pixels of a mask, evenly spread along the longer side of it."""
    pixels = np.argwhere(cut)
    longer = int(np.ptp(pixels, axis=0).argmax())
    ordered = pixels[np.argsort(pixels[:, longer], kind="stable")]
    places = ((np.arange(POINTS) + 0.5) / POINTS * len(ordered)).astype(int)
    return [(float(y), float(x)) for y, x in ordered[places]]


def _decided(
    found: Sequence[dict[int, ObjectVolume]], prompted: dict[int, list[int]], views: Sequence[_View]
) -> NDArray[np.int32]:
    """Let each object's majority decide, then the objects among each other."""
    (height, width), depth = views[0].stored, views[0].planes.count
    labels = np.zeros((depth, height, width), np.int32)
    most = np.full(labels.shape, 0.5, np.float32)
    for number, planes in prompted.items():
        volumes = [one[number] for one in found if number in one]
        box = joined_box([one.box for one in volumes])
        # An axis along which it was found nowhere has no vote.
        blocks = np.stack([one.block(box) for one in volumes])
        votes: NDArray[np.float32] = blocks.mean(axis=0, dtype=np.float32)
        _keep_prompted(votes, volumes[0], box, planes)
        wins = votes > most[box]
        labels[box][wins] = number
        most[box][wins] = votes[wins]
    return labels


def _keep_prompted(
    votes: NDArray[np.float32], first: ObjectVolume, box: Box, planes: Iterable[int]
) -> None:
    """Let the user's own planes stand as they were answered."""
    side = box[first.axis]
    block = np.moveaxis(first.block(box), first.axis, 0)
    along = np.moveaxis(votes, first.axis, 0)
    for plane in planes:
        if side.start <= plane < side.stop:
            along[plane - side.start] = block[plane - side.start]


def _without_channels(axis: int, channel_axis: int | None, ndim: int) -> int:
    return axis - (channel_axis is not None and channel_axis % ndim < axis)


def checked_spacing(spacing: Sequence[float]) -> tuple[float, float, float]:
    """Return three numbers above 0, for z, y and x; raise OptionsError if it is none such."""
    steps = tuple(float(step) for step in spacing)
    if len(steps) != 3 or not all(np.isfinite(step) and step > 0 for step in steps):
        raise OptionsError(f"spacing is {spacing}; give three numbers above 0, for z, y and x.")
    return steps[0], steps[1], steps[2]


def _never() -> bool:
    return False


def _nothing() -> None:
    return None
