"""What shapes say: rectangles are boxes, polygons lassos, paths scribbles, lines diameters."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_anysam._napari.coordinates import box_from_corners
from napari_anysam.segmentation.key_slice import recist_box
from napari_anysam.segmentation.prompts import Prompt, Scribble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_anysam.segmentation.prompts import Box, Point
    from napari_anysam.segmentation.session import PromptKey

__all__ = [
    "DrawnShape",
    "PromptParts",
    "ShapeKind",
    "kind_of",
    "only_grew",
    "parts_of_prompt",
    "said_beyond",
    "same_prompt",
    "same_shapes",
]

ShapeKind = Literal["box", "diameter", "lasso", "scribble"]

_SMALLEST_SIDE = 1.0
_SHORTEST_DIAMETER = 2.0  # pixels; what a box can be made of
_TOLERANCE = 1e-3  # pixels; napari keeps shapes in float32


def kind_of(shape_type: str, *, positive: bool = True) -> ShapeKind:
    """Return what a shape of napari means; ellipses count as the boxes around them.

    A line across what is not part of the object is a stroke: only an object has a diameter.
    """
    if shape_type == "polygon":
        return "lasso"
    if shape_type == "line" and positive:
        return "diameter"
    return "scribble" if shape_type in ("path", "line") else "box"


@dataclass(frozen=True, slots=True, eq=False)
class DrawnShape:
    """One shape of the layer.

    Parameters
    ----------
    index : int
        Its place in the layer.
    number : int
        The plane it lies on; -1 if it lies on none.
    object_id : int
    kind : {"box", "diameter", "lasso", "scribble"}
        A diameter is a line like that of RECIST, and stands for the box that is made of it.
    pixels : float array (K, 2)
        Its vertices as (row, column) of the plane.
    positive : bool
        Of a scribble: whether it lies on the object.
    """

    index: int
    number: int
    object_id: int
    kind: ShapeKind
    pixels: NDArray[np.float64]
    positive: bool

    @property
    def makes_box(self) -> bool:
        """Whether it is a box, or becomes one."""
        return self.kind in ("box", "diameter")

    @property
    def is_drawn(self) -> bool:
        """Whether it is more than a click that was meant to be a drag."""
        height, width = np.ptp(self.pixels, axis=0)
        if self.kind == "diameter":
            return bool(np.hypot(height, width) >= _SHORTEST_DIAMETER)
        if self.kind == "scribble":
            return bool(max(height, width) >= _SMALLEST_SIDE)
        if self.kind == "lasso" and np.linalg.matrix_rank(self.pixels - self.pixels[0]) < 2:
            return False
        return bool(min(height, width) >= _SMALLEST_SIDE)


@dataclass(slots=True)
class PromptParts:
    """What the layers say about one object on one plane, put together piece by piece."""

    points: list[Point] = field(default_factory=list)
    polarity: list[bool] = field(default_factory=list)
    box: Box | None = None
    lasso: Sequence[Point] | None = None
    scribbles: list[Scribble] = field(default_factory=list)

    def add_point(self, row: float, column: float, positive: bool) -> None:
        """Add a click."""
        self.points.append((float(row), float(column)))
        self.polarity.append(bool(positive))

    def add_shape(self, shape: DrawnShape, plane_shape: tuple[int, int]) -> None:
        """Add a shape, cut to the plane; a later box or lasso takes the place of an earlier one."""
        if shape.kind == "box":
            self.box = _clipped(box_from_corners(shape.pixels), plane_shape)
        elif shape.kind == "diameter":
            self.box = _diameter_box(shape.pixels, plane_shape)
        elif shape.kind == "lasso":
            self.lasso = [(float(row), float(column)) for row, column in shape.pixels]
        else:
            vertices = _within(shape.pixels, plane_shape)
            self.scribbles.append(Scribble(vertices, shape.positive))

    def prompt(self, key: PromptKey) -> Prompt:
        """Return it all as a prompt."""
        return Prompt(
            key[0],
            key[1],
            self.points,
            self.polarity,
            self.box,
            lasso=self.lasso,
            scribbles=self.scribbles,
        )


def parts_of_prompt(prompt: Prompt) -> PromptParts:
    """Take a prompt apart; its mask is no part that layers show."""
    points, polarity = list(prompt.points), list(prompt.polarity)
    return PromptParts(points, polarity, prompt.box, prompt.lasso, list(prompt.scribbles))


def said_beyond(prompt: Prompt, start: Prompt) -> PromptParts | None:
    """Return what a prompt adds to points, a box and a mask; None if it does not hold them all."""
    count = len(start.points)
    holds = (
        _close(prompt.points[:count], start.points)
        and prompt.polarity[:count] == start.polarity
        and (start.box is None or _close(prompt.box, start.box))
        and prompt.mask_origin == start.mask_origin
        and _same_mask(prompt.mask, start.mask)
    )
    if not holds:
        return None
    more = parts_of_prompt(prompt)
    del more.points[:count], more.polarity[:count]
    more.box = None if start.box is not None else more.box
    return more


def only_grew(before: Prompt, now: Prompt) -> bool:
    """Tell whether a prompt got further points or strokes at most, so that its mask is refined."""
    points, strokes = len(before.points), len(before.scribbles)
    return (
        now.points[:points] == before.points
        and now.polarity[:points] == before.polarity
        and now.scribbles[:strokes] == before.scribbles
        and now.box == before.box
        and now.lasso == before.lasso
        and now.mask_origin == before.mask_origin
        and _same_mask(before.mask, now.mask)
    )


def same_shapes(one: PromptParts, other: PromptParts) -> bool:
    """Tell whether the boxes, lassos and scribbles of two prompts are the same."""
    return (
        _close(one.box, other.box)
        and _close(one.lasso, other.lasso)
        and _same_strokes(one.scribbles, other.scribbles)
    )


def same_prompt(one: Prompt | None, other: Prompt | None) -> bool:
    """Tell whether two prompts of one object on one plane say the same."""
    if one is other:  # thousands are, after each click
        return True
    if one is None or other is None:
        return False
    return (
        one.polarity == other.polarity
        and _close(one.points, other.points)
        and same_shapes(parts_of_prompt(one), parts_of_prompt(other))
        and one.mask_origin == other.mask_origin
        and _same_mask(one.mask, other.mask)
    )


def _close(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    first, second = np.asarray(one, float), np.asarray(other, float)
    return first.shape == second.shape and bool(np.allclose(first, second, rtol=0, atol=_TOLERANCE))


def _same_strokes(one: Sequence[Scribble], other: Sequence[Scribble]) -> bool:
    return len(one) == len(other) and all(
        first.positive == second.positive and _close(first.vertices, second.vertices)
        for first, second in zip(one, other, strict=True)
    )


def _same_mask(one: NDArray[np.bool_] | None, other: NDArray[np.bool_] | None) -> bool:
    if one is other:
        return True
    return one is not None and other is not None and np.array_equal(one, other)


def _touches(vertices: NDArray[np.float64], plane_shape: tuple[int, int]) -> bool:
    """Tell whether a vertex lies in the plane."""
    highest = np.subtract(plane_shape, 0.5)
    return bool(((vertices >= -0.5) & (vertices <= highest)).all(axis=1).any())


def _within(vertices: NDArray[np.float64], plane_shape: tuple[int, int]) -> list[Point]:
    """Bring a stroke that leaves the plane back to its border; one beside it stays, to be refused.

    Borders are half a pixel outside the outermost pixel centres.
    """
    if _touches(vertices, plane_shape):
        vertices = vertices.clip(-0.5, np.subtract(plane_shape, 0.5))
    return [(float(row), float(column)) for row, column in vertices]


def _diameter_box(ends: NDArray[np.float64], plane_shape: tuple[int, int]) -> Box:
    """Return the box of a line whose ends are brought back to the plane.

    One that lies beside the plane, or is too short inside it, gives a box to be refused.
    """
    inside = ends.clip(0, np.subtract(plane_shape, 1))
    if math.dist(*inside) >= _SHORTEST_DIAMETER and _touches(ends, plane_shape):
        return recist_box(inside.tolist(), plane_shape)
    (row, column), half = ends.mean(axis=0), math.dist(*ends) / 2
    return row - half, column - half, row + half, column + half


def _clipped(box: Box, plane_shape: tuple[int, int]) -> Box:
    """Cut a box to the plane; one that lies outside stays as it is, to be refused."""
    y0, x0, y1, x1 = box
    height, width = plane_shape
    if y1 <= 0 or x1 <= 0 or y0 >= height or x0 >= width:
        return y0, x0, y1, x1
    return max(y0, 0.0), max(x0, 0.0), min(y1, float(height)), min(x1, float(width))
