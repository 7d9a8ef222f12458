"""From what a user says to what a network takes.

Networks of the Segment Anything family take points, boxes and masks, and not all of them all three.
Lassos and scribbles become such prompts here, and a mask gets company where it stands alone or the
network takes none. What was given in a form that the network takes is handed on as it is.

Which form serves best was measured with the shipped model: ``benchmarks/derived_prompts.py``, with
its table in ``docs/benchmarks.md``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_anysam.errors import PromptError
from napari_anysam.segmentation.lasso import polygon_mask
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.regions import Region

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_anysam.networks.protocol import Capabilities
    from napari_anysam.segmentation.prompts import Box, Point

__all__ = ["INTERIOR_POINTS", "MOST_PADDING", "interior_points", "padded_box", "resolve", "sampled"]

MOST_PADDING = 0.1
"""A box may grow by up to this part of its side, at each end."""

INTERIOR_POINTS = 3
"""Most points that are derived from a mask or a lasso."""

MASK_BOX_PADDING = 0.05
"""The box around a mask grows by this part of its side at each end: masks are often too small."""

POINTS_ON_A_STROKE = 8
"""Most points that are derived from one scribble."""

STROKE_SPACING = 3.0
"""Points of one scribble stand for at least so many pixels of it each."""

_SHALLOWEST = 0.5
"""Further interior points are at least this deep, as a part of the deepest one's depth."""


class _Shape(NamedTuple):
    """A mask in the smallest window of its plane."""

    mask: NDArray[np.bool_]
    window: Region


def resolve(
    prompt: Prompt,
    capabilities: Capabilities,
    plane_shape: tuple[int, int],
    box_padding: float = 0.0,
) -> Prompt:
    """Say a prompt in points, a box and a mask, as far as a network takes them.

    A lasso becomes a box around it, with points deep inside it unless positive points or scribbles
    tell where the object is. A scribble becomes points along it; for a network without points, the
    positive ones become a box. A mask that comes alone gets points deep inside it; for a network
    that takes no masks, or no points, also a box a little larger than it. Neither a lasso nor a
    scribble becomes a mask: the masks that come back are worse, as those of a mask with a box are.
    Where a network takes few clicks, fewer are derived.
    Negative scribbles are never dropped: a network without negative points refuses theirs.

    Parameters
    ----------
    prompt : Prompt
        In pixels of the plane.
    capabilities : Capabilities
        What the network takes.
    plane_shape : (H, W)
        Pixels of the plane.
    box_padding : float
        Every box, given or derived, grows by this part of its side at each end, within the plane;
        0 to 0.1.

    Returns
    -------
    Prompt
        Without lasso and scribbles. Points, box and mask that were given stay as they are, but for
        the padding, and for a mask that the network does not take.

    Raises
    ------
    PromptError
        If a lasso encloses no pixel of the plane, or the padding is out of its range.
    """
    shape = _shape_behind(prompt, capabilities, plane_shape)
    box = prompt.box
    if box is None:
        box = _derived_box(prompt, shape, capabilities, plane_shape)
    clicks = [*zip(prompt.points, prompt.polarity, strict=True)]
    room = _room(capabilities, len(clicks), box)
    clicks += _along_strokes(prompt, capabilities, room)
    if shape is not None and capabilities.points and not any(positive for _, positive in clicks):
        most = min(INTERIOR_POINTS, _room(capabilities, len(clicks), box))
        clicks += [(point, True) for point in _points_in(shape, most)]
    return Prompt(
        prompt.object_id,
        prompt.plane,
        points=[point for point, _ in clicks],
        polarity=[positive for _, positive in clicks],
        box=None if box is None else padded_box(box, box_padding, plane_shape),
        mask=prompt.mask if capabilities.masks else None,
        mask_origin=prompt.mask_origin if capabilities.masks else None,
    )


def padded_box(box: Box, padding: float, plane_shape: tuple[int, int]) -> Box:
    """Let a box grow by a part of its side at each end, within the plane.

    Parameters
    ----------
    box : (y0, x0, y1, x1)
        Half-open pixel edges.
    padding : float
        0 to 0.1; 0 leaves the box as it is, even where it reaches beyond the plane.
    plane_shape : (H, W)
        Pixels of the plane.

    Raises
    ------
    PromptError
        If the padding is out of its range.
    """
    if not 0 <= padding <= MOST_PADDING:
        raise PromptError(f"The box padding is {padding}; use 0 to {MOST_PADDING} (10 %).")
    if padding == 0:
        return box
    y0, x0, y1, x1 = box
    taller, wider = padding * (y1 - y0), padding * (x1 - x0)
    height, width = plane_shape
    return (
        max(y0 - taller, 0.0),
        max(x0 - wider, 0.0),
        min(y1 + taller, float(height)),
        min(x1 + wider, float(width)),
    )


def interior_points(mask: NDArray[np.bool_], most: int) -> list[Point]:
    """Return the pixels deepest inside a mask, the deepest first.

    Each next point is the deepest outside the discs that fit into the mask around the earlier ones,
    so that a long object gets points along it and several parts get a point each; shallow places
    get none.

    Parameters
    ----------
    mask : bool array (h, w)
        What lies beyond it counts as outside.
    most : int
        How many points at most.
    """
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    least = max(1.0, _SHALLOWEST * depth.max())
    points: list[Point] = []
    while len(points) < most and depth.max() >= least:
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        disc = (rows - row) ** 2 + (columns - column) ** 2 <= (2 * depth[row, column]) ** 2
        points.append((float(row), float(column)))
        depth[disc] = 0
    return points


def sampled(vertices: Sequence[Point], most: int) -> list[Point]:
    """Return points spread evenly along a stroke, by arc length.

    The stroke is cut into equal pieces of at least `STROKE_SPACING` pixels, and each gives its
    middle: ends of strokes overshoot more easily than middles.

    Parameters
    ----------
    vertices : sequence of (y, x)
        The stroke.
    most : int
        How many points at most.
    """
    path = np.asarray(vertices, float)
    steps = np.hypot(*np.diff(path, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    count = min(most, max(1, int(along[-1] // STROKE_SPACING)))
    places = (np.arange(count) + 0.5) / count * along[-1]
    rows, columns = (np.interp(places, along, values) for values in path.T)
    return [(float(row), float(column)) for row, column in zip(rows, columns, strict=True)]


def _shape_behind(
    prompt: Prompt, capabilities: Capabilities, plane_shape: tuple[int, int]
) -> _Shape | None:
    """Return the lasso or mask that a box and points are derived from; None if none is needed."""
    if prompt.lasso is not None:
        return _enclosed(prompt, plane_shape)
    if prompt.mask is None:
        return None
    alone = not prompt.points and not prompt.scribbles and prompt.box is None
    if capabilities.masks and not alone:
        return None
    top, left = prompt.mask_origin or (0, 0)
    return _cropped(_Shape(prompt.mask, Region(top, left, *prompt.mask.shape)))


def _enclosed(prompt: Prompt, plane_shape: tuple[int, int]) -> _Shape:
    lasso = np.asarray(prompt.lasso)
    first = np.clip(np.floor(lasso.min(axis=0)).astype(int), 0, plane_shape)
    stop = np.clip(np.ceil(lasso.max(axis=0)).astype(int) + 1, first, plane_shape)
    window = Region(int(first[0]), int(first[1]), *(int(length) for length in stop - first))
    mask = polygon_mask(prompt.lasso or (), window)
    if not mask.any():
        raise PromptError(
            f"The lasso of object {prompt.object_id} encloses no pixel of the image; draw it "
            "around the object."
        )
    return _cropped(_Shape(mask, window))


def _cropped(shape: _Shape) -> _Shape:
    rows, columns = (np.flatnonzero(shape.mask.any(axis=axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    mask = shape.mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    return _Shape(mask, Region(shape.window.row + top, shape.window.column + left, *mask.shape))


def _derived_box(
    prompt: Prompt,
    shape: _Shape | None,
    capabilities: Capabilities,
    plane_shape: tuple[int, int],
) -> Box | None:
    most = capabilities.most_places
    if not capabilities.boxes or (most is not None and most < len(prompt.points) + 2):
        return None
    if shape is not None:
        row, column = shape.window.row, shape.window.column
        tight = row, column, row + shape.window.height, column + shape.window.width
        if prompt.lasso is not None:
            return tight
        said = capabilities.masks and capabilities.points
        return None if said else padded_box(tight, MASK_BOX_PADDING, plane_shape)
    strokes = [stroke.vertices for stroke in prompt.scribbles if stroke.positive]
    if capabilities.points or not strokes:
        return None
    pixels = np.floor(np.concatenate(strokes) + 0.5)
    (y0, x0), (y1, x1) = pixels.min(axis=0), pixels.max(axis=0) + 1
    return float(y0), float(x0), float(y1), float(x1)


def _room(capabilities: Capabilities, clicks: int, box: Box | None) -> int:
    """Return how many clicks may be added."""
    if capabilities.most_places is None:
        return sys.maxsize
    return max(0, capabilities.most_places - clicks - 2 * (box is not None))


def _along_strokes(
    prompt: Prompt, capabilities: Capabilities, room: int
) -> Iterator[tuple[Point, bool]]:
    """Yield points of the scribbles, at least one each: too many are for the network to refuse."""
    strokes = [one for one in prompt.scribbles if capabilities.points or not one.positive]
    for stroke in strokes:
        most = min(POINTS_ON_A_STROKE, max(1, room // len(strokes)))
        for point in sampled(stroke.vertices, most):
            yield point, stroke.positive


def _points_in(shape: _Shape, most: int) -> list[Point]:
    top, left = shape.window.row, shape.window.column
    return [(row + top, column + left) for row, column in interior_points(shape.mask, most)]
