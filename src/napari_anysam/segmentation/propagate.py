"""Objects followed through an array, in one call; ``tracking.py`` does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari_anysam.segmentation.tracking import Tracker
from napari_anysam.segmentation.tracking_plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import ArrayLike

    from napari_anysam.images.conditioning import Contrast
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.tracking import Direction
    from napari_anysam.segmentation.tracking_memories import MemoryUse
    from napari_anysam.segmentation.tracking_results import PropagationResult

__all__ = ["propagate"]


def propagate(
    stack: ArrayLike,
    prompts: Iterable[Prompt],
    model: PromptableModel | None = None,
    axis: int = 0,
    direction: Direction = "both",
    start: int | None = None,
    stop: int | None = None,
    region: Literal["auto", "plane"] = "auto",
    contrast: Contrast = "auto",
    channel_axis: int | None = None,
    *,
    memory: MemoryUse = "full",
    stop_at_ends: bool = False,
) -> Iterator[PropagationResult]:
    """Follow objects through a stack or a time series.

    An object exists from its prompts outward, in the directions asked for; between two of its
    prompts the nearer one's pass wins. A plane is yielded when its answer grows: once for one
    object with one prompted plane, again when another object's or direction's pass reaches it. A
    later result for a plane holds all that is known for it and replaces the earlier one.

    Parameters
    ----------
    stack : array (N, H, W) or, with ``channel_axis``, of four dimensions
        numpy, dask or zarr; planes are read one at a time.
    prompts : iterable of Prompt
        Each names its plane, the index along ``axis``. A plane takes either a mask or points, box,
        lasso and scribbles; a mask plane returns that mask unchanged.
    model : PromptableModel, optional
        From ``load_model``; the shipped model if left out.
    axis : int
        Axis to follow the objects along.
    direction : {"both", "forward", "backward"}
        "both" goes forward first.
    start, stop : int, optional
        Half-open range of planes to answer; the whole stack if left out. Prompts outside it count
        as memories.
    region : {"auto", "plane"}
        "auto" follows an object that is small in its plane in a region of its own; "plane" encodes
        every plane as a whole, as the official predictor does.
    contrast : "auto", "follow" or (low, high)
        The intensities shown to the network as black and white, for the whole stack; "follow" lets
        them follow the brightness along the axis smoothly, for series that bleach.
    channel_axis : int, optional
        Axis of the channels; an RGB stack needs it too.
    memory : {"full", "fast"}
        How many memories are read on each plane: as many as the network was trained with, or the
        last two and the nearest prompted planes. "fast" saves time with large networks; what it
        does to masks is in ``docs/benchmarks.md``.
    stop_at_ends : bool
        Whether an object that ends, behind its last prompt of a direction, is looked for no more
        (``tracking_end.end_rule_for`` says where that is). For stacks say True: networks go on
        painting where an object has ended. It is off by default because an array does not tell
        whether its axis is depth or time, and through time an object that leaves and comes back
        would not be found again; the window and ``anysam propagate``, which know the name of the
        axis, have it on unless that is time.

    Returns
    -------
    iterator of PropagationResult
        Memory does not grow with the number of planes; only answers on planes between the first and
        the last prompted one are kept, packed, until the second direction has passed them. Closing
        the iterator stops the work; what was yielded stays.

    Raises
    ------
    PromptError
        If there is no prompt, one lies outside the stack, or the range makes no sense. All of this
        is checked before the first result is asked for.
    ImageError
        If the stack is empty or its layout is not known.
    CapabilityError
        If the model segments single images only, ``region`` or ``memory`` is unknown, or what an
        object is followed in, a region or the plane, has more than 2**28 pixels.
    """
    from napari_anysam.images.conditioning import resolve_conditioning
    from napari_anysam.images.planes import Planes
    from napari_anysam.segmentation.tracking_end import end_rule_for

    planes = Planes(stack, axis=axis, channel_axis=channel_axis)
    prompts = list(prompts)
    make_plan(prompts, planes.plane_shape, planes.count, direction, start, stop)
    if model is None:
        from napari_anysam.networks.load import load_model

        model = load_model("anysam-nano")
    conditioning = resolve_conditioning(planes, contrast)
    ending = end_rule_for(model) if stop_at_ends else None
    tracker = Tracker(model, planes, conditioning, region=region, memory=memory, ending=ending)
    return tracker.run(prompts, direction=direction, start=start, stop=stop)
