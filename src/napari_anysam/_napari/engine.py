"""What follows objects in the runs of one image: a network, and what it has encoded already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_anysam.segmentation.embeddings import EmbeddingCache
from napari_anysam.settings import read_settings

if TYPE_CHECKING:
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.embedding_store import EmbeddingStore
    from napari_anysam.segmentation.tracking_end import EndRule
    from napari_anysam.segmentation.tracking_memories import MemoryUse

__all__ = ["Engine", "RunEmbeddings"]


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """What one run follows objects with.

    Parameters
    ----------
    model : PromptableModel
    store : EmbeddingStore or None
        Where planes may lie that were encoded before.
    cache : EmbeddingCache
        What earlier runs encoded, and this one will.
    memory : {"full", "fast"}
        See ``Tracker``.
    ending : EndRule or None
        See ``Tracker``.
    """

    model: PromptableModel
    store: EmbeddingStore | None
    cache: EmbeddingCache
    memory: MemoryUse = "full"
    ending: EndRule | None = None


class RunEmbeddings:
    """Embeddings of one image as it looks, from one run to the next.

    A repair visits planes that a run encoded a minute ago. They are kept exactly, under the same
    budget as those of clicks, ``embedding_memory_gb``, and let go when the image's pixels, its look
    or the model change.
    """

    def __init__(self) -> None:
        self._scope: tuple[object, ...] | None = None
        self._cache: EmbeddingCache | None = None

    def cache_for(self, work: Workspace, model: PromptableModel) -> EmbeddingCache:
        """Return what is kept of an image as it looks now; empty if that was another before.

        Raises
        ------
        SettingsError
            If the settings are not valid.
        """
        look = work.appearance.look()
        # Only names and tokens: neither layers nor networks shall be held.
        scope = (work.identity, look.conditioning, look.follow_axis, look.tokens, model.key)
        if self._cache is None or self._scope != scope:
            self._cache = EmbeddingCache(int(read_settings().embedding_memory_gb * 1e9))
            self._scope = scope
        return self._cache

    def forget(self) -> None:
        """Let go of everything; a run that is under way keeps what it holds until its end."""
        self._scope = self._cache = None
