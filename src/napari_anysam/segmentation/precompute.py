"""Encoding the planes of a stack before anybody clicks.

Whole planes are encoded. Networks with a large input, for which it is worth the wait, answer clicks
from the whole plane up to twice their input's side, and boxes too unless the object is small in it
(`regions.py`). Networks with a small input zoom in from place to place and encode in milliseconds:
of what they need, only the largest region is there beforehand.

Embeddings go to disk. So an interrupted run starts again where it ended, and memory stays with the
planes that are being worked on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_anysam.errors import Cancelled, EmbeddingError, ImageError
from napari_anysam.networks import out_of_memory
from napari_anysam.segmentation.embedding_store import content_name
from napari_anysam.segmentation.half_embeddings import halved
from napari_anysam.segmentation.plane_pixels import WindowedPlane
from napari_anysam.segmentation.regions import Region

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_anysam.images.conditioning import Conditioning
    from napari_anysam.images.planes import Planes
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.embedding_store import EmbeddingStore

__all__ = ["Progress", "precompute"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Parameters
    ----------
    done, total : int
        Planes.
    encoded : int
        Those of ``done`` that were encoded now; the others were on disk.
    """

    done: int
    total: int
    encoded: int


def precompute(
    model: PromptableModel,
    planes: Planes,
    conditioning: Conditioning,
    store: EmbeddingStore,
    *,
    start: int | None = None,
    stop: int | None = None,
    cancelled: Callable[[], bool] | None = None,
    interrupted: Callable[[], bool] | None = None,
) -> Iterator[Progress]:
    """Encode planes that are not in a store; yields after each plane.

    Parameters
    ----------
    model : PromptableModel
        Called from the thread that walks through the generator.
    planes : Planes
        Read one at a time.
    conditioning : Conditioning
        As it will be when somebody clicks: another one makes other embeddings.
    store : EmbeddingStore
        Takes the embeddings, rounded as ``StoredCache`` uses them.
    start, stop : int, optional
        Half-open range of planes; all of them if left out.
    cancelled : callable, optional
        Asked between encoder blocks; when it answers True the run ends without an exception.
    interrupted : callable, optional
        Asked between encoder blocks too; when it answers True the plane in progress is given up,
        the same progress is yielded again, and the plane is begun anew after that.

    Raises
    ------
    ImageError
        If the range is empty or not in the stack, or a plane cannot be read.
    EmbeddingError
        If the disk refuses, or the planes need more room than the store has.
    """
    first, last = 0 if start is None else start, planes.count if stop is None else stop
    if not 0 <= first < last <= planes.count:
        raise ImageError(
            f"There are no planes {first} to {last - 1} to precompute; use planes 0 to "
            f"{planes.count - 1}."
        )
    return _run(model, planes, conditioning, store, range(first, last), cancelled, interrupted)


def _run(
    model: PromptableModel,
    planes: Planes,
    conditioning: Conditioning,
    store: EmbeddingStore,
    wanted: range,
    cancelled: Callable[[], bool] | None,
    interrupted: Callable[[], bool] | None,
) -> Iterator[Progress]:
    def is_cancelled() -> bool:
        return cancelled is not None and cancelled()

    def gives_way() -> bool:
        return is_cancelled() or (interrupted is not None and interrupted())

    encoded = 0
    for done, index in enumerate(wanted):
        plane = WindowedPlane(planes, conditioning.at(index), index)
        whole = plane.fitted(Region.whole(planes.plane_shape), model.image_size)
        pixels = plane.read(whole, model.image_size)
        name = content_name(model, pixels)
        while not is_cancelled() and not store.holds(name):
            try:
                embedding = halved(out_of_memory.encode(model, pixels, cancelled=gives_way), model)
            except Cancelled:
                if not is_cancelled():
                    yield Progress(done, len(wanted), encoded)
                continue
            _check_room(store, embedding.nbytes, len(wanted))
            store.put(name, embedding)
            encoded += 1
            break
        if is_cancelled():
            return
        yield Progress(done + 1, len(wanted), encoded)


def _check_room(store: EmbeddingStore, nbytes: int, count: int) -> None:
    if nbytes * count > store.room:
        most = store.room // nbytes
        raise EmbeddingError(
            f"The embeddings of {count} planes need {nbytes * count / 0.9e9:.1f} GB; raise the "
            f"setting embedding_disk_gb from {store.max_bytes / 1e9:g}"
            + (f", or precompute up to {most} planes." if most else ".")
        )
