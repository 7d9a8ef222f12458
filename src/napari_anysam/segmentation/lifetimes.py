"""When an object of a lineage lives: a daughter from her birth on, a mother until then.

Where it does not live an object is left out of a run's masks, and takes no pixel from the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.segmentation.windows import seen_from, tight_window

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from napari_anysam.segmentation.session import PromptKey, Session
    from napari_anysam.segmentation.tracking_results import PropagationResult
    from napari_anysam.segmentation.windows import Window

__all__ = ["absences", "ended_at", "endings", "living_windows"]


def absences(session: Session, numbers: Mapping[int, int]) -> frozenset[PromptKey]:
    """Return where in time objects cannot be.

    A daughter is born where she has her first mask or prompt, and her mother ends at the first
    birth.

    Parameters
    ----------
    session : Session
        With the lineage.
    numbers : mapping of int to int
        Number of a plane, as the session counts, to its time point.

    Returns
    -------
    frozenset of (object id, plane)
    """
    births: dict[int, int] = {}
    for object_id, plane in (*session.kept, *session.prompts):
        if object_id in session.parents and plane is not None and plane in numbers:
            time = numbers[plane]
            births[object_id] = min(births.get(object_id, time), time)
    ends: dict[int, int] = {}
    for child, time in births.items():
        mother = session.parents[child]
        ends[mother] = min(ends.get(mother, time), time)
    return frozenset(
        (object_id, plane)
        for object_id in births.keys() | ends.keys()
        for plane, time in numbers.items()
        if time < births.get(object_id, time) or time >= ends.get(object_id, time + 1)
    )


def endings(
    session: Session, absent: Collection[PromptKey], followed: Iterable[int]
) -> frozenset[PromptKey]:
    """Return masks of mothers that still stand where their daughters are about to be followed.

    They were left by a run of the daughters that was cancelled before it came there.

    Parameters
    ----------
    session : Session
    absent : collection of (object id, plane)
        From ``absences``.
    followed : iterable of int
        The objects that a run follows.

    Returns
    -------
    frozenset of (object id, plane)
        Without planes on which somebody marked the mother.
    """
    mothers = {session.parents[one] for one in followed if one in session.parents}
    return frozenset(
        key
        for key in absent
        if key[0] in mothers and key in session.kept and key not in session.prompts
    )


def ended_at(plane: int | None, ended: Collection[PromptKey]) -> list[int]:
    """Return the objects that end on a plane, ascending."""
    return [one for one in sorted({number for number, _ in ended}) if (one, plane) in ended]


def living_windows(
    result: PropagationResult, absent: Collection[int] = ()
) -> Iterator[tuple[int, Window | None]]:
    """Return what is shown of objects on a plane, without those that cannot be there.

    Parameters
    ----------
    result : PropagationResult
    absent : collection of int
        Their pixels go to the others whose masks hold them too.

    Yields
    ------
    object id, Window or None where it is not
    """
    found = list(zip(result.object_ids, result.windows, result.shown, strict=True))
    freed = [shown for object_id, _, shown in found if object_id in absent and shown is not None]
    for object_id, whole, shown in found:
        if object_id not in absent:
            yield int(object_id), _with_freed(whole, shown, freed)


def _with_freed(
    whole: Window | None, shown: Window | None, freed: Collection[Window]
) -> Window | None:
    """Add to what is shown of a mask what others that are not there had of it."""
    if whole is None or not freed:
        return shown
    own = np.zeros(whole.shape, bool) if shown is None else seen_from(shown, whole)
    for other in freed:
        own |= seen_from(other, whole) & whole.mask
    return tight_window(own, whole.origin)
