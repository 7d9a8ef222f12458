"""A propagation that can go on where it ended, with the result of one that was never ended."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from napari_anysam._napari.propagation import Propagation
from napari_anysam._napari.unfinished import Unfinished
from napari_anysam.segmentation.continuing import visits_of
from napari_anysam.segmentation.recent_states import RecentStates
from napari_anysam.segmentation.tracking_plan import make_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from napari_anysam._napari.continuation import Continuation
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.engine import Engine
    from napari_anysam._napari.propagation import StackRange
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.journal import Run
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.recent_states import Reached
    from napari_anysam.segmentation.session import KeptMask, PromptKey
    from napari_anysam.segmentation.tracking import Tracker
    from napari_anysam.segmentation.tracking_results import PropagationResult

__all__ = ["ResumableRun"]


class ResumableRun(Propagation):
    """A run that holds the state behind its last results, and leaves it if it ends too early.

    Parameters
    ----------
    work, frame, where, engine, on_change, on_written, on_end
        See ``Propagation``.
    since : Continuation, optional
        What it goes on with; left out, it begins at the marked planes. Its state is there.
    """

    def __init__(
        self,
        work: Workspace,
        frame: PlaneFrame,
        where: StackRange,
        engine: Engine,
        on_change: Callable[[], None],
        on_written: Callable[[Mapping[PromptKey, KeptMask | None]], None],
        on_end: Callable[[Exception | None], None],
        since: Continuation | None = None,
    ) -> None:
        self._since = since
        super().__init__(work, frame, where, engine, on_change, on_written, on_end)
        self._begun = 0 if since is None else since.results
        self._states = self._keeper = RecentStates(None if since is None else since.reached)
        self._tokens = self._look.tokens
        if since is not None:
            self._progress.go_on_behind(since.visits[: since.results])

    def _stack_prompts(self) -> list[Prompt]:
        return super()._stack_prompts() if self._since is None else list(self._since.run.prompts)

    def _results(
        self, tracker: Tracker, cancelled: Callable[[], bool]
    ) -> Iterator[PropagationResult]:
        since = self._since
        # A state can be a result or two behind what was written.
        known = 0 if since is None or since.reached is None else self._begun - since.reached.results
        return islice(self._states.counting(super()._results(tracker, cancelled)), known, None)

    def _run(self) -> Run | None:
        run = super()._run()
        if run is None or self._since is None:
            return run
        return replace(run, plane=self._since.run.plane, begun=self._begun)

    def _reached(self) -> Reached | None:
        return self._states.behind(self._begun + self._progress.answers)

    def _keep_step(self) -> None:
        journal = self.work.session.journal
        before = len(journal)
        super()._keep_step()
        recorded, reached = len(journal) > before, self._reached()
        if self._begun + self._progress.answers < self._count():
            if recorded and reached is not None and reached.fits:
                self.work.unfinished = Unfinished(journal[-1], reached, self._tokens)
        elif not recorded:
            # The rest changed nothing; else what it went on with stands again after an undo.
            self.work.unfinished = None

    def _count(self) -> int:
        """Return how many results the whole run has."""
        if self._since is not None:
            return len(self._since.visits)
        where, frame = self._where, self._frame
        count = frame.shape[frame.order.index(where.axis)]
        plan = make_plan(
            self._prompts, frame.plane_shape, count, where.direction, where.first, where.last + 1
        )
        return len(visits_of(plan))
