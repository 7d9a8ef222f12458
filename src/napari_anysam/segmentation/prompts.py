"""Prompts: what a user says about one object on one plane.

Everything is in (row, column) order and in level-0 pixels of the plane. Integer point coordinates
are pixel centres, and so are the vertices of lassos and scribbles; boxes are half-open pixel edges,
so rows 3 to 5 are ``y0=3, y1=6``; masks are boolean and have the plane's shape, or lie in a window
of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["Point", "Prompt", "Scribble", "check_prompts", "merge_prompts"]

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Scribble:
    """A free-hand stroke along the object, or beside it.

    Parameters
    ----------
    vertices : sequence of (y, x)
        The stroke in pixels, at least one; integers are pixel centres.
    positive : bool
        Whether it lies on the object.

    Raises
    ------
    PromptError
        If it has no vertex, or one is not a finite pair.
    """

    vertices: Sequence[Point]
    positive: bool = True

    def __post_init__(self) -> None:
        """Bring both fields to their plain types and check them."""
        _set(self, "vertices", tuple(_pair(vertex) for vertex in self.vertices))
        _set(self, "positive", bool(self.positive))
        if not self.vertices:
            raise PromptError("A scribble has no vertex; give at least one (row, column).")


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """What is said about one object on one plane.

    Parameters
    ----------
    object_id : int
        Positive label of the object.
    plane : int or None
        Index along the stack's axis; None for a 2D image.
    points : sequence of (y, x)
        Clicks in pixels; integers are pixel centres.
    polarity : sequence of bool
        One per point: True lies on the object, False does not. Empty means all True.
    box : (y0, x0, y1, x1) or None
        Half-open pixel edges.
    mask : bool array (H, W) or None
        A rough or exact mask in the plane's shape, or in a window of the plane.
    lasso : sequence of (y, x) or None
        Vertices of a closed polygon, at least three: the object lies inside it, and so does its
        mask: pixels whose centre is outside are background.
    scribbles : sequence of Scribble
        Free-hand strokes along the object, or beside it.
    mask_origin : (row, column) or None
        Upper left pixel of the window that ``mask`` lies in, background beyond it; None for a mask
        of the plane's shape. Thousands of masks on one plane fit into memory that way.

    Raises
    ------
    PromptError
        If the prompt says nothing or contradicts itself.
    """

    object_id: int = 1
    plane: int | None = None
    points: Sequence[Point] = ()
    polarity: Sequence[bool] = ()
    box: Box | None = None
    mask: NDArray[np.bool_] | None = None
    lasso: Sequence[Point] | None = None
    scribbles: Sequence[Scribble] = ()
    mask_origin: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Bring every field to its plain type and check it."""
        points = tuple(_pair(point) for point in self.points)
        polarity = tuple(bool(value) for value in self.polarity) or (True,) * len(points)
        _set(self, "points", points)
        _set(self, "polarity", polarity)
        _set(self, "object_id", _whole(self.object_id, "object_id"))
        if self.plane is not None:
            _set(self, "plane", _whole(self.plane, "plane"))
        if self.object_id < 1:
            raise PromptError(f"object_id is {self.object_id}; use 1 or more, 0 is background.")
        if len(polarity) != len(points):
            raise PromptError(
                f"{len(points)} points but {len(polarity)} polarities; give one per point or none."
            )
        if self.box is not None:
            _set(self, "box", _box(self.box))
        if self.mask is not None:
            _set(self, "mask", _mask(self.mask))
        if self.mask_origin is not None:
            _set(self, "mask_origin", self._origin())
        if self.lasso is not None:
            _set(self, "lasso", _lasso(self.lasso))
        _set(self, "scribbles", _scribbles(self.scribbles))
        spoken = (self.box, self.mask, self.lasso)
        if not points and not self.scribbles and all(kind is None for kind in spoken):
            raise PromptError(
                f"The prompt for object {self.object_id} is empty; give points, a box or a mask, "
                "a lasso or a scribble."
            )

    def shifted(self, row: float, column: float) -> Prompt:
        """Return the prompt with all but its mask moved; a mask cannot be moved this way."""
        if self.mask is not None:
            raise PromptError("A prompt with a mask cannot be shifted; crop its mask instead.")
        box = self.box
        return replace(
            self,
            points=_moved(self.points, row, column),
            box=None
            if box is None
            else (box[0] + row, box[1] + column, box[2] + row, box[3] + column),
            lasso=None if self.lasso is None else _moved(self.lasso, row, column),
            scribbles=[
                replace(scribble, vertices=_moved(scribble.vertices, row, column))
                for scribble in self.scribbles
            ],
        )

    def _origin(self) -> tuple[int, int]:
        if self.mask is None:
            raise PromptError("There is a mask_origin but no mask; give both or leave it out.")
        row, column = _pair(self.mask_origin)
        return _whole(row, "mask_origin"), _whole(column, "mask_origin")

    def check_inside(self, plane_shape: tuple[int, int], plane_count: int | None = None) -> None:
        """Raise PromptError if anything lies outside a plane of this shape or stack of this length.

        Parameters
        ----------
        plane_shape : (H, W)
            Pixels of the plane.
        plane_count : int or None
            Planes of the stack; None for a 2D image.
        """
        height, width = plane_shape
        who = f"object {self.object_id}"
        if plane_count is None and self.plane is not None:
            raise PromptError(
                f"The prompt for {who} names plane {self.plane}, but the image is 2D; leave it out."
            )
        if plane_count is not None and self.plane is None:
            raise PromptError(
                f"The prompt for {who} names no plane; give plane=0 to {plane_count - 1}."
            )
        if plane_count is not None and not 0 <= (self.plane or 0) < plane_count:
            raise PromptError(
                f"The prompt for {who} lies on plane {self.plane}, outside the stack; "
                f"use 0 to {plane_count - 1}."
            )
        for y, x in self.points:
            _check_place("point", (y, x), who, plane_shape)
        for scribble in self.scribbles:
            for vertex in scribble.vertices:
                _check_place("scribble's vertex", vertex, who, plane_shape)
        if self.box is not None:
            y0, x0, y1, x1 = self.box
            if y1 <= 0 or x1 <= 0 or y0 >= height or x0 >= width:
                raise PromptError(
                    f"The box {self.box} of {who} lies outside the image of {height} x {width} "
                    "pixels; boxes are (y0, x0, y1, x1)."
                )
        if self.lasso is not None:
            (y0, x0), (y1, x1) = np.min(self.lasso, axis=0), np.max(self.lasso, axis=0)
            if y1 < 0 or x1 < 0 or y0 > height - 1 or x0 > width - 1:
                raise PromptError(
                    f"The lasso of {who} lies outside the image of {height} x {width} pixels; its "
                    "vertices are (row, column)."
                )
        if self.mask is not None:
            self._check_mask(self.mask, plane_shape)

    def _check_mask(self, mask: NDArray[np.bool_], plane_shape: tuple[int, int]) -> None:
        if self.mask_origin is None:
            if mask.shape != plane_shape:
                raise PromptError(
                    f"The mask of object {self.object_id} has shape {mask.shape}, the image "
                    f"{plane_shape}; give a mask of the image's shape, or its mask_origin."
                )
            return
        ends = np.add(self.mask_origin, mask.shape)
        if min(self.mask_origin) < 0 or (ends > plane_shape).any():
            raise PromptError(
                f"The mask of object {self.object_id}, {mask.shape} at {self.mask_origin}, reaches "
                f"beyond the image of {plane_shape[0]} x {plane_shape[1]} pixels; crop it."
            )


def merge_prompts(prompts: Iterable[Prompt]) -> dict[tuple[int, int | None], Prompt]:
    """Merge the prompts of one object on one plane; points and scribbles add up.

    Later boxes, masks and lassos replace earlier ones.

    Returns
    -------
    dict
        (object_id, plane) to its merged prompt, in the order of first appearance.
    """
    merged: dict[tuple[int, int | None], Prompt] = {}
    for prompt in prompts:
        key = (prompt.object_id, prompt.plane)
        before = merged.get(key)
        if before is None:
            merged[key] = prompt
            continue
        merged[key] = replace(
            before,
            points=(*before.points, *prompt.points),
            polarity=(*before.polarity, *prompt.polarity),
            box=before.box if prompt.box is None else prompt.box,
            mask=before.mask if prompt.mask is None else prompt.mask,
            mask_origin=before.mask_origin if prompt.mask is None else prompt.mask_origin,
            lasso=before.lasso if prompt.lasso is None else prompt.lasso,
            scribbles=(*before.scribbles, *prompt.scribbles),
        )
    return merged


def check_prompts(
    prompts: Iterable[Prompt], plane_shape: tuple[int, int], plane_count: int | None = None
) -> dict[tuple[int, int | None], Prompt]:
    """Check every prompt against its image, then merge them; at least one is needed.

    Raises
    ------
    PromptError
        If there is no prompt, or one lies outside.
    """
    prompts = list(prompts)
    if not prompts:
        raise PromptError("There is no prompt; give at least one point, box or mask.")
    for prompt in prompts:
        prompt.check_inside(plane_shape, plane_count)
    return merge_prompts(prompts)


def _set(record: Prompt | Scribble, name: str, value: object) -> None:
    object.__setattr__(record, name, value)


def _whole(value: Any, name: str) -> int:
    if int(value) != value:
        raise PromptError(f"{name} is {value!r}; give a whole number.")
    return int(value)


def _pair(point: Any) -> Point:
    values = tuple(float(value) for value in point)
    if len(values) != 2 or not np.isfinite(values).all():
        raise PromptError(f"The point {point!r} is not a finite (row, column) pair.")
    return values[0], values[1]


def _box(box: Any) -> Box:
    values = tuple(float(value) for value in box)
    if len(values) != 4 or not np.isfinite(values).all():
        raise PromptError(f"The box {box!r} is not (y0, x0, y1, x1) in finite numbers.")
    y0, x0, y1, x1 = values
    if y1 <= y0 or x1 <= x0:
        raise PromptError(f"The box {values} is empty; y1 and x1 must be beyond y0 and x0.")
    return y0, x0, y1, x1


def _mask(mask: Any) -> NDArray[np.bool_]:
    array = np.asarray(mask)
    if array.ndim != 2:
        raise PromptError(f"The mask has {array.ndim} dimensions; give a (H, W) mask.")
    if array.dtype != bool:
        array = array != 0
    if not array.any():
        raise PromptError("The mask is empty; give a mask with at least one pixel.")
    return array


def _lasso(vertices: Any) -> tuple[Point, ...]:
    polygon = tuple(_pair(vertex) for vertex in vertices)
    if len(polygon) < 3 or np.linalg.matrix_rank(np.subtract(polygon, polygon[0])) < 2:
        raise PromptError(
            "The lasso encloses nothing; give at least three vertices that are not on one line."
        )
    return polygon


def _scribbles(scribbles: Any) -> tuple[Scribble, ...]:
    strokes = tuple(scribbles)
    for stroke in strokes:
        if not isinstance(stroke, Scribble):
            raise PromptError(f"{stroke!r} is no scribble; give Scribble(vertices, positive).")
    return strokes


def _moved(points: Sequence[Point], row: float, column: float) -> tuple[Point, ...]:
    return tuple((y + row, x + column) for y, x in points)


def _check_place(what: str, place: Point, who: str, plane_shape: tuple[int, int]) -> None:
    height, width = plane_shape
    y, x = place
    if not (-0.5 <= y <= height - 0.5 and -0.5 <= x <= width - 0.5):
        raise PromptError(
            f"The {what} ({y:g}, {x:g}) of {who} lies outside the image of "
            f"{height} x {width} pixels; points are (row, column)."
        )
