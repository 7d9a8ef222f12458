"""What a run follows: the objects that are marked in a stack, by masks where these are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_anysam.segmentation.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam.segmentation.session import PromptKey, Session

__all__ = ["anchor_keys", "as_anchor", "positions_in_stack", "stack_prompts"]


def stack_prompts(
    session: Session, frame: PlaneFrame, axis: int, keys: Iterable[PromptKey] | None = None
) -> list[Prompt]:
    """Return what is marked in the stack of a plane; ``plane`` counts along the axis.

    Parameters
    ----------
    session : Session
    frame : PlaneFrame
        Hidden axes other than ``axis`` stay where they are.
    axis : int
        Hidden data axis of the image.
    keys : iterable of (object id, plane), optional
        What is followed; by default all that is marked.
    """
    followed = anchor_keys(session) if keys is None else keys
    places = positions_in_stack(followed, frame, axis)
    return [as_anchor(session, key, position) for key, position in places.items()]


def anchor_keys(session: Session) -> list[PromptKey]:
    """Return where objects are marked, and where their masks were found right."""
    marked = {object_id for object_id, _ in session.prompts}
    right = [key for key in session.reviewed if key in session.kept and key[0] in marked]
    return [*session.prompts, *right]


def positions_in_stack(
    keys: Iterable[PromptKey], frame: PlaneFrame, axis: int
) -> dict[PromptKey, int]:
    """Return positions along an axis of those keys that lie in the stack of a plane."""
    place = frame.order.index(axis)
    found = {}
    for key in keys:
        other = frame.numbered(key[1])
        if other == frame.at(axis, other.index[place]):
            found[key] = other.index[place]
    return found


def as_anchor(session: Session, key: PromptKey, position: int) -> Prompt:
    """Return the mask that was kept there, else the prompt that asks for one."""
    kept = session.kept.get(key)
    if kept is None:
        return replace(session.prompts[key], plane=position)
    return Prompt(key[0], position, mask=kept.window.mask, mask_origin=kept.window.origin)
