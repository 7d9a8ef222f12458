"""How planes of labels are cut into chunks: whole as a rule, in tiles where they fit no memory."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["chunk_shape", "is_large", "plane_chunks"]

LARGEST_CHUNK = 2**28
"""Pixels of the largest plane that is one chunk."""

CHUNK_SIDE = 4096
"""Rows and columns of the chunks of larger planes."""


def is_large(plane_shape: tuple[int, int]) -> bool:
    """Tell whether a plane (H, W) is cut into tiles."""
    return plane_shape[0] * plane_shape[1] > LARGEST_CHUNK


def chunk_shape(plane_shape: tuple[int, int]) -> tuple[int, int]:
    """Return rows and columns of the chunks of a plane (H, W)."""
    if not is_large(plane_shape):
        return plane_shape
    return min(plane_shape[0], CHUNK_SIDE), min(plane_shape[1], CHUNK_SIDE)


def plane_chunks(plane_shape: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Walk through the chunks of a plane (H, W), row by row."""
    rows, columns = (
        [slice(start, min(start + chunk, size)) for start in range(0, size, chunk)]
        for size, chunk in zip(plane_shape, chunk_shape(plane_shape), strict=True)
    )
    yield from itertools.product(rows, columns)
