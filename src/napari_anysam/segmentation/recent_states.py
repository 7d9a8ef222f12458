"""The last states of a run, for whoever takes its results a little later than they come."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_anysam.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.flat_state import FlatState
    from napari_anysam.segmentation.tracking_results import PropagationResult
    from napari_anysam.segmentation.tracking_state import RunState

__all__ = ["MOST_BYTES", "Reached", "RecentStates"]

MOST_BYTES = 2**28
"""A larger state is neither written nor held once its run has ended."""

_HELD = 8  # more than results wait unread between the threads of a window


@dataclass(eq=False)
class Reached:
    """How far a run has come, and what it takes to go on from there.

    Parameters
    ----------
    results : int
        How many results it had given, counted from its very beginning.
    kept : RunState or FlatState
        A state of a run under way becomes a copy when somebody asks for it.
    """

    results: int
    kept: RunState | FlatState

    @property
    def state(self) -> FlatState:
        """The state, on the CPU; takes a moment the first time."""
        from napari_anysam.segmentation.flat_state import FlatState

        if not isinstance(self.kept, FlatState):
            self.kept = FlatState.of(self.kept)
        return self.kept

    @property
    def fits(self) -> bool:
        """Whether it is small enough to be kept beyond its run."""
        from napari_anysam.segmentation.state_values import bytes_of

        return bytes_of(self.kept) <= MOST_BYTES


class RecentStates:
    """Holds the states behind the last few results of a run; see ``StateKeeper``.

    Parameters
    ----------
    begun : Reached, optional
        Where the run goes on; left out, it begins.
    """

    def __init__(self, begun: Reached | None = None) -> None:
        self._begun = begun
        self._results = 0 if begun is None else begun.results
        self._states: dict[int, RunState] = {}
        self._lock = threading.Lock()

    def load(self, model: PromptableModel) -> RunState | None:
        """Return the state to go on from, for this network; None to begin.

        Raises
        ------
        RunError
            If it cannot be understood.
        """
        from napari_anysam.networks.tensor_files import DamagedFileError

        if self._begun is None:
            return None
        try:
            return self._begun.state.state(model.device)
        except DamagedFileError as error:
            raise RunError(f"The state of the run {error}; begin the run anew.") from error

    def counting(self, results: Iterator[PropagationResult]) -> Iterator[PropagationResult]:
        """Pass on the results of the run that this is the keeper of."""
        for result in results:
            self._results += 1
            yield result

    def save_if_due(self, state: Callable[[], RunState]) -> bool:
        """Hold the state behind the result that was taken last; the oldest goes."""
        now = state()
        with self._lock:
            self._states[self._results] = now
            while len(self._states) > _HELD:
                del self._states[min(self._states)]
        return True

    def behind(self, results: int) -> Reached | None:
        """Return the latest state of which no result is still to be taken.

        Parameters
        ----------
        results : int
            How many were taken, counted from the run's very beginning.
        """
        with self._lock:
            counts = [count for count in self._states if count <= results]
            if counts:
                return Reached(max(counts), self._states[max(counts)])
        return self._begun
