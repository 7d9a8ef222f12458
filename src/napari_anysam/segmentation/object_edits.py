"""What is done to whole objects: deleted, merged, split; in labels and session as one step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.segmentation.labels import erase_object, plane_strips, write_mask
from napari_anysam.segmentation.lineage import lineage_after_merging, without_objects
from napari_anysam.segmentation.prompts import merge_prompts
from napari_anysam.segmentation.session import KeptMask
from napari_anysam.segmentation.windows import Window, joined_window, seen_from

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from napari_anysam.segmentation.session import PromptKey, Session

__all__ = ["delete_objects", "merge_objects", "split_object"]


def delete_objects(session: Session, labels: Any, object_ids: Collection[int]) -> None:
    """Erase objects from all planes, and forget their prompts, classes and kin.

    Parameters
    ----------
    session : Session
        Records it as one step.
    labels : array-like (..., H, W) or None
        Read plane by plane; None if nothing was written yet.
    object_ids : collection of int
    """
    ids = set(object_ids)
    with session.together(f"deletion of {_named(ids)}"):
        edits = [
            edit
            for index, found in _planes_holding(labels, ids)
            for object_id in found
            for edit in erase_object(labels, index, object_id)
        ]
        kept = dict.fromkeys(key for key in session.kept if key[0] in ids)
        if edits or kept:
            session.record_labels(edits, "labels", kept)
        _forget(session, ids)
        session.set_lineage(without_objects(session.parents, ids))


def merge_objects(session: Session, labels: Any, object_ids: Collection[int], into: int) -> None:
    """Let objects become one: their pixels and prompts get its id on every plane.

    Parameters
    ----------
    session : Session
        Records it as one step.
    labels : array-like (..., H, W) or None
    object_ids : collection of int
        May hold ``into``.
    into : int
        The id that stays, with its class.
    """
    others = set(object_ids) - {into}
    with session.together(f"merging of {_named({into, *others})}"):
        edits = []
        kept: dict[PromptKey, KeptMask | None] = dict.fromkeys(
            key for key in session.kept if key[0] in others
        )
        for index, found in _planes_holding(labels, others):
            for row, values in plane_strips(labels, index):
                mask = np.isin(values, found)
                if mask.any():
                    edits.append(write_mask(labels, index, (row, 0), mask, into, policy="over"))
            key = (into, _number(index, labels.shape))
            kept[key] = _joined(session, key, found, _window_of(labels, index, into))
        if edits or kept:
            session.record_labels(edits, "labels", kept)
        _move_prompts(session, others, into)
        _forget(session, others)
        session.set_lineage(lineage_after_merging(session.parents, others, into))


def split_object(
    session: Session,
    labels: Any,
    key: PromptKey,
    index: tuple[int, ...],
    remaining: KeptMask,
    new_id: int,
) -> bool:
    """Let a smaller mask of an object stand, and give what it leaves out an id of its own.

    Parameters
    ----------
    session : Session
        Records it as one step.
    labels : array-like (..., H, W)
    key : (object id, plane)
        What is split, on one plane.
    index : tuple of int
        That plane along the leading axes.
    remaining : KeptMask
        What the object shall be from now on.
    new_id : int
        Of the pixels that it had beside that.

    Returns
    -------
    bool
        Whether it had any; if not, nothing was changed.
    """
    window = _window_of(labels, index, key[0])
    if window is None:
        return False
    strips = (strip.mask & ~seen_from(remaining.window, strip) for strip in window.strips())
    part = joined_window(strips, window.origin)
    if part is None:
        return False
    edits = [
        write_mask(labels, index, strip.origin, strip.mask, new_id, policy="over")
        for strip in part.strips()
    ]
    kept = {key: remaining, (new_id, key[1]): KeptMask(part, model=remaining.model)}
    session.record_labels(edits, f"splitting of object {key[0]}", kept)
    return True


def _planes_holding(
    labels: Any, object_ids: Collection[int]
) -> Iterator[tuple[tuple[int, ...], list[int]]]:
    """Walk through the planes that hold any of some objects, with those that each holds."""
    if labels is None or not object_ids:
        return
    wanted = np.array(sorted(object_ids))
    for index in np.ndindex(*labels.shape[:-2]):
        here: set[int] = set()
        for _, values in plane_strips(labels, index):
            found = values[(values >= wanted[0]) & (values <= wanted[-1])]
            here.update(np.intersect1d(wanted, found).tolist())
        if here:
            yield index, sorted(here)


def _window_of(labels: Any, index: tuple[int, ...], object_id: int) -> Window | None:
    return joined_window(values == object_id for _, values in plane_strips(labels, index))


def _number(index: tuple[int, ...], shape: tuple[int, ...]) -> int | None:
    return int(np.ravel_multi_index(index, shape[:-2])) if index else None


def _joined(
    session: Session, key: PromptKey, found: list[int], window: Window | None
) -> KeptMask | None:
    """Return what is kept of objects that became one on a plane."""
    if window is None:
        return None
    before = [session.kept.get((object_id, key[1])) for object_id in (key[0], *found)]
    scores = [mask.score for mask in before if mask is not None and mask.score is not None]
    models = sorted({mask.model for mask in before if mask is not None and mask.model})
    return KeptMask(window, min(scores, default=None), ", ".join(models))


def _move_prompts(session: Session, others: Collection[int], into: int) -> None:
    moved: dict[int | None, list[PromptKey]] = {}
    for key in session.prompts:
        if key[0] in others:
            moved.setdefault(key[1], []).append(key)
    for plane, keys in moved.items():
        own = session.prompts.get((into, plane))
        parts = [session.prompts[key] for key in keys] + ([] if own is None else [own])
        merged = merge_prompts(replace(part, object_id=into) for part in parts)
        session.set_prompt((into, plane), merged[into, plane])


def _forget(session: Session, object_ids: Collection[int]) -> None:
    for key in [key for key in session.prompts if key[0] in object_ids]:
        session.set_prompt(key, None)
    for object_id in object_ids:
        session.name_class(object_id, "")


def _named(object_ids: Collection[int]) -> str:
    ids = sorted(object_ids)
    return f"object {ids[0]}" if len(ids) == 1 else f"{len(ids)} objects"
