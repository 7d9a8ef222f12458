"""A whole Labels array, from Cellpose, StarDist or a brush, as one prompt per object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_anysam.errors import PromptError
from napari_anysam.segmentation.derived_prompts import INTERIOR_POINTS, interior_points
from napari_anysam.segmentation.labels import plane_strips
from napari_anysam.segmentation.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

__all__ = ["LabelKind", "prompts_from_labels", "prompts_on_largest_planes"]

LabelKind = Literal["box", "mask", "points"]


def prompts_from_labels(
    labels: ArrayLike,
    kind: LabelKind = "box",
    plane: int | None = None,
    *,
    axis: int = 0,
    every: int | None = None,
) -> list[Prompt]:
    """Make a prompt of every object of a label array; ids are kept.

    Parameters
    ----------
    labels : int array (H, W) or (N, H, W)
        0 is background. Read as a whole.
    kind : {"box", "mask", "points"}
        The smallest box around an object; its mask, in the window of that box; or up to
        `derived_prompts.INTERIOR_POINTS` points deep inside it.
    plane : int or None
        Of 2D labels: the plane that the prompts name, None for a 2D image. Of 3D labels: the only
        plane to look at, None for all.
    axis : int
        Axis of 3D labels that counts planes.
    every : int or None
        Of 3D labels: an object is prompted on planes 0, ``every``, 2 ``every`` ... that it is on,
        and on its largest plane if it is on none of these. None means its largest plane alone.

    Returns
    -------
    list of Prompt
        By ascending id, then by plane. A mask takes memory for its window only.

    Raises
    ------
    PromptError
        If the labels hold no object, are not whole numbers, or are neither 2D nor 3D, or an
        argument makes no sense.
    """
    stack = _as_stack(labels, axis)
    if kind not in ("box", "mask", "points"):
        raise PromptError(f"Labels cannot become {kind!r}; use 'box', 'mask' or 'points'.")
    if every is not None and every < 1:
        raise PromptError(f"every is {every}; give 1 for every plane, 2 for every other one.")
    flat = np.ndim(labels) == 2
    if not flat and plane is not None:
        if not 0 <= plane < len(stack):
            raise PromptError(f"There is no plane {plane}; use 0 to {len(stack) - 1}.")
        stack = stack[plane : plane + 1]
    first = 0 if plane is None else plane
    prompts = [
        _prompt(object_id, None if flat and plane is None else first + place, mask, origin, kind)
        for object_id, place, mask, origin in _objects(stack, every)
    ]
    if not prompts:
        raise PromptError("The labels hold no object; choose labels with at least one id over 0.")
    return prompts


def prompts_on_largest_planes(labels: Any, kind: LabelKind = "box") -> list[Prompt]:
    """Make a prompt of every object of labels of any size, on its largest plane; ids are kept.

    Parameters
    ----------
    labels : int array-like (..., H, W)
        Any that reads windows; read by strips, then in the window of each object.
    kind : {"box", "mask", "points"}
        As in ``prompts_from_labels``.

    Returns
    -------
    list of Prompt
        By ascending id; planes are counted through the leading axes, and None where there are none.

    Raises
    ------
    PromptError
        If the labels hold no object, or negative numbers.
    """
    largest: dict[int, tuple[_Extent, tuple[int, ...]]] = {}
    for index in np.ndindex(*labels.shape[:-2]):
        for object_id, extent in _extents(labels, index).items():
            known = largest.get(object_id)
            if known is None or extent.area > known[0].area:
                largest[object_id] = extent, index
    if not largest:
        raise PromptError("The labels hold no object; choose labels with at least one id over 0.")
    prompts = []
    for object_id, (extent, index) in sorted(largest.items()):
        rows, columns = slice(extent.top, extent.bottom), slice(extent.left, extent.right)
        mask = np.asarray(labels[(*index, rows, columns)]) == object_id
        plane = int(np.ravel_multi_index(index, labels.shape[:-2])) if index else None
        prompts.append(_prompt(object_id, plane, mask, (extent.top, extent.left), kind))
    return prompts


@dataclass(slots=True)
class _Extent:
    """The half-open bounding box of an object on a plane, and its pixels."""

    top: int
    left: int
    bottom: int
    right: int
    area: int

    def add(self, other: _Extent) -> None:
        """Take in a part of the object that lies further down."""
        self.bottom, self.area = other.bottom, self.area + other.area
        self.left, self.right = min(self.left, other.left), max(self.right, other.right)


def _extents(labels: Any, index: tuple[int, ...]) -> dict[int, _Extent]:
    """Return where the objects of one plane lie."""
    found: dict[int, _Extent] = {}
    for row, values in plane_strips(labels, index):
        for object_id, _, mask, (top, left) in _objects(_as_stack(values, 0), None):
            height, width = mask.shape
            area = int(np.count_nonzero(mask))
            part = _Extent(row + top, left, row + top + height, left + width, area)
            if object_id in found:
                found[object_id].add(part)
            else:
                found[object_id] = part
    return found


def _as_stack(labels: ArrayLike, axis: int) -> NDArray[np.integer[Any]]:
    array = np.asarray(labels)
    if array.ndim not in (2, 3):
        raise PromptError(
            f"The labels have {array.ndim} dimensions; give (H, W), or a stack of three."
        )
    if array.dtype.kind not in "iub":
        raise PromptError(f"The labels are {array.dtype}; give whole numbers, 0 is background.")
    array = array.astype(np.uint8) if array.dtype == bool else array
    if array.size and array.min() < 0:
        raise PromptError("The labels hold negative numbers; give ids from 1, 0 is background.")
    return array[None] if array.ndim == 2 else np.moveaxis(array, axis, 0)


def _objects(
    stack: NDArray[np.integer[Any]], every: int | None
) -> Iterator[tuple[int, int, NDArray[np.bool_], tuple[int, int]]]:
    """Yield id, plane, mask in its window and the window's upper left pixel, object by object."""
    from scipy import ndimage

    numbered, ids = _numbered(stack)
    for number, window in enumerate(ndimage.find_objects(numbered), start=1):
        if window is None:
            continue
        block = numbered[window] == number
        areas = np.count_nonzero(block, axis=(1, 2))
        for place in _planes_of(areas, window[0].start, every):
            mask = block[place]
            rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
            origin = window[1].start + int(rows[0]), window[2].start + int(columns[0])
            tight = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
            yield int(ids[number]), window[0].start + place, tight, origin


def _numbered(
    stack: NDArray[np.integer[Any]],
) -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]] | range]:
    """Return labels without large gaps between ids, for whose sake memory would be taken."""
    largest = int(stack.max()) if stack.size else 0
    if largest <= stack.size:
        return stack, range(largest + 1)
    ids, numbered = np.unique(stack, return_inverse=True)
    without_background = int(ids[0] != 0)
    ids = np.concatenate([[0], ids]) if without_background else ids
    return numbered.reshape(stack.shape) + without_background, ids


def _planes_of(areas: NDArray[np.intp], start: int, every: int | None) -> list[int]:
    """Return the places, within an object's planes, on which it is prompted."""
    if every is not None:
        chosen = [p for p, area in enumerate(areas) if area and (start + p) % every == 0]
        if chosen:
            return chosen
    return [int(areas.argmax())]


def _prompt(
    object_id: int,
    plane: int | None,
    mask: NDArray[np.bool_],
    origin: tuple[int, int],
    kind: LabelKind,
) -> Prompt:
    row, column = origin
    if kind == "mask":
        return Prompt(object_id, plane, mask=mask, mask_origin=origin)
    if kind == "box":
        box = (row, column, row + mask.shape[0], column + mask.shape[1])
        return Prompt(object_id, plane, box=box)
    points = [(y + row, x + column) for y, x in interior_points(mask, INTERIOR_POINTS)]
    return Prompt(object_id, plane, points=points)
