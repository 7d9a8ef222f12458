"""Prompts: what a user says about one object on one plane.

Everything is in (row, column) order and in level-0 pixels of the plane. Integer point coordinates
are pixel centres; boxes are half-open pixel edges, so rows 3 to 5 are ``y0=3, y1=6``; masks are
boolean and have the plane's shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["Point", "Prompt", "check_prompts", "merge_prompts"]

Point = tuple[float, float]
Box = tuple[float, float, float, float]


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
        A rough or exact mask in the plane's shape.

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
        if not points and self.box is None and self.mask is None:
            raise PromptError(
                f"The prompt for object {self.object_id} is empty; give points, a box or a mask."
            )

    def shifted(self, row: float, column: float) -> Prompt:
        """Return the prompt with points and box moved; a mask cannot be moved this way."""
        if self.mask is not None:
            raise PromptError("A prompt with a mask cannot be shifted; crop its mask instead.")
        box = self.box
        return replace(
            self,
            points=tuple((y + row, x + column) for y, x in self.points),
            box=None
            if box is None
            else (box[0] + row, box[1] + column, box[2] + row, box[3] + column),
        )

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
            if not (-0.5 <= y <= height - 0.5 and -0.5 <= x <= width - 0.5):
                raise PromptError(
                    f"The point ({y:g}, {x:g}) of {who} lies outside the image of "
                    f"{height} x {width} pixels; points are (row, column)."
                )
        if self.box is not None:
            y0, x0, y1, x1 = self.box
            if y1 <= 0 or x1 <= 0 or y0 >= height or x0 >= width:
                raise PromptError(
                    f"The box {self.box} of {who} lies outside the image of {height} x {width} "
                    "pixels; boxes are (y0, x0, y1, x1)."
                )
        if self.mask is not None and self.mask.shape != (height, width):
            raise PromptError(
                f"The mask of {who} has shape {self.mask.shape}, the image {plane_shape}; "
                "give a mask of the image's shape."
            )


def merge_prompts(prompts: Iterable[Prompt]) -> dict[tuple[int, int | None], Prompt]:
    """Merge the prompts of one object on one plane; later boxes and masks replace earlier ones.

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


def _set(prompt: Prompt, name: str, value: object) -> None:
    object.__setattr__(prompt, name, value)


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
