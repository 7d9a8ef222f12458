"""A cache of embeddings in memory under a byte budget, least recently used out first."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING

from napari_anysam.networks import out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    import numpy as np
    from numpy.typing import NDArray

    from napari_anysam.networks.protocol import Embedding, PromptableModel

__all__ = ["EmbeddingCache", "Statistics"]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Where embeddings came from.

    Parameters
    ----------
    memory, disk : int
        Hits.
    encoded : int
        Misses: the network had to encode.
    """

    memory: int = 0
    disk: int = 0
    encoded: int = 0

    def since(self, earlier: Statistics) -> Statistics:
        """Return what was added since."""
        return Statistics(
            self.memory - earlier.memory, self.disk - earlier.disk, self.encoded - earlier.encoded
        )


class EmbeddingCache:
    """Embeddings by key; the key names model, pixels, conditioning and region.

    Parameters
    ----------
    max_bytes : int
        Budget for the tensors it holds. An embedding that is larger than the whole budget is not
        kept.

    Attributes
    ----------
    statistics : Statistics
        Of the calls of ``encoded``; a new value after each.
    """

    def __init__(self, max_bytes: int = 2**30) -> None:
        self.max_bytes = max_bytes
        self.statistics = Statistics()
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

    def encoded(
        self,
        model: PromptableModel,
        key: Hashable,
        read: Callable[[], NDArray[np.uint8]],
        cancelled: Callable[[], bool] | None = None,
    ) -> Embedding:
        """Return the embedding of this key, encoded now if it is not held.

        Parameters
        ----------
        model : PromptableModel
            Called from the calling thread.
        key : hashable
            Names the model and what ``read`` returns.
        read : callable
            Returns the conditioned pixels, uint8 (H, W, 3); called only if they are needed.
        cancelled : callable, optional
            Asked between encoder blocks; ``Cancelled`` is raised when it answers True.
        """
        embedding = self.get(key)
        if embedding is not None:
            self._count(memory=1)
            return embedding
        embedding = out_of_memory.encode(model, read(), cancelled=cancelled)
        self._count(encoded=1)
        self.put(key, embedding)
        return embedding

    def _count(self, *, memory: int = 0, disk: int = 0, encoded: int = 0) -> None:
        before = self.statistics
        self.statistics = replace(
            before,
            memory=before.memory + memory,
            disk=before.disk + disk,
            encoded=before.encoded + encoded,
        )

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0
