"""Writing masks into label arrays by window, with differences that can be undone.

An edit holds the window it touched, which pixels changed (one bit each) and what they were before;
undoing restores only those pixels that still hold what the edit wrote, so that brush strokes made
since stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_anysam.segmentation.windows import STRIP_PIXELS, Window, seen_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = [
    "LabelEdit",
    "Policy",
    "WritePolicy",
    "erase_object",
    "plane_strips",
    "write_mask",
    "write_object",
]

Policy = Literal["background", "over"]
WritePolicy = Literal["protect", "over", "background"]
"""What a mask may take: background and the object's own earlier mask ("protect"), other objects
too ("over"), or background alone, so that an object only grows ("background")."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelEdit:
    """What one write changed.

    Parameters
    ----------
    index : tuple of int
        Indices of the plane along the leading axes; empty for a 2D label array.
    origin : (row, column)
        Upper left pixel of the window in its plane.
    shape : (h, w)
        Size of the window.
    changed : uint8 array
        ``numpy.packbits`` of the window's changed pixels.
    before : array (n,)
        Values of the changed pixels before, in row-major order.
    after : int
        The value that was written to all of them.
    """

    index: tuple[int, ...]
    origin: tuple[int, int]
    shape: tuple[int, int]
    changed: NDArray[np.uint8]
    before: NDArray[Any]
    after: int

    @property
    def nbytes(self) -> int:
        """Bytes that the edit holds."""
        return int(self.changed.nbytes + self.before.nbytes)

    @property
    def changed_pixels(self) -> int:
        """How many pixels the edit changed."""
        return int(self.before.size)

    @property
    def window(self) -> tuple[int | slice, ...]:
        """The index expression of the window in the label array."""
        return _window(self.index, self.origin, self.shape)

    def undo(self, labels: Any) -> None:
        """Put back what was there, where the edit's value still stands."""
        changed = self._mask()
        values = np.asarray(labels[self.window]).copy()
        before = np.zeros(self.shape, dtype=values.dtype)
        before[changed] = self.before
        still_there = changed & (values == self.after)
        values[still_there] = before[still_there]
        labels[self.window] = values

    def redo(self, labels: Any) -> None:
        """Write again, where what was there before still stands."""
        changed = self._mask()
        values = np.asarray(labels[self.window]).copy()
        unchanged = np.zeros(self.shape, dtype=bool)
        unchanged[changed] = values[changed] == self.before
        values[unchanged] = self.after
        labels[self.window] = values

    def _mask(self) -> NDArray[np.bool_]:
        height, width = self.shape
        bits = np.unpackbits(self.changed, count=height * width)
        return bits.astype(bool).reshape(self.shape)


def write_mask(
    labels: Any,
    index: tuple[int, ...],
    origin: tuple[int, int],
    mask: NDArray[np.bool_],
    object_id: int,
    *,
    policy: Policy = "background",
) -> LabelEdit:
    """Write one object's mask into a window of a label array.

    Parameters
    ----------
    labels : array-like (..., H, W)
        Any array that reads and writes windows: numpy, zarr.
    index : tuple of int
        Indices of the plane along the leading axes.
    origin : (row, column)
        Upper left pixel of ``mask`` in the plane.
    mask : bool array (h, w)
        The object, in a window that lies inside the plane.
    object_id : int
        The value to write.
    policy : {"background", "over"}
        "background" writes on background only and never touches another object; "over" takes over.

    Returns
    -------
    LabelEdit
        The difference, to be undone or redone; it may be empty.
    """
    origin, mask = _tight(origin, mask)
    window = _window(index, origin, mask.shape)
    values = np.asarray(labels[window]).copy()
    changed = mask & (values == 0 if policy == "background" else values != object_id)
    return _write(labels, index, origin, changed, object_id)


def write_object(
    labels: Any,
    index: tuple[int, ...],
    object_id: int,
    window: Window | None,
    earlier: Window | None,
    *,
    policy: WritePolicy = "protect",
    keep_erased: bool = False,
) -> list[LabelEdit]:
    """Write an object's mask on one plane; its own earlier mask there gives way.

    Parameters
    ----------
    labels : array-like (..., H, W)
    index : tuple of int
        Indices of the plane along the leading axes.
    object_id : int
    window : Window or None
        The new mask; None if the object is not on the plane.
    earlier : Window or None
        The mask that was written for the object on this plane before.
    policy : {"protect", "over", "background"}
        What the mask may take; see ``WritePolicy``.
    keep_erased : bool
        Whether pixels of the earlier mask that somebody erased since stay erased.

    Returns
    -------
    list of LabelEdit
        What was changed; edits that changed nothing are left out.
    """
    edits = []
    taken_back = () if earlier is None or policy == "background" else earlier.strips()
    for part in taken_back:
        stale = part.mask & (np.asarray(labels[(*index, *part.slices)]) == object_id)
        if window is not None:
            stale &= ~seen_from(window, part)
        edits.append(write_mask(labels, index, part.origin, stale, 0, policy="over"))
    taking: Policy = "over" if policy == "over" else "background"
    for part in () if window is None else window.strips():
        mask = part.mask
        if keep_erased and earlier is not None:
            values = np.asarray(labels[(*index, *part.slices)])
            mask &= ~(seen_from(earlier, part) & (values == 0))
        edits.append(write_mask(labels, index, part.origin, mask, object_id, policy=taking))
    return [edit for edit in edits if edit.changed_pixels]


def plane_strips(labels: Any, index: tuple[int, ...]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Read a plane of labels strip by strip, each with its first row; a huge one fits no memory."""
    height, width = labels.shape[-2:]
    rows = max(1, STRIP_PIXELS // max(1, width))
    for start in range(0, height, rows):
        part = slice(start, min(start + rows, height))
        yield start, np.asarray(labels[(*index, part, slice(None))])


def erase_object(labels: Any, index: tuple[int, ...], object_id: int) -> list[LabelEdit]:
    """Set one object's pixels on one plane to background.

    Returns
    -------
    list of LabelEdit
        The difference, strip by strip; windows are bounding boxes in the strips.
    """
    edits = []
    for row, values in plane_strips(labels, index):
        origin, mask = _tight((row, 0), values == object_id)
        if mask.size:
            edits.append(_write(labels, index, origin, mask, 0))
    return edits


def _write(
    labels: Any,
    index: tuple[int, ...],
    origin: tuple[int, int],
    changed: NDArray[np.bool_],
    value: int,
) -> LabelEdit:
    shape = (int(changed.shape[0]), int(changed.shape[1]))
    window = _window(index, origin, shape)
    values = np.asarray(labels[window]).copy()
    before = values[changed]
    if before.size:
        values[changed] = value
        labels[window] = values
    return LabelEdit(tuple(index), origin, shape, np.packbits(changed), before, int(value))


def _tight(
    origin: tuple[int, int], mask: NDArray[np.bool_]
) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    """Cut a mask to its bounding box, and move its origin along."""
    if not mask.any():
        return origin, mask[:0, :0]
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    return (origin[0] + top, origin[1] + left), mask[top : rows[-1] + 1, left : columns[-1] + 1]


def _window(
    index: tuple[int, ...], origin: tuple[int, int], shape: tuple[int, ...]
) -> tuple[int | slice, ...]:
    return (
        *index,
        slice(origin[0], origin[0] + shape[0]),
        slice(origin[1], origin[1] + shape[1]),
    )
