"""Planes and regions of planes as embeddings, each read and encoded once."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from napari_anysam.errors import Cancelled
from napari_anysam.networks import out_of_memory
from napari_anysam.segmentation.embedding_store import content_name
from napari_anysam.segmentation.plane_pixels import MOST_PIXELS, WholePlane, WindowedPlane
from napari_anysam.segmentation.reading_ahead import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    import numpy as np
    from numpy.typing import NDArray

    from napari_anysam.images.conditioning import Conditioning
    from napari_anysam.images.planes import Planes
    from napari_anysam.networks.protocol import Embedding, PromptableModel
    from napari_anysam.segmentation.embedding_store import EmbeddingStore
    from napari_anysam.segmentation.embeddings import EmbeddingCache
    from napari_anysam.segmentation.plane_pixels import PlanePixels
    from napari_anysam.segmentation.regions import Region

__all__ = ["PlaneSource"]

HELD_BYTES = 2**27
"""Budget for planes held as they were read, but for the current one and the one read ahead."""


class PlaneSource:
    """Encodes regions of planes; a plane is read once for all its regions on a visit.

    Of planes beyond `plane_pixels.MOST_PIXELS` only what the regions need is read, and nothing is
    held or read ahead.

    Parameters
    ----------
    model : PromptableModel
        The network.
    planes, conditioning, cache, store, plane_key
        See ``tracking.Tracker``.
    cancelled : callable
        Asked between encoder blocks.

    Attributes
    ----------
    keep : bool
        Whether new embeddings go into the cache.
    held : int
        How many planes to hold as they were read.
    coming : int or None
        The plane that will be asked for after the current one; read ahead where that is worth it.
    """

    def __init__(
        self,
        model: PromptableModel,
        planes: Planes,
        conditioning: Conditioning,
        cache: EmbeddingCache,
        store: EmbeddingStore | None,
        plane_key: Callable[[int], Hashable],
        cancelled: Callable[[], bool],
    ) -> None:
        self.keep = False
        self.held = 1
        self.coming: int | None = None
        self.shape = planes.plane_shape
        self.count = planes.count
        self.cache = cache
        self.cancelled = cancelled
        self.key = plane_key
        # What is stored of fp32 networks is rounded, and a run shall not depend on what was stored.
        self._store = None if model.precision == "fp32" else store
        self._model = model
        # Regions that move would have to keep to the pixels of coarser levels.
        self._planes = planes.without_levels()
        self._windowed = planes.plane_shape[0] * planes.plane_shape[1] > MOST_PIXELS
        self._reader = ReadAhead(planes.read)
        self._conditioning = conditioning
        self._held: OrderedDict[int, NDArray[Any]] = OrderedDict()

    def embedding(self, plane: int, region: Region) -> Embedding:
        """Encode a region of a plane, or take it from the cache or the store.

        Raises
        ------
        Cancelled
            If that was asked for: a plane with hundreds of objects is given up between them.
        """
        if self.cancelled():
            raise Cancelled("The run was cancelled.")
        key = (self._model.key, self.key(plane), region)
        embedding = self.cache.get(key)
        if embedding is None:
            pixels = self._seen(plane, region)
            embedding = self._stored(pixels)
            if embedding is None:
                embedding = out_of_memory.encode(self._model, pixels, cancelled=self.cancelled)
            if self.keep:
                self.cache.put(key, embedding)
        return embedding

    def close(self) -> None:
        """Stop reading ahead."""
        self._reader.close()

    def _stored(self, pixels: NDArray[np.uint8]) -> Embedding | None:
        """Return what somebody encoded before; a run writes nothing there, as its regions move."""
        if self._store is None:
            return None
        return self._store.get(content_name(self._model, pixels), self._model)

    def pixels(self, plane: int) -> PlanePixels:
        """Return a plane as the network sees it, to be read region by region."""
        if self._windowed:
            return self._window(plane)
        return WholePlane(lambda: self._conditioning.at(plane).apply(self._read(plane)))

    def _seen(self, plane: int, region: Region) -> NDArray[np.uint8]:
        """Return a region as the network sees it, uint8 (h, w, 3)."""
        if self._windowed:
            return self._window(plane).read(region, self._model.image_size)
        return self._conditioning.at(plane).apply(self._read(plane)[region.slices])

    def _window(self, plane: int) -> WindowedPlane:
        return WindowedPlane(self._planes, self._conditioning.at(plane), plane)

    def _read(self, plane: int) -> NDArray[Any]:
        """Read a plane unless it is held; the last few are, for regions that move."""
        pixels = self._held.get(plane)
        if pixels is None:
            self._make_room()
            pixels = self._reader.get(plane)
            self._held[plane] = pixels
            if self.coming is not None and self.coming not in self._held:
                self._reader.prepare(self.coming)
        self._held.move_to_end(plane)
        return pixels

    def _make_room(self) -> None:
        """Let go of planes before another one is read."""
        nbytes = sum(pixels.nbytes for pixels in self._held.values())
        while self._held and (len(self._held) >= self.held or nbytes > HELD_BYTES):
            nbytes -= self._held.popitem(last=False)[1].nbytes
