"""Propagation: objects prompted on some planes, followed through a stack or a time series.

The engine streams: one plane is read, encoded and answered at a time, whatever the length of the
stack. It holds per object the anchors' memories and a ring of recent ones (``memory.py``), and
nothing per plane, except where a later pass will come back to a plane and add to it: there the
answers are kept packed (``tracking_merge.Kept``), from the first pass to the second. That
concerns the planes between the first and the last prompted plane, in direction "both".
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from napari_anysam.errors import Cancelled, CapabilityError, OptionsError
from napari_anysam.networks.tracking_protocol import TrackingModel
from napari_anysam.segmentation.confidence import DoubtLimits
from napari_anysam.segmentation.embeddings import EmbeddingCache
from napari_anysam.segmentation.repair import repaired
from napari_anysam.segmentation.repair_plan import EARLY_STOP, REPAIR_ANCHORS, make_repair
from napari_anysam.segmentation.run_measuring import TrackingMeter
from napari_anysam.segmentation.tracking_memories import span_used
from napari_anysam.segmentation.tracking_merge import Assessed, grown
from napari_anysam.segmentation.tracking_pass import Follower
from napari_anysam.segmentation.tracking_plan import make_plan
from napari_anysam.segmentation.tracking_regions import check_plane, check_prompts_fit
from napari_anysam.segmentation.tracking_results import PropagationResult, compose
from napari_anysam.segmentation.tracking_source import PlaneSource
from napari_anysam.segmentation.tracking_state import RunState
from napari_anysam.segmentation.tracking_watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping

    from napari_anysam.images.conditioning import Conditioning
    from napari_anysam.images.planes import Planes
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.embedding_store import EmbeddingStore
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.repair_plan import Before, EarlyStop, Repair
    from napari_anysam.segmentation.tracking_end import EndRule
    from napari_anysam.segmentation.tracking_memories import MemoryUse
    from napari_anysam.segmentation.tracking_merge import Kept
    from napari_anysam.segmentation.tracking_plan import Plan
    from napari_anysam.segmentation.tracking_state import StateKeeper

__all__ = ["Tracker"]

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
    limits : DoubtLimits, optional
        From where on an answer is doubtful; nothing but ``PropagationResult.assessments`` depends
        on them.
    memory_threshold : float, optional
        Planes with a predicted IoU below it, or on which the object is not found, do not enter
        the object's memory. By default all planes do, as in the official predictor.
    anchor_limit : int, optional
        How many prompted planes of an object count at once, at least 2, chosen by nearness: the
        nearest one before, the nearest one after, then others. By default as many as the network
        takes, and 8 for a repair.
    ending : EndRule, optional
        Where an object ends in a pass, behind its last prompt there, for good: an object that
        leaves and comes back is not found again. By default it is looked for on all planes.

    Raises
    ------
    CapabilityError
        If the model cannot track, ``region`` or ``memory`` is none of the above, or ``region`` is
        "plane" and planes have more pixels than `tracking_regions.MOST_PIXELS`.
    OptionsError
        If ``memory_threshold`` is not between 0 and 1, or ``anchor_limit`` is below 2.
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
        limits: DoubtLimits | None = None,
        memory_threshold: float | None = None,
        anchor_limit: int | None = None,
        memory: MemoryUse = "full",
        ending: EndRule | None = None,
    ) -> None:
        if not isinstance(model, TrackingModel) or not model.capabilities.tracking:
            raise CapabilityError(
                f"{model.name} segments single images and cannot follow objects; choose a SAM 2 "
                "model, such as anysam-nano, to propagate."
            )
        if region not in ("auto", "plane"):
            raise CapabilityError(f"region is {region!r}; use 'auto' or 'plane' to propagate.")
        if memory_threshold is not None and not 0 <= memory_threshold <= 1:
            raise OptionsError(
                f"memory_threshold is {memory_threshold!r}; use a predicted IoU from 0 to 1."
            )
        if anchor_limit is not None and anchor_limit < 2:
            raise OptionsError(f"anchor_limit is {anchor_limit!r}; use a number from 2 up.")
        if region == "plane":
            check_plane(planes.plane_shape)
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
        self._limits = limits or DoubtLimits()
        self._memory_threshold = memory_threshold
        self._anchor_limit = anchor_limit
        self._ending = ending

    def run(
        self,
        prompts: Iterable[Prompt],
        *,
        direction: Direction = "both",
        start: int | None = None,
        stop: int | None = None,
        cancelled: Callable[[], bool] | None = None,
        keeper: StateKeeper | None = None,
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
        keeper : StateKeeper, optional
            Keeps the state of the run, once results were taken, such as
            ``tracking_state.RunKeeper``. Where it has one already, the run goes on behind it.

        Raises
        ------
        PromptError
            See ``tracking_plan.make_plan``.
        CapabilityError
            If the region around a prompt has too many pixels to be followed. One that comes to have
            them while the run goes on ends it with this error.
        RunError
            See ``tracking_state.RunKeeper.load`` and, while it runs, ``save``.
        """
        plan = make_plan(
            prompts, self._planes.plane_shape, self._planes.count, direction, start, stop
        )
        self._check_regions(plan)
        state = None if keeper is None else keeper.load(self._model)
        return self._run(plan, cancelled or _never, keeper, state)

    def repair(
        self,
        prompts: Iterable[Prompt],
        object_id: int,
        plane: int,
        *,
        before: Before,
        reviewed: Collection[int] = (),
        start: int | None = None,
        stop: int | None = None,
        early_stop: EarlyStop | None = EARLY_STOP,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[PropagationResult]:
        """Follow one object again from one corrected plane, as far as there is need.

        From the corrected plane outward, on each side up to the nearest plane that is reviewed or
        has a prompt of the object; those are locked and never answered. The masks of reviewed
        planes and the other prompts are anchors. Checks at once, computes as the results are asked
        for.

        Parameters
        ----------
        prompts : iterable of Prompt
            Those of other objects are ignored. The object needs one on ``plane``: the correction,
            as a mask or as points and box.
        object_id, plane : int
            What was corrected, and where.
        before : callable
            Index of a plane to the mask that the object has there now: a bool array (H, W), a
            ``Window`` of one, or None. Asked in the thread that asks for the results.
        reviewed : collection of int
            Planes on which the object is as it shall be.
        start, stop : int, optional
            Half-open range of planes to answer.
        early_stop : EarlyStop, optional
            When a side has nothing more to change; None goes on to the locked plane.
        cancelled : callable, optional
            See ``run``.

        Returns
        -------
        iterator of PropagationResult
            Of this object alone: the corrected plane, then those after it, then those before it,
            each from there outward. If a side was not stopped early, and the object is known on the
            locked plane at its end, its planes come a second time, from there back: with the
            average of both answers, weighted by confidence and nearness, and how far both agree.
            Where a run had drawn the object beside the corrected plane and ``ending`` is given, a
            side also stops beyond the object's former end unless the network is surer there.

        Raises
        ------
        PromptError
            If the object has no prompt on ``plane``, that plane is reviewed or outside the range,
            or see ``tracking_plan.make_plan``.
        CapabilityError
            See ``run``.
        """
        limit = self._anchor_limit or REPAIR_ANCHORS
        planned = make_repair(
            prompts,
            object_id,
            plane,
            self._planes.plane_shape,
            self._planes.count,
            before=before,
            reviewed=reviewed,
            start=start,
            stop=stop,
            anchor_limit=limit,
        )
        self._check_regions(planned.plan)
        return self._repair(planned, before, early_stop, cancelled or _never)

    def _repair(
        self,
        planned: Repair,
        before: Before,
        early_stop: EarlyStop | None,
        cancelled: Callable[[], bool],
    ) -> Iterator[PropagationResult]:
        source = self._source(cancelled)
        follower = self._follower(source, planned.plan)
        try:
            follower.anchor(lambda _: True)
            source.keep = True  # each side may be walked back
            answers = repaired(planned, follower, self._limits, before, early_stop, self._ending)
            for plane, found in answers:
                yield compose(plane, [(planned.object_id, found)], self._planes.plane_shape)
                if cancelled():
                    return
        except Cancelled:
            return
        finally:
            source.close()

    def _run(
        self,
        plan: Plan,
        cancelled: Callable[[], bool],
        keeper: StateKeeper | None,
        state: RunState | None,
    ) -> Iterator[PropagationResult]:
        source = self._source(cancelled)
        follower = self._follower(source, plan)
        watch = Watch(self._limits)
        meter = TrackingMeter(self._model)
        kept: dict[int, Mapping[int, Kept]] = {}
        try:
            if state is None:
                follower.anchor(lambda plane: self._keeps_all or plan.looks_again(plane))
            else:
                follower.restore(state.follower)
                watch.restore(state.watch)
                kept.update(state.kept)
            for step, planes in _remaining(plan, state):
                source.coming = None
                if state is None or step != state.step:
                    follower.turn(step)
                    watch = Watch(self._limits)
                for plane in planes:
                    if cancelled():
                        return
                    source.coming = plane + step if plane + step in planes else None
                    source.keep = self._keeps_all or plan.looks_again(plane, step)
                    with meter.visit(*follower.load(plane)):
                        answers = follower.visit(plane)
                    noted = watch.note(answers, plan.prompted(plane))
                    found = {one: Assessed(answers[one], noted[one]) for one in answers}
                    known = grown(plan, plane, step, found, kept.pop(plane, {}))
                    if plan.returns(plane, step):
                        kept[plane] = {number: one.kept() for number, one in known.items()}
                    if plan.grows(plane, step):
                        yield compose(plane, known.items(), self._planes.plane_shape)
                    if keeper is not None:
                        keeper.save_if_due(
                            partial(_state, step, plane, follower=follower, watch=watch, kept=kept)
                        )
        except Cancelled:
            return
        finally:
            source.close()

    def _check_regions(self, plan: Plan) -> None:
        if self._region == "auto":
            prompts = [one for given in plan.anchors.values() for one in given.values()]
            check_prompts_fit(prompts, self._planes.plane_shape, self._model.image_size)

    def _source(self, cancelled: Callable[[], bool]) -> PlaneSource:
        source = PlaneSource(
            self._model,
            self._planes,
            self._conditioning,
            self._cache,
            self._store,
            self._plane_key,
            cancelled,
        )
        source.held = HELD_FOR_REGIONS if self._region == "auto" else 1
        return source

    def _follower(self, source: PlaneSource, plan: Plan) -> Follower:
        return Follower(
            self._model,
            source,
            plan,
            zoom=self._region == "auto",
            memory=self._memory,
            memory_threshold=self._memory_threshold,
            anchor_limit=self._anchor_limit,
            ending=self._ending,
        )


def _remaining(plan: Plan, state: RunState | None) -> Iterator[tuple[int, range]]:
    """Return passes and their planes, without those that were answered before."""
    if state is None:
        yield from ((step, plan.planes(step)) for step in plan.steps)
        return
    planes = plan.planes(state.step)
    yield state.step, planes[planes.index(state.plane) + 1 :]
    for step in plan.steps[plan.steps.index(state.step) + 1 :]:
        yield step, plan.planes(step)


def _state(
    step: int,
    plane: int,
    *,
    follower: Follower,
    watch: Watch,
    kept: Mapping[int, Mapping[int, Kept]],
) -> RunState:
    return RunState(step, plane, follower.state(), watch.state(), dict(kept))


def _never() -> bool:
    return False
