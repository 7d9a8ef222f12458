"""What is known of every object on every plane along one axis, as arrays that a strip can draw.

A plane without a mask is not doubtful in a stack, whatever the run said of it ("lost"): every
object ends, and the strip shows where. Along time it is where an object vanishes (``losses``): one
plane of the absence, so that a key stops there once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_anysam.segmentation.losses import losses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_anysam.segmentation.session import KeptMask, PromptKey, Session

__all__ = ["LaneMark", "Lanes", "lanes_of", "next_plane"]

LaneMark = Literal["prompt", "doubtful", "reviewed"]

_ARRAYS = ("present", "confidence", "prompt", "doubtful", "reviewed", "missed")

LOW_CONFIDENCE = 0.5
"""A mask that can be trusted less than this is doubtful."""


@dataclass(slots=True, eq=False)
class Lanes:
    """One lane per object along an axis of N planes.

    Parameters
    ----------
    object_ids : tuple of int
        Ascending, one per lane.
    present : bool array (objects, N)
        Whether a mask is kept.
    confidence : float32 array (objects, N)
        0 to 1; 1 where somebody accepted or reviewed the mask, NaN where there is none.
    prompt, doubtful, reviewed : bool array (objects, N)
        Marks; a reviewed plane is not doubtful.
    missed : bool array (objects, N)
        Whether a run looked for the object in vain.
    doubts : mapping of (object id, position) to str
        Why a mask, or the absence of one, is doubtful.
    is_loss : callable or None
        Tells of an object and a position where it vanishes whether that is a loss; None where the
        axis is not time and no absence is.
    """

    object_ids: tuple[int, ...]
    present: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    prompt: NDArray[np.bool_]
    doubtful: NDArray[np.bool_]
    reviewed: NDArray[np.bool_]
    missed: NDArray[np.bool_]
    doubts: dict[tuple[int, int], str]
    is_loss: Callable[[int, int], bool] | None = None

    @property
    def planes(self) -> int:
        """Planes along the axis."""
        return int(self.present.shape[1])

    def lane_of(self, object_id: int) -> int | None:
        """Return the lane of an object; None if it has none."""
        place = int(np.searchsorted(self.object_ids, object_id))
        there = place < len(self.object_ids) and self.object_ids[place] == object_id
        return place if there else None

    def write(self, object_id: int, position: int, mask: KeptMask | None) -> None:
        """Take note of a mask that was just propagated, or of its absence."""
        lane = self.lane_of(object_id)
        if lane is not None:
            self._enter([lane], [position], [mask])

    def follow(
        self, session: Session, keys: Iterable[PromptKey], numbers: Mapping[int, int]
    ) -> None:
        """Bring objects on planes to what the session says of them now; objects come and go.

        Parameters
        ----------
        session : Session
        keys : iterable of (object id, plane)
            What may have changed.
        numbers : mapping of int to int
            See ``lanes_of``.
        """
        changed = set(keys)
        here = [key for key in changed if key[1] in numbers]
        self._add({object_id for object_id, _ in here}.difference(self.object_ids))
        lane_of = {object_id: lane for lane, object_id in enumerate(self.object_ids)}
        lanes = [lane_of[object_id] for object_id, _ in here]
        positions = [numbers[plane] for _, plane in here if plane is not None]
        self.prompt[lanes, positions] = [key in session.prompts for key in here]
        self.reviewed[lanes, positions] = [key in session.reviewed for key in here]
        self.missed[lanes, positions] = [key in session.missed for key in here]
        self._enter(lanes, positions, [session.kept.get(key) for key in here])
        for object_id in {key[0] for key in changed}.intersection(lane_of):
            self._mark_losses(lane_of[object_id])
        self._drop_empty(sorted(set(lanes)))

    def in_words(self, lane: int, position: int) -> str:
        """Say what is known of one object on one plane."""
        name = f"Object {self.object_ids[lane]}, plane {position}"
        doubt = self.doubts.get((self.object_ids[lane], position), "")
        if not self.present[lane, position]:
            marked = "marked, nothing kept yet" if self.prompt[lane, position] else "not there"
            return f"{name}: {doubt or marked}."
        said = [f"confidence {self.confidence[lane, position]:.2f}"]
        said += ["prompted"] if self.prompt[lane, position] else []
        said += ["reviewed"] if self.reviewed[lane, position] else []
        said += [doubt] if doubt and self.doubtful[lane, position] else []
        return f"{name}: {', '.join(said)}."

    def _add(self, object_ids: Iterable[int]) -> None:
        for object_id in sorted(object_ids):
            lane = int(np.searchsorted(self.object_ids, object_id))
            self.object_ids = (*self.object_ids[:lane], object_id, *self.object_ids[lane:])
            for name in _ARRAYS:
                empty = np.nan if name == "confidence" else False
                setattr(self, name, np.insert(getattr(self, name), lane, empty, axis=0))

    def _drop_empty(self, lanes: Sequence[int]) -> None:
        known = self.present | self.prompt | self.reviewed
        empty = [lane for lane in lanes if not known[lane].any()]
        if empty:
            gone = {self.object_ids[lane] for lane in empty}
            self.object_ids = tuple(one for one in self.object_ids if one not in gone)
            for name in _ARRAYS:
                setattr(self, name, np.delete(getattr(self, name), empty, axis=0))

    def _mark_losses(self, lane: int) -> None:
        """Say where an object of a lane vanishes."""
        if self.is_loss is None:
            return
        object_id = self.object_ids[lane]
        for position in np.flatnonzero(self.doubtful[lane] & ~self.present[lane]).tolist():
            self.doubtful[lane, position] = False
            self.doubts.pop((object_id, position), None)
        for position, words in losses(self.present[lane], self.missed[lane]).items():
            if not self.reviewed[lane, position] and self.is_loss(object_id, position):
                self.doubtful[lane, position] = True
                self.doubts[object_id, position] = words

    def _enter(
        self, lanes: Sequence[int], positions: Sequence[int], masks: Sequence[KeptMask | None]
    ) -> None:
        given = [np.nan if mask is None else _confidence(mask) for mask in masks]
        confidence = np.array(given, np.float32)
        present = ~np.isnan(confidence)
        reviewed = self.reviewed[lanes, positions]
        said = np.array([mask is not None and bool(mask.doubts) for mask in masks], bool)
        doubtful = present & ~reviewed & (said | (confidence < LOW_CONFIDENCE))
        confidence[present & reviewed] = 1
        self.present[lanes, positions] = present
        self.confidence[lanes, positions] = confidence
        for place in np.flatnonzero(self.doubtful[lanes, positions] & ~doubtful).tolist():
            self.doubts.pop((self.object_ids[lanes[place]], positions[place]), None)
        self.doubtful[lanes, positions] = doubtful
        for place in np.flatnonzero(doubtful).tolist():
            mask = masks[place]
            doubts = () if mask is None else mask.doubts
            where = self.object_ids[lanes[place]], positions[place]
            self.doubts[where] = ", ".join(doubts) or "low confidence"


def lanes_of(
    session: Session,
    numbers: Mapping[int, int],
    count: int,
    is_loss: Callable[[int, int], bool] | None = None,
) -> Lanes:
    """Gather what a session knows along an axis.

    Parameters
    ----------
    session : Session
    numbers : mapping of int to int
        Number of a plane, as the session counts, to its position along the axis; planes that are
        not in it lie elsewhere.
    count : int
        Planes along the axis.
    is_loss : callable, optional
        See ``Lanes``.
    """
    known = (*session.kept, *session.prompts, *session.reviewed, *session.missed)
    keys = {key for key in known if key[1] in numbers}
    object_ids = tuple(sorted({object_id for object_id, _ in keys}))
    shape = (len(object_ids), count)
    present, prompt, doubtful, reviewed, missed = (np.zeros(shape, bool) for _ in range(5))
    confidence = np.full(shape, np.nan, np.float32)
    lanes = Lanes(object_ids, present, confidence, prompt, doubtful, reviewed, missed, {}, is_loss)
    lanes.follow(session, keys, numbers)
    return lanes


def next_plane(
    lanes: Lanes, start: int, step: int, mark: LaneMark, object_ids: Sequence[int] = ()
) -> tuple[int, int] | None:
    """Find the nearest plane in a direction on which an object has a mark.

    Parameters
    ----------
    lanes : Lanes
    start : int
        Position from which to look; it is not returned itself.
    step : {1, -1}
    mark : {"prompt", "doubtful", "reviewed"}
    object_ids : sequence of int
        Only these count; all if left out.

    Returns
    -------
    (object id, position) or None
        Of several objects there the first one.
    """
    marks: NDArray[np.bool_] = getattr(lanes, mark)
    if object_ids:
        chosen = np.isin(lanes.object_ids, object_ids)
        marks = marks & chosen[:, None]
    found = np.flatnonzero(marks.any(axis=0))
    ahead = found[found > start] if step > 0 else found[found < start][::-1]
    if not ahead.size:
        return None
    position = int(ahead[0])
    return lanes.object_ids[int(np.argmax(marks[:, position]))], position


def _confidence(mask: KeptMask) -> float:
    """Return how far a mask can be trusted; one that somebody accepted, wholly."""
    return 1.0 if mask.confidence is None else mask.confidence
