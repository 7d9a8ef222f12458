"""The runs of one viewer: what follows objects, or answers many of them, one run at a time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info, show_warning

from napari_anysam._napari.bulk import BulkRun
from napari_anysam._napari.bulk_questions import answer_in_turns, everything_in, refine_labels
from napari_anysam._napari.continuation import Asking, continuation_of, last_run
from napari_anysam._napari.coordinates import level0
from napari_anysam._napari.engine import Engine, RunEmbeddings
from napari_anysam._napari.outlook import Outlook, outlook_of
from napari_anysam._napari.pixels import plane_source
from napari_anysam._napari.propagation import reason_not_to_propagate
from napari_anysam._napari.repairing import Repair
from napari_anysam._napari.reporting import report
from napari_anysam._napari.resumable_run import ResumableRun
from napari_anysam._napari.stack_prompts import stack_prompts
from napari_anysam.errors import CapabilityError
from napari_anysam.images.axis_view import AxisView
from napari_anysam.segmentation.tracking_end import end_rule_for
from napari_anysam.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from napari_anysam._napari.bulk_questions import Progress
    from napari_anysam._napari.clicking import Clicking
    from napari_anysam._napari.continuation import Continuation
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.inference import InferenceThread
    from napari_anysam._napari.propagation import Propagation, StackRange
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.label_prompts import LabelKind
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.session import KeptMask, PromptKey, Session
    from napari_anysam.segmentation.tracking_memories import MemoryUse

__all__ = ["Runs"]


class Runs:
    """Begins and ends runs; methods that refuse something raise an ``AnySAMError``.

    Parameters
    ----------
    clicking : Clicking
        Whose model answers, and whose running mask is kept before a run begins.
    inference : InferenceThread
    on_change : callable
        Called when a run made progress or ended.
    on_written : callable
        Called with the masks of a plane that a propagation has just written.
    on_found : callable
        Called with the workspace, the plane and the ids of new objects that a run has found.

    Attributes
    ----------
    memory : {"full", "fast"}
        How much of its memory a network reads in runs to come.
    ends : bool
        Whether runs to come stop looking for an object where it ends.
    propagation : Propagation or None
        The one that is under way.
    last : Propagation or None
        The one that ended last, until something else was done.
    bulk : BulkRun or None
        The run over many objects that is under way.
    """

    def __init__(
        self,
        clicking: Clicking,
        inference: InferenceThread,
        on_change: Callable[[], None],
        on_written: Callable[[Mapping[PromptKey, KeptMask | None]], None],
        on_found: Callable[[Workspace, PlaneFrame, Sequence[int]], None],
    ) -> None:
        self._clicking = clicking
        self._inference = inference
        self._on_change = on_change
        self._on_written = on_written
        self._on_found = on_found
        self._embeddings = RunEmbeddings()
        self._session: Session | None = None
        self._asked: tuple[object, ...] = ()
        self._outlook = Outlook()
        self._continuation: tuple[Session, tuple[object, ...], Continuation | None] | None = None
        self.memory: MemoryUse = "full"
        self.ends = False
        self.propagation: Propagation | None = None
        self.last: Propagation | None = None
        self.bulk: BulkRun | None = None

    @property
    def busy(self) -> bool:
        """Whether a run is under way."""
        return self.propagation is not None or self.bulk is not None

    def propagate(self, work: Workspace, where: StackRange, *, anew: bool = False) -> None:
        """Follow all objects that are marked in the stack, from the planes they are marked on.

        An unfinished run with the same request is gone on with, unless it shall begin anew.
        """
        running = self._clicking.running
        if running.model is None or self.busy:
            return
        self._clicking.keep_fresh()
        since = None if anew else self.continuation(work, where)
        if since is not None and since.reached is None:
            show_info(f"{since.lost} The run begins anew.")
            since = None
        run = ResumableRun(
            work,
            work.frame(),
            where,
            self._engine(work, running.model),
            self._on_change,
            self._on_written,
            self._propagation_ended,
            since,
        )
        run.start(self._inference)
        self.propagation = run

    def continuation(self, work: Workspace, where: StackRange) -> Continuation | None:
        """Return the unfinished run that ``propagate`` would go on with; None if it would begin.

        Found anew when something has changed.
        """
        model = self._clicking.running.model
        if self.busy or model is None or last_run(work.session.journal) is None:
            return None
        if self._clicking.has_fresh:  # it will be a prompt of the run
            return None
        ending = end_rule_for(model) if self.ends else None
        frame = work.frame().at(where.axis, 0)
        limit = None if ending is None else ending.object_logit
        asking = Asking(where, model.key, self.memory, limit)
        look, unfinished = work.appearance.look(), work.unfinished_run()
        # Only names and tokens of the look: layers shall not be held.
        seen = look.conditioning, look.follow_axis, look.layer_names, look.tokens
        asked = work.session.revision, unfinished, frame, asking, seen
        known = self._continuation
        if known is None or known[0] is not work.session or known[1] != asked:
            known = work.session, asked, continuation_of(work, frame, asking)
            self._continuation = known
        return known[2]

    def begin(self, work: Workspace, make: Callable[..., Propagation]) -> None:
        """Begin a run of another kind.

        ``make`` is called with the last four arguments of ``Propagation`` and returns the run.
        """
        if self.busy:
            raise CapabilityError("Something runs already; wait for its end, or cancel it.")
        model = self._clicking.running.model
        if model is None:
            raise CapabilityError("Wait until a model is loaded.")
        self._clicking.keep_fresh()
        run = make(
            self._engine(work, model), self._on_change, self._on_written, self._propagation_ended
        )
        run.start(self._inference)
        self.propagation = run

    def repair(self, work: Workspace, object_id: int, frame: PlaneFrame, axis: int) -> None:
        """Follow one object anew from a plane on which its mask is right."""
        running = self._clicking.running
        if running.model is None or self.busy:
            return
        run = Repair(
            object_id,
            axis,
            work,
            frame,
            self._engine(work, running.model),
            self._on_change,
            self._on_written,
            self._propagation_ended,
        )
        run.start(self._inference)
        self.propagation = run

    def answer_many(self, work: Workspace, frame: PlaneFrame, prompts: Sequence[Prompt]) -> None:
        """Answer prompts of several objects that came at once, such as pasted boxes."""
        title = f"masks of {len(prompts)} objects"
        self._start(work, title, answer_in_turns, frame=frame, prompts=prompts, new_prompts=False)

    def refine_labels(self, work: Workspace, layer: Any, kind: LabelKind, *, ours: bool) -> None:
        """Make every object of a Labels layer a prompt, and write what the model answers."""
        taken = set(work.session.object_ids)
        if work.target is not None:
            taken.update(work.target.taken_ids)
        frame = work.frame()
        self._start(
            work,
            f"refining of {layer.name}",
            refine_labels,
            frame=frame,
            labels=AxisView(level0(layer), frame.order, {}),
            kind=kind,
            taken=taken,
            name=layer.name,
            ours=ours,
        )

    def find_everything(self, work: Workspace) -> None:
        """Write every object that the model finds in the plane that is shown."""
        self._start(work, "everything", everything_in, frame=work.frame(), new_ids=True)

    def cancel(self) -> None:
        """End what is under way after the plane or the objects in progress."""
        for run in (self.propagation, self.bulk):
            if run is not None:
                run.cancel()

    def abandon(self) -> None:
        """End what is under way and write nothing more."""
        for run in (self.propagation, self.bulk):
            if run is not None:
                run.abandon()

    def layer_removed(self, layer: Any) -> None:
        """Abandon what reads or writes a layer that is gone, and say so."""
        if self.propagation is not None and self.propagation.uses(layer):
            self.propagation.abandon()
            show_warning(f"{layer.name!r} was removed, so the propagation has ended.")
        if self.bulk is not None and self.bulk.uses(layer):
            self.bulk.abandon()
            show_warning(f"{layer.name!r} was removed, so the {self.bulk.title} has ended.")

    def outlook(
        self, work: Workspace, where: StackRange, keys: tuple[PromptKey, ...] | None = None
    ) -> Outlook:
        """Say what a run over these planes will take; estimated anew when something has changed.

        ``keys`` names what is followed; by default all that is marked.

        Raises
        ------
        SettingsError
            If the settings are not valid.
        """
        model = self._clicking.running.model
        frame = work.frame().at(where.axis, 0)
        if reason_not_to_propagate(model, work, frame) or model is None:
            return Outlook()
        session = work.session
        since = self.continuation(work, where) if keys is None else None
        share = 1.0 if since is None or since.reached is None else since.share
        asked = (session.revision, where, frame, model.key, keys, self.ends, share)
        if session is not self._session or asked != self._asked or not self._outlook.timed:
            prompts = stack_prompts(session, frame, where.axis, keys)
            budget = int(read_settings().embedding_memory_gb * 1e9)
            self._outlook = outlook_of(
                work, frame, where, model, prompts, budget, ends=self.ends, share=share
            )
            self._session, self._asked = session, asked
        return self._outlook

    def forget_embeddings(self) -> None:
        """Free what runs have encoded: the image, its look or the model is another one now."""
        self._embeddings.forget()
        self._session = self._continuation = None

    def _engine(self, work: Workspace, model: PromptableModel) -> Engine:
        cache = self._embeddings.cache_for(work, model)
        ending = end_rule_for(model) if self.ends else None
        return Engine(model, self._clicking.running.store, cache, self.memory, ending)

    def _start(
        self,
        work: Workspace,
        title: str,
        make: Callable[..., Iterator[Progress]],
        *,
        frame: PlaneFrame,
        new_ids: bool = False,
        new_prompts: bool = True,
        **details: Any,
    ) -> None:
        predictor = self._clicking.running.predictor
        if predictor is None:
            return
        if self.busy:
            raise CapabilityError("Something runs already; wait for its end, or cancel it.")
        self._clicking.keep_fresh()
        look, identity = work.appearance.look(), work.identity
        question = partial(
            make,
            predictor,
            lambda plane: plane_source(look, plane, identity),
            frame,
            options=self._clicking.running.options,
            **details,
        )
        run = BulkRun(
            work,
            frame,
            title,
            lambda cancelled: question(cancelled=cancelled),
            self._on_change,
            self._bulk_ended,
            new_ids=new_ids,
            new_prompts=new_prompts,
        )
        run.start(self._inference)
        self.bulk = run

    def _propagation_ended(self, error: Exception | None) -> None:
        run, self.propagation = self.propagation, None
        left = run is not None and run.uses(run.work.image)  # an abandoned one left nothing
        self.last = run if left else None
        if error is not None:
            report(error)
        self._on_change()

    def _bulk_ended(self, error: Exception | None) -> None:
        run, self.bulk = self.bulk, None
        if error is not None:
            report(error)
        if run is not None:
            self._clicking.kept += len(run.found)
            if run.work is self._clicking.work:
                self._clicking.begin_object(run.work.next_object_id())
                if run.new_ids:
                    self._on_found(run.work, run.frame, run.found)
        self._on_change()
