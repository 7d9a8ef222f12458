"""What a table of objects shows; kept per object, so that a step costs what it changed."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from napari_anysam.segmentation.label_census import FoundObject
    from napari_anysam.segmentation.session import KeptMask, PromptKey, Session

__all__ = ["ObjectSummaries", "ObjectSummary"]


@dataclass(frozen=True, slots=True)
class ObjectSummary:
    """One object as a table shows it.

    Parameters
    ----------
    object_id : int
    class_name : str
    planes : tuple of int
        Planes with a kept mask, a prompt or pixels in the labels, ascending; empty in 2D.
    score : float or None
        Lowest predicted IoU of its kept masks.
    area : int
        Its pixels in the labels; those of its kept masks until they were counted.
    model : str
        Names of the models that made them; empty for an object from a file or a brush.
    kept : bool
        Whether any mask of it was kept, or was in the labels before.
    """

    object_id: int
    class_name: str
    planes: tuple[int, ...]
    score: float | None
    area: int
    model: str
    kept: bool


class ObjectSummaries:
    """Summarises the objects of a session, and again only those that a step has touched."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._revision = 0
        self._found: Mapping[int, FoundObject] = MappingProxyType({})
        # Kept masks of objects by plane; None where there is a prompt only.
        self._masks: dict[int, dict[int | None, KeptMask | None]] = {}
        self._known: dict[int, ObjectSummary] = {}
        self._all: tuple[ObjectSummary, ...] = ()

    def of(
        self, session: Session, found: Mapping[int, FoundObject] = MappingProxyType({})
    ) -> tuple[ObjectSummary, ...]:
        """Return all objects, by id.

        Parameters
        ----------
        session : Session
        found : mapping of int to FoundObject, optional
            What the labels hold, made in the session or not.
        """
        same = session is self._session
        if same and session.revision == self._revision and found is self._found:
            return self._all
        changed = session.touched_since(self._revision, reviews=False) if same else None
        touched: Collection[PromptKey]
        if changed is None:
            self._masks, self._known = {}, {}
            touched = (*session.kept, *session.prompts)
        else:
            touched = changed
        self._note(session, touched)
        stale = {object_id for object_id, _ in touched}
        before, known = self._found, self._known
        self._known = {
            object_id: known[object_id]
            if object_id in known
            and object_id not in stale
            and known[object_id].class_name == session.classes.get(object_id, "")
            and (found is before or found.get(object_id) == before.get(object_id))
            else self._summary(session, object_id, found.get(object_id))
            for object_id in sorted({*self._masks, *session.classes, *found})
        }
        self._session, self._revision, self._found = session, session.revision, found
        self._all = tuple(self._known.values())
        return self._all

    def _note(self, session: Session, keys: Collection[PromptKey]) -> None:
        """Take note of the masks and prompts that objects have now on planes."""
        kept, prompts, masks = session.kept, session.prompts, self._masks
        for key in keys:
            object_id, plane = key
            mask = kept.get(key)
            if mask is not None or key in prompts:
                masks.setdefault(object_id, {})[plane] = mask
            elif object_id in masks:
                masks[object_id].pop(plane, None)
                if not masks[object_id]:
                    del masks[object_id]

    def _summary(
        self, session: Session, object_id: int, found: FoundObject | None
    ) -> ObjectSummary:
        here = self._masks.get(object_id, {})
        kept = [mask for mask in here.values() if mask is not None]
        scores = [mask.score for mask in kept if mask.score is not None]
        planes = {plane for plane in here if plane is not None}
        return ObjectSummary(
            object_id=object_id,
            class_name=session.classes.get(object_id, ""),
            planes=tuple(sorted(planes if found is None else planes.union(found.planes))),
            score=min(scores, default=None),
            area=sum(mask.window.area for mask in kept) if found is None else found.area,
            model=", ".join(sorted({mask.model for mask in kept if mask.model})),
            kept=bool(kept) or found is not None,
        )
