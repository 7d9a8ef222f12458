"""What the labels show of an object on a plane, as a part of its first prompt there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_anysam._napari.from_label import found_window
from napari_anysam.segmentation.correcting import corrected_mask, surroundings
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.windows import tight_window

if TYPE_CHECKING:
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.windows import Window

__all__ = ["beside", "standing_window"]


def standing_window(work: Workspace, object_id: int, frame: PlaneFrame) -> Window | None:
    """Return the mask of an object on a plane as the labels show it, if nobody clicked for it.

    It is read only where it was counted, or around what a run wrote there: planes may be huge.
    """
    if work.target is None:
        return None
    labels, kept = work.target.array, work.session.kept.get((object_id, frame.number))
    if kept is None:
        census = work.census
        return None if census is None else found_window(labels, object_id, frame, census)
    if kept.recipe is not None:
        return None
    rows, columns = surroundings(kept.window, frame.plane_shape)
    values = np.asarray(labels[(*frame.index, rows, columns)])
    return tight_window(values == object_id, (rows.start, columns.start))


def beside(work: Workspace, prompt: Prompt, window: Window, frame: PlaneFrame) -> Prompt | None:
    """Return what goes to the network together with the first prompt on a mask.

    Parameters
    ----------
    work : Workspace
        Where the mask stands.
    prompt : Prompt
        What the user says.
    window : Window
        From ``standing_window``.
    frame : PlaneFrame
        The plane of both.

    Returns
    -------
    Prompt or None
        The mask, with a box where clicks correct it. None where the prompt begins anew; but the
        label of an object that was not made here is always a part of its first prompt.
    """
    found = corrected_mask(prompt, window, frame.plane_shape)
    if found is not None or (prompt.object_id, frame.number) in work.session.kept:
        return found
    return Prompt(prompt.object_id, prompt.plane, mask=window.mask, mask_origin=window.origin)
