"""What is known of every object on every plane along one axis, as arrays that a strip can draw.

A plane without a mask is never doubtful, whatever the run said of it ("lost"): every object of a
stack ends, and the strip shows where. So an absence, however long, stops no key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_anysam.segmentation.session import KeptMask, PromptKey, Session

__all__ = ["LaneMark", "Lanes", "lanes_of", "next_plane"]

LaneMark = Literal["prompt", "doubtful", "reviewed"]

_ARRAYS = ("present", "confidence", "prompt", "doubtful", "reviewed")

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
    doubts : mapping of (object id, position) to str
        Why a mask is doubtful.
    """

    object_ids: tuple[int, ...]
    present: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    prompt: NDArray[np.bool_]
    doubtful: NDArray[np.bool_]
    reviewed: NDArray[np.bool_]
    doubts: dict[tuple[int, int], str]

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
        here = [key for key in keys if key[1] in numbers]
        self._add({object_id for object_id, _ in here}.difference(self.object_ids))
        lane_of = {object_id: lane for lane, object_id in enumerate(self.object_ids)}
        lanes = [lane_of[object_id] for object_id, _ in here]
        positions = [numbers[plane] for _, plane in here if plane is not None]
        self.prompt[lanes, positions] = [key in session.prompts for key in here]
        self.reviewed[lanes, positions] = [key in session.reviewed for key in here]
        self._enter(lanes, positions, [session.kept.get(key) for key in here])
        self._drop_empty(sorted(set(lanes)))

    def in_words(self, lane: int, position: int) -> str:
        """Say what is known of one object on one plane."""
        name = f"Object {self.object_ids[lane]}, plane {position}"
        if not self.present[lane, position]:
            marked = "marked, nothing kept yet" if self.prompt[lane, position] else "not there"
            return f"{name}: {marked}."
        said = [f"confidence {self.confidence[lane, position]:.2f}"]
        said += ["prompted"] if self.prompt[lane, position] else []
        said += ["reviewed"] if self.reviewed[lane, position] else []
        doubt = self.doubts.get((self.object_ids[lane], position), "")
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


def lanes_of(session: Session, numbers: Mapping[int, int], count: int) -> Lanes:
    """Gather what a session knows along an axis.

    Parameters
    ----------
    session : Session
    numbers : mapping of int to int
        Number of a plane, as the session counts, to its position along the axis; planes that are
        not in it lie elsewhere.
    count : int
        Planes along the axis.
    """
    known = (*session.kept, *session.prompts, *session.reviewed)
    keys = {key for key in known if key[1] in numbers}
    object_ids = tuple(sorted({object_id for object_id, _ in keys}))
    shape = (len(object_ids), count)
    present, prompt, doubtful, reviewed = (np.zeros(shape, bool) for _ in range(4))
    confidence = np.full(shape, np.nan, np.float32)
    lanes = Lanes(object_ids, present, confidence, prompt, doubtful, reviewed, {})
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
