"""Which objects a label array holds, whoever made them: counted block by block, and recounted.

A block is what is read at once: a strip of a plane, or a chunk of a label store. Only chunks that
exist are read, and of those only the ones that were written since they were counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.images.label_pyramid import LabelPyramid
from napari_anysam.segmentation.labels import plane_strips

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

__all__ = ["FoundObject", "LabelCensus"]

_Index = tuple[int, ...]
_Block = tuple[_Index, tuple[int, int, int, int]]
_Counts = tuple["NDArray[np.int64]", "NDArray[np.int64]"]

_TABLE_IDS = 2**20
"""Up to this id pixels are counted in a table, which is many times faster than sorting them."""


@dataclass(frozen=True, slots=True)
class FoundObject:
    """One object of a label array.

    Parameters
    ----------
    object_id : int
    planes : tuple of int
        Planes that it is on, ascending; empty in 2D.
    area : int
        Its pixels on all of them.
    """

    object_id: int
    planes: tuple[int, ...]
    area: int


class LabelCensus:
    """Counts the pixels of every object.

    Parameters
    ----------
    labels : integer array (..., H, W) or LabelPyramid
        Read lazily; planes are numbered through its leading axes.
    """

    def __init__(self, labels: Any) -> None:
        self._labels = labels
        self._counts: dict[_Block, _Counts] = {}
        self._stamps: dict[_Block, object] = {}

    def count(self, planes: Collection[_Index] | None = None) -> Iterator[int]:
        """Count some planes anew; yields the pixels of every block that was read.

        Parameters
        ----------
        planes : collection of tuple of int, optional
            Their indices along the leading axes; left out, all are counted. Of a label store, the
            chunks that were written since are counted, whichever planes are named.
        """
        if isinstance(self._labels, LabelPyramid):
            yield from self._count_chunks(self._labels)
            return
        for index in np.ndindex(*self._labels.shape[:-2]) if planes is None else planes:
            for row, values in plane_strips(self._labels, tuple(index)):
                height, width = values.shape
                self._counts[tuple(index), (row, 0, row + height, width)] = _counted(values)
                yield values.size

    def found(self) -> dict[int, FoundObject]:
        """Return what was counted so far, by id; background is no object."""
        blocks = [block for block, (ids, _) in self._counts.items() if ids.size]
        if not blocks:
            return {}
        ids = np.concatenate([self._counts[block][0] for block in blocks])
        areas = np.concatenate([self._counts[block][1] for block in blocks])
        hidden = self._labels.shape[:-2]
        numbers = [int(np.ravel_multi_index(block[0], hidden)) if hidden else 0 for block in blocks]
        planes = np.repeat(numbers, [self._counts[block][0].size for block in blocks])
        order = np.lexsort((planes, ids))
        ids, areas, planes = ids[order], areas[order], planes[order]
        first = np.flatnonzero(np.diff(ids, prepend=ids[0] - 1))
        found = {}
        for start, stop in zip(first, [*first[1:], ids.size], strict=True):
            object_id = int(ids[start])
            on = tuple(np.unique(planes[start:stop]).tolist()) if hidden else ()
            found[object_id] = FoundObject(object_id, on, int(areas[start:stop].sum()))
        return found

    def region_of(self, object_id: int, index: _Index) -> tuple[slice, slice] | None:
        """Return rows and columns of the blocks of a plane that hold an object, None if none do.

        May be called while another thread counts.
        """
        edges = [
            block[1]
            for block, (ids, _) in self._counts.copy().items()
            if block[0] == index and object_id in ids
        ]
        if not edges:
            return None
        tops, lefts, bottoms, rights = zip(*edges, strict=True)
        return slice(min(tops), max(bottoms)), slice(min(lefts), max(rights))

    def _count_chunks(self, labels: LabelPyramid) -> Iterator[int]:
        gone = set(self._counts)
        for chunk in labels.written_chunks():
            rows, columns = chunk.rows, chunk.columns
            block = chunk.index, (rows.start, columns.start, rows.stop, columns.stop)
            gone.discard(block)
            if self._stamps.get(block) != chunk.stamp:
                values = labels[(*chunk.index, rows, columns)]
                self._counts[block] = _counted(values)
                self._stamps[block] = chunk.stamp
                yield values.size
        for block in gone:  # a chunk that is empty again is deleted
            del self._counts[block], self._stamps[block]


def _counted(values: NDArray[Any]) -> _Counts:
    """Return the ids above 0 and how many pixels each has."""
    largest = int(values.max(initial=0))
    if largest <= 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if largest < _TABLE_IDS and values.min() >= 0:
        table = np.bincount(values.ravel())
        ids = np.flatnonzero(table)
        areas = table[ids]
    else:
        ids, areas = np.unique(values, return_counts=True)
    above = ids > 0
    return ids[above].astype(np.int64), areas[above].astype(np.int64)
