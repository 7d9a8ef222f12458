"""A cache of embeddings in memory under a byte budget, least recently used out first."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari_anysam.networks.protocol import Embedding

__all__ = ["EmbeddingCache"]


class EmbeddingCache:
    """Embeddings by key; the key names model, pixels, conditioning and region.

    Parameters
    ----------
    max_bytes : int
        Budget for the tensors it holds. An embedding that is larger than the whole budget is not
        kept.
    """

    def __init__(self, max_bytes: int = 2**30) -> None:
        self.max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, Embedding] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        return self._bytes

    def __len__(self) -> int:
        """Count the embeddings held."""
        return len(self._entries)

    def get(self, key: Hashable) -> Embedding | None:
        """Return the embedding of this key and mark it as used, or None."""
        with self._lock:
            embedding = self._entries.get(key)
            if embedding is not None:
                self._entries.move_to_end(key)
            return embedding

    def put(self, key: Hashable, embedding: Embedding) -> None:
        """Keep an embedding, and let go of the least recently used ones above the budget."""
        with self._lock:
            replaced = self._entries.pop(key, None)
            if replaced is not None:
                self._bytes -= replaced.nbytes
            if embedding.nbytes > self.max_bytes:
                return
            self._entries[key] = embedding
            self._bytes += embedding.nbytes
            while self._bytes > self.max_bytes:
                _, oldest = self._entries.popitem(last=False)
                self._bytes -= oldest.nbytes

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0
