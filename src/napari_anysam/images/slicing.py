"""Images of many dimensions brought to fewer: single indices along named or numbered axes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_anysam.errors import ImageError
from napari_anysam.images.axis_view import AxisView

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from napari_anysam.images.files import ImageFile

__all__ = ["sliced", "sliced_levels"]


def sliced(image: ImageFile, at: Sequence[str]) -> tuple[ImageFile, tuple[tuple[int, int], ...]]:
    """Take single indices along some axes; nothing is read.

    Parameters
    ----------
    image : ImageFile
        Of any number of dimensions.
    at : sequence of str
        "AXIS=INDEX": the axis by its number in the whole image, or by its letter where the file
        names it ("T=3"). Negative numbers count from the end.

    Returns
    -------
    ImageFile
        With the axes that are left, in their order.
    tuple of (axis, index)
        What was taken, in ascending order, no number negative.

    Raises
    ------
    ImageError
        If a text is none of these, or names no axis, one axis twice, or an index that lies outside.
    """
    fixed: dict[int, int] = {}
    for text in at:
        axis, index = _parsed(image, text)
        if axis in fixed:
            raise ImageError(f"{text} names axis {axis} a second time; give every axis once.")
        fixed[axis] = index
    if not fixed:
        return image, ()
    left = tuple(axis for axis in range(image.array.ndim) if axis not in fixed)
    if len(left) < 2:
        raise ImageError(f"{', '.join(at)} leave no plane; leave rows and columns as they are.")
    named = len(image.axes) == image.array.ndim
    part = replace(
        image,
        array=AxisView(image.array, left, fixed),
        axes="".join(image.axes[axis] for axis in left) if named else "",
        scale=None if image.scale is None else tuple(image.scale[axis] for axis in left),
        units=tuple(image.units[axis] for axis in left) if image.units else (),
        geometry=image.geometry_at(fixed) if named else None,
    )
    return part, tuple(sorted(fixed.items()))


def sliced_levels(levels: Sequence[Any], taken: Sequence[tuple[int, int]]) -> list[Any]:
    """Take the same indices of every level of a pyramid, as far as the levels share these axes.

    Parameters
    ----------
    levels : sequence of array-like
        Largest first.
    taken : sequence of (axis, index)
        As ``sliced`` returns it.
    """
    fixed, first = dict(taken), levels[0].shape
    if not fixed:
        return list(levels)
    left = tuple(axis for axis in range(len(first)) if axis not in fixed)
    same = [level for level in levels if all(level.shape[axis] == first[axis] for axis in fixed)]
    return [AxisView(level, left, fixed) for level in same]


def _parsed(image: ImageFile, text: str) -> tuple[int, int]:
    shape = tuple(int(size) for size in image.array.shape)
    name, _, number = text.partition("=")
    try:
        index = int(number)
        axis = image.axes.index(name.upper()) if name.isalpha() else int(name)
    except ValueError as error:
        has = f"axes {image.axes}" if image.axes else "axes without names"
        raise ImageError(
            f"{text!r} is no AXIS=INDEX; give an axis by its number, 0 to {len(shape) - 1}, or its "
            f"letter, and an index, such as 0=3. The image has {has} of shape {shape}."
        ) from error
    if not -len(shape) <= axis < len(shape):
        raise ImageError(f"{text} names no axis; the image of shape {shape} has {len(shape)}.")
    size = shape[axis]
    if not -size <= index < size:
        raise ImageError(f"{text} lies outside; the axis has indices 0 to {size - 1}.")
    return axis % len(shape), index % size
