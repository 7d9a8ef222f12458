"""A cache of embeddings in memory, with what is on disk behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_anysam.errors import EmbeddingError
from napari_anysam.networks import out_of_memory
from napari_anysam.segmentation.embedding_store import EmbeddingStore, content_name
from napari_anysam.segmentation.embeddings import EmbeddingCache
from napari_anysam.segmentation.half_embeddings import halved, widened
from napari_anysam.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    import numpy as np
    from numpy.typing import NDArray

    from napari_anysam.networks.protocol import Embedding, PromptableModel

__all__ = ["StoredCache", "user_cache", "user_store"]


class StoredCache(EmbeddingCache):
    """Embeddings by key in memory and by content on disk, rounded to 16 bits before first use.

    What is held in memory is found by its cheap key, without reading pixels. A disk that refuses
    is warned of once, and what it would have held is encoded instead.

    Parameters
    ----------
    max_bytes : int
        Budget for memory.
    store : EmbeddingStore, optional
        Where embeddings stay when the program ends; None keeps them in memory only.
    """

    def __init__(self, max_bytes: int = 2**30, store: EmbeddingStore | None = None) -> None:
        super().__init__(max_bytes)
        self.store = store

    def encoded(
        self,
        model: PromptableModel,
        key: Hashable,
        read: Callable[[], NDArray[np.uint8]],
        cancelled: Callable[[], bool] | None = None,
    ) -> Embedding:
        """Return the embedding of this key from memory, from disk, or encoded now.

        The parameters are those of ``EmbeddingCache.encoded``.
        """
        half = self.get(key)
        if half is not None:
            self._count(memory=1)
            return widened(half, model)
        pixels = read()
        name = "" if self.store is None else content_name(model, pixels)
        half = None if self.store is None else self.store.get(name, model)
        if half is not None:
            self._count(disk=1)
        else:
            half = halved(out_of_memory.encode(model, pixels, cancelled=cancelled), model)
            self._count(encoded=1)
            self._to_disk(name, half)
        self.put(key, half)
        return widened(half, model)

    def _to_disk(self, name: str, half: Embedding) -> None:
        if self.store is None:
            return
        try:
            self.store.put(name, half)
        except EmbeddingError as error:
            self.store.warn(error)


def user_cache() -> StoredCache:
    """Return a cache under the budgets of this user's settings.

    Raises
    ------
    SettingsError
        If the settings are not valid.
    """
    return StoredCache(int(read_settings().embedding_memory_gb * 1e9), user_store())


def user_store() -> EmbeddingStore | None:
    """Return this user's embeddings on disk; None if the settings keep none there.

    Raises
    ------
    SettingsError
        If the settings are not valid.
    """
    settings = read_settings()
    budget = int(settings.embedding_disk_gb * 1e9)
    return EmbeddingStore(settings.cache / "embeddings", budget) if budget else None
