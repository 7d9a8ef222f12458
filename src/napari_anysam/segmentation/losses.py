"""Where runs lost objects: the planes on which they looked for one and found nothing.

In a stack every object ends, and that is no news. Along time an object that a run finds no more may
have left, or the run may have lost it; so somebody should look at the plane where it vanishes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.segmentation.confidence import DoubtLimits
from napari_anysam.segmentation.journal import Writing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_anysam.segmentation.journal import Entry
    from napari_anysam.segmentation.session import PromptKey

    Marks = NDArray[np.bool_]

__all__ = ["losses", "missed_in"]


def missed_in(entry: Entry) -> frozenset[PromptKey]:
    """Return the objects and planes that a run looked for in vain, by its last answer there.

    Mothers that it ended are not among them. Runs that stop where objects end (``tracking_end``)
    miss none: what is absent has ended.
    """
    if not isinstance(entry, Writing) or entry.run is None or entry.run.ending is not None:
        return frozenset()
    latest = {write.key: write.mask for write in entry.writes}
    absent = frozenset(key for key, mask in latest.items() if mask is None)
    return absent - entry.run.ended


def losses(
    present: Marks, missed: Marks, patience: int = DoubtLimits().lost_after
) -> dict[int, str]:
    """Find where an object vanishes, in the direction in which it was followed.

    Parameters
    ----------
    present : bool array (N,)
        Whether it has a mask, along an axis.
    missed : bool array (N,)
        Whether a run looked for it in vain.
    patience : int
        Planes running without it, between two with it, that count as a loss; fewer are passed
        over. What is not found again counts from one plane on.

    Returns
    -------
    dict of int to str
        The first plane without it of every loss, and what happened in words.
    """
    found = {}
    count = len(present)
    for first, after in _gaps(present):
        ends, begins = after == count, first == 0
        if ends and begins:
            continue
        if not begins and missed[first]:
            if ends:
                found[first] = "lost from here on"
            elif after - first >= patience:
                found[first] = f"lost here, found again on plane {after}"
        elif not ends and missed[after - 1]:
            if begins:
                found[after - 1] = "lost from here back"
            elif after - first >= patience:
                found[after - 1] = f"lost here, found again on plane {first - 1}"
    return found


def _gaps(present: Marks) -> list[tuple[int, int]]:
    """Return half-open ranges without a mask."""
    edges = np.flatnonzero(np.diff(np.concatenate(([True], present, [True])).astype(np.int8)))
    return [(int(first), int(after)) for first, after in edges.reshape(-1, 2)]
