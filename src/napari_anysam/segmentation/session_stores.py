"""Sessions whose labels are in a label store, which stays where it is and is read by chunks.

A store is ahead of its session for moments, because strokes are written into it at once. So the
session says what the store held; if it holds something else when it is opened, the difference
counts as drawn by hand.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from napari_anysam.errors import AnySAMWarning, SessionError
from napari_anysam.images.label_pyramid import LabelPyramid
from napari_anysam.segmentation.hand_edits import HandEdits
from napari_anysam.segmentation.journal import rewrite
from napari_anysam.segmentation.session_schema import StoreFile
from napari_anysam.segmentation.tiled_labels import TiledLabels

if TYPE_CHECKING:
    from napari_anysam.segmentation.saved_session import SavedSession

__all__ = ["describe_store", "edits_of_store", "open_store", "was_changed"]


def describe_store(labels: LabelPyramid) -> StoreFile:
    """Say where a store lies and what it holds."""
    return StoreFile(store=str(labels.path.absolute()), digest=labels.digest())


def open_store(folder: Path, described: StoreFile) -> LabelPyramid:
    """Open the label store of a session's folder: where it lay, or beside the folder.

    Raises
    ------
    SessionError
        If it is in neither place.
    """
    path = Path(described.store)
    beside = folder.absolute().parent / path.name
    for found in (path, beside):
        if found.exists():
            return LabelPyramid(found)
    raise SessionError(
        f"The labels of {folder} are not at {path}, nor at {beside}; put the folder {path.name} "
        "back beside the session."
    )


def was_changed(labels: LabelPyramid, described: StoreFile) -> bool:
    """Tell whether a store holds something else than the session knows; warns if so."""
    if labels.digest() == described.digest:
        return False
    warnings.warn(
        f"{labels.path} was written to after the session was saved; what differs counts as drawn "
        "by hand.",
        AnySAMWarning,
        stacklevel=3,
    )
    return True


def edits_of_store(session: SavedSession, labels: LabelPyramid) -> HandEdits:
    """Find what a journal does not explain of a store; reads the chunks that were written."""
    explained = TiledLabels(labels.shape, labels.dtype)
    rewrite(session.journal, explained)
    chunks = [(one.index, one.rows, one.columns) for one in labels.written_chunks()]
    known = {(index, rows.start, columns.start) for index, rows, columns in chunks}
    high, wide = labels.levels[0].chunks[-2:]
    erased = [
        (index, rows, columns)
        for index, rows, columns in explained.windows()
        if (index, rows.start // high * high, columns.start // wide * wide) not in known
    ]
    return HandEdits.between_windows(explained, labels, [*chunks, *erased])
