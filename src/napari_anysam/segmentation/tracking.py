"""Propagation: objects prompted on some planes, followed through a stack or a time series.

The engine streams: one plane is read, encoded and answered at a time, whatever the length of the
stack. It holds per object the anchors' memories and a ring of recent ones (``memory.py``), and
nothing per plane, except where a later pass will come back to a plane and add to it: there the
answers are kept packed (``tracking_results.PackedAnswer``), from the first pass to the second. That
concerns the planes between the first and the last prompted plane, in direction "both".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari_anysam.errors import Cancelled, CapabilityError
from napari_anysam.networks.tracking_protocol import TrackingModel
from napari_anysam.segmentation.embeddings import EmbeddingCache
from napari_anysam.segmentation.tracking_memories import span_used
from napari_anysam.segmentation.tracking_pass import Follower
from napari_anysam.segmentation.tracking_plan import make_plan
from napari_anysam.segmentation.tracking_results import PropagationResult, compose
from napari_anysam.segmentation.tracking_source import PlaneSource

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from numpy.typing import ArrayLike

    from napari_anysam.images.conditioning import Conditioning, Contrast
    from napari_anysam.images.planes import Planes
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.embedding_store import EmbeddingStore
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.tracking_memories import MemoryUse
    from napari_anysam.segmentation.tracking_plan import Plan
    from napari_anysam.segmentation.tracking_results import Answer, PackedAnswer

__all__ = ["PropagationResult", "Tracker", "propagate"]

Direction = Literal["both", "forward", "backward"]

REVISIT_BYTES = 2**28
"""Budget for embeddings of planes that a later pass comes back to, where no cache is given."""

HELD_FOR_REGIONS = 8
"""Planes held as they were read, because a region that moves looks at the last ones again."""


class Tracker:
    """Follows objects through planes with one network.

    Parameters
    ----------
    model : TrackingModel
        Called from one thread only.
    planes : Planes
        Read one at a time.
    conditioning : Conditioning
        One setting for the whole stack.
    region : {"auto", "plane"}
        "auto" follows an object that is small in its plane in a region of its own; "plane" encodes
        every plane as a whole, as the official predictor does.
    cache : EmbeddingCache, optional
        Takes every embedding of a run, so that corrections need not encode again. Without it only
        planes that the same run comes back to are kept, up to 256 MiB.
    memory : {"full", "fast"}
        How many memories are read on each plane: as many as the network was trained with, or the
        last two and the nearest prompted planes. "fast" saves time with large networks.
    store : EmbeddingStore, optional
        Embeddings on disk; planes and regions that are there are not encoded again, unless the
        model computes in fp32, whose embeddings are rounded there.
    plane_key : callable, optional
        Index of a plane to what names its pixels and conditioning in ``cache``; by default unique
        to this tracker.

    Raises
    ------
    CapabilityError
        If the model cannot track, or ``region`` or ``memory`` is none of the above.
    """

    def __init__(
        self,
        model: PromptableModel,
        planes: Planes,
        conditioning: Conditioning,
        *,
        region: Literal["auto", "plane"] = "auto",
        cache: EmbeddingCache | None = None,
        store: EmbeddingStore | None = None,
        plane_key: Callable[[int], Hashable] | None = None,
        memory: MemoryUse = "full",
    ) -> None:
        if not isinstance(model, TrackingModel) or not model.capabilities.tracking:
            raise CapabilityError(
                f"{model.name} segments single images and cannot follow objects; choose a SAM 2 "
                "model, such as anysam-nano, to propagate."
            )
        if region not in ("auto", "plane"):
            raise CapabilityError(f"region is {region!r}; use 'auto' or 'plane' to propagate.")
        span_used(model, memory)
        self._memory = memory
        self._model = model
        self._planes = planes
        self._conditioning = conditioning
        self._region = region
        self._keeps_all = cache is not None
        self._cache = EmbeddingCache(REVISIT_BYTES) if cache is None else cache
        self._store = store
        identity = object()  # not this tracker: it would hold itself, and the network with it
        self._plane_key = plane_key or (lambda index: (identity, index))

    def run(
        self,
        prompts: Iterable[Prompt],
        *,
        direction: Direction = "both",
        start: int | None = None,
        stop: int | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[PropagationResult]:
        """Propagate prompts; checks at once, computes as the results are asked for.

        Parameters
        ----------
        prompts : iterable of Prompt
            Each names its plane.
        direction : {"both", "forward", "backward"}
            "both" goes forward first.
        start, stop : int, optional
            Half-open range of planes to answer.
        cancelled : callable, optional
            Asked between planes and between encoder blocks; when it answers True the run ends
            without an exception.

        Raises
        ------
        PromptError
            See ``tracking_plan.make_plan``.
        """
        plan = make_plan(
            prompts, self._planes.plane_shape, self._planes.count, direction, start, stop
        )
        return self._run(plan, cancelled or _never)

    def _run(self, plan: Plan, cancelled: Callable[[], bool]) -> Iterator[PropagationResult]:
        zoom = self._region == "auto"
        source = PlaneSource(
            self._model,
            self._planes,
            self._conditioning,
            self._cache,
            self._store,
            self._plane_key,
            cancelled,
        )
        source.held = HELD_FOR_REGIONS if zoom else 1
        follower = Follower(self._model, source, plan, zoom=zoom, memory=self._memory)
        kept: dict[int, dict[int, PackedAnswer]] = {}
        try:
            follower.anchor(lambda plane: self._keeps_all or plan.looks_again(plane))
            for step in plan.steps:
                source.coming = None
                follower.turn(step)
                planes = plan.planes(step)
                for plane in planes:
                    if cancelled():
                        return
                    source.coming = plane + step if plane + step in planes else None
                    source.keep = self._keeps_all or plan.looks_again(plane, step)
                    answers = follower.visit(plane)
                    grown = _grown(plan, plane, step, answers, kept.pop(plane, {}))
                    if plan.returns(plane, step):
                        kept[plane] = {number: one.packed() for number, one in grown.items()}
                    if plan.grows(plane, step):
                        yield compose(plane, grown.items(), self._planes.plane_shape)
        except Cancelled:
            return
        finally:
            source.close()


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
        If the model segments single images only, or ``region`` or ``memory`` is unknown.
    """
    from napari_anysam.images.conditioning import resolve_conditioning
    from napari_anysam.images.planes import Planes

    planes = Planes(stack, axis=axis, channel_axis=channel_axis)
    prompts = list(prompts)
    make_plan(prompts, planes.plane_shape, planes.count, direction, start, stop)
    if model is None:
        from napari_anysam.networks.load import load_model

        model = load_model("anysam-nano")
    conditioning = resolve_conditioning(planes, contrast)
    tracker = Tracker(model, planes, conditioning, region=region, memory=memory)
    return tracker.run(prompts, direction=direction, start=start, stop=stop)


def _grown(
    plan: Plan,
    plane: int,
    step: int,
    answers: dict[int, Answer],
    before: dict[int, PackedAnswer],
) -> dict[int, Answer]:
    """Put what a pass says over what earlier passes said."""
    grown = {object_id: packed.unpacked() for object_id, packed in before.items()}
    newer = {
        object_id: answer
        for object_id, answer in answers.items()
        if plan.wins(object_id, plane, step)
    }
    return grown | newer


def _never() -> bool:
    return False
