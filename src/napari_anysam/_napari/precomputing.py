"""Encoding a stack in the background, so that clicks on its planes need not wait."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from napari_anysam._napari.inference import Priority
from napari_anysam._napari.pixels import stack_of
from napari_anysam._napari.reporting import report
from napari_anysam.errors import EmbeddingError
from napari_anysam.segmentation.precompute import Progress, precompute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.inference import InferenceThread, Ticket
    from napari_anysam._napari.propagation import StackRange
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.embedding_store import EmbeddingStore

__all__ = ["Precomputing"]


class Precomputing:
    """One run at a time, which gives way to everything else that the thread is asked for.

    Parameters
    ----------
    inference : InferenceThread
    on_change : callable
        Called when there is something else to show.

    Attributes
    ----------
    progress : Progress or None
        Of the run in progress, or of the one that ended last.
    image : napari Image or None
        That is being encoded.
    title : str
        Name of the image of ``progress``.
    """

    def __init__(self, inference: InferenceThread, on_change: Callable[[], None]) -> None:
        self._inference = inference
        self._on_change = on_change
        self._ticket: Ticket | None = None
        self._encoding_since = 0.0
        self.progress: Progress | None = None
        self.image: Any = None
        self.title = ""

    @property
    def is_running(self) -> bool:
        """Whether a run is in progress."""
        return self._ticket is not None

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the planes that were encoded; None before there are two."""
        progress = self.progress
        if not self.is_running or progress is None or progress.encoded < 2:
            return None
        elapsed = time.monotonic() - self._encoding_since
        return elapsed / progress.encoded * (progress.total - progress.done)

    def start(
        self,
        work: Workspace,
        frame: PlaneFrame,
        where: StackRange,
        model: PromptableModel,
        store: EmbeddingStore | None,
    ) -> None:
        """Begin with the stack that is shown, as it is shown; nothing while a run is in progress.

        Parameters
        ----------
        work : Workspace
            Whose image is encoded.
        frame : PlaneFrame
            The plane shown; hidden axes other than the range's stay where they are.
        where : StackRange
        model : PromptableModel
        store : EmbeddingStore or None
            None if the settings keep no embeddings on disk.

        Raises
        ------
        EmbeddingError
            If there is no store.
        """
        if self.is_running:
            return
        if store is None:
            raise EmbeddingError(
                "Embeddings are not kept on disk, so there is nothing to precompute; raise the "
                "setting embedding_disk_gb above 0."
            )
        look = work.appearance.look()
        planes, conditioning = stack_of(look, frame, where.axis), look.along(where.axis, frame)
        thread = self._inference

        def make(cancelled: Callable[[], bool]) -> Iterator[Progress]:
            return precompute(
                model,
                planes,
                conditioning,
                store,
                start=where.first,
                stop=where.last + 1,
                cancelled=cancelled,
                interrupted=lambda: thread.is_wanted_before(Priority.BACKGROUND),
            )

        self.image, self.title = work.image, work.image.name
        self.progress = Progress(0, where.last + 1 - where.first, 0)
        self._encoding_since = time.monotonic()
        self._ticket = thread.stream(
            make, self._receive, self._finish, priority=Priority.BACKGROUND
        )

    def cancel(self) -> None:
        """End a run between two blocks of the encoder; finished planes stay on disk."""
        if self._ticket is not None:
            self._ticket.cancel()

    def forget(self, layer: Any) -> None:
        """End the run if it reads this layer, which was removed."""
        if layer is self.image:
            self.cancel()

    def _receive(self, progress: Progress) -> None:
        if not progress.encoded:
            self._encoding_since = time.monotonic()
        self.progress = progress
        self._on_change()

    def _finish(self, error: Exception | None) -> None:
        self._ticket = self.image = None
        if error is not None:
            report(error)
        self._on_change()
