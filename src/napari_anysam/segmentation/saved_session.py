"""One moment of a session, apart from its labels: what is saved, replayed and opened again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import SessionError
from napari_anysam.images.fingerprint import fingerprint
from napari_anysam.segmentation.journal import Painting
from napari_anysam.segmentation.losses import missed_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_anysam.images.conditioning import Conditioning
    from napari_anysam.segmentation.journal import Entry
    from napari_anysam.segmentation.lineage import Lineage
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.recent_states import Reached
    from napari_anysam.segmentation.session import KeptMask, PromptKey

__all__ = ["ImageRecord", "SavedSession", "check_image", "recorded_levels"]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """Which image was segmented.

    Parameters
    ----------
    name : str
        Of its layer.
    path : str or None
        Its file; None of images that were never in one.
    shape : tuple of int
        Of its largest level, with colours.
    rgb : bool
        Whether its last axis holds colours.
    fingerprint : str
        ``images.fingerprint.fingerprint`` of its pixels.
    levels : int
        How many levels of it were read, the largest first.
    """

    name: str
    path: str | None
    shape: tuple[int, ...]
    rgb: bool
    fingerprint: str
    levels: int = 1

    def is_of(self, pixels: Any) -> bool:
        """Whether pixels (of the largest level) are those that were segmented."""
        same_shape = tuple(int(size) for size in pixels.shape) == self.shape
        return same_shape and fingerprint(pixels, channels=self.rgb) == self.fingerprint


@dataclass(frozen=True, slots=True, eq=False)
class SavedSession:
    """One moment of a session.

    Parameters
    ----------
    image : ImageRecord
    order : tuple of int
        The image's axes: the hidden ones, then row and column. Planes are counted along the hidden
        ones, row-major.
    prompts : sequence of Prompt
        In the order in which they were first given; ``plane`` counts all hidden axes.
    classes : mapping of int to str
    journal : sequence of Entry
    object_id : int
        The object that the next prompt belongs to.
    plane : int or None
        The plane that was shown.
    conditioning : Conditioning or None
        How the image was shown.
    others : sequence of ImageRecord
        The layers that were blended with the image.
    reviewed : frozenset of (object id, plane)
        As in ``Session``.
    parents : mapping
        Daughter to mother.
    dismissed : frozenset of (object id, time)
        As in ``Session``.
    reached : Reached or None
        Where the last run of the journal can go on; None if nothing is left of it, or it cannot.
    """

    image: ImageRecord
    order: tuple[int, ...]
    prompts: tuple[Prompt, ...]
    classes: Mapping[int, str]
    journal: tuple[Entry, ...]
    object_id: int = 1
    plane: int | None = None
    conditioning: Conditioning | None = None
    others: tuple[ImageRecord, ...] = ()
    reviewed: frozenset[PromptKey] = frozenset()
    parents: Lineage = field(default_factory=dict)
    reached: Reached | None = None
    dismissed: frozenset[tuple[int, int]] = frozenset()

    @property
    def kept(self) -> dict[PromptKey, KeptMask]:
        """What the journal leaves as kept."""
        kept: dict[PromptKey, KeptMask | None] = {}
        for entry in self.journal:
            if isinstance(entry, Painting):
                kept.update(entry.kept)
            else:
                kept.update((write.key, write.mask) for write in entry.writes)
        return {key: mask for key, mask in kept.items() if mask is not None}

    @property
    def missed(self) -> set[PromptKey]:
        """Where the last run of the journal that looked for an object did so in vain."""
        missed: set[PromptKey] = set()
        for entry in self.journal:
            if isinstance(entry, Painting):
                missed.difference_update(entry.kept)
            else:
                missed.difference_update(write.key for write in entry.writes)
                missed |= missed_in(entry)
        return missed


def recorded_levels(record: ImageRecord, levels: Sequence[Any]) -> list[Any]:
    """Return the part of a file that was segmented: viewers show channels as layers of their own.

    Parameters
    ----------
    record : ImageRecord
    levels : sequence of array-like
        What a file holds, the largest level first.

    Returns
    -------
    list of array-like
        The levels of the first channel with the recorded pixels; all there is if none has them.
    """
    shape = tuple(int(size) for size in levels[0].shape)
    for axis in range(len(shape)):
        if shape[:axis] + shape[axis + 1 :] != record.shape:
            continue
        for index in range(shape[axis]):
            channel = [_along(level, axis, index) for level in levels]
            if record.is_of(channel[0]):
                return channel
    return list(levels)


def _along(array: Any, axis: int, index: int) -> Any:
    """Return an array without one axis; what lies on disk stays there."""
    if not isinstance(array, np.ndarray):
        import dask.array as da

        array = da.from_array(array)
    return array[(*(slice(None),) * axis, index)]


def check_image(record: ImageRecord, pixels: Any) -> None:
    """Raise SessionError if an image (its largest level) is not the one that was segmented."""
    shape = tuple(int(size) for size in pixels.shape)
    if shape != record.shape:
        raise SessionError(
            f"The session belongs to {record.name} of shape {record.shape}, not to an image of "
            f"shape {shape}; choose that image."
        )
    if not record.is_of(pixels):
        raise SessionError(
            f"The session belongs to {record.name}, whose pixels are others than these; choose "
            "that image, or the file as it was."
        )
