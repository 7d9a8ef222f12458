"""Which objects of a plane are answered in one call of the network.

Objects that share a region share its embedding. Objects in regions of their own are put together
as well, a row of the batch each with the embedding of its region, as long as the regions are of one
shape: that is what prompts and logits are measured in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_anysam.segmentation.regions import Region

__all__ = ["batches_of", "most_together"]

_INPUT_PIXELS = 2**20
"""Pixels of the network's inputs in one batch: beyond that a batch saves nothing more, and its
embeddings fill the memory."""


def most_together(image_size: int) -> int:
    """Return how many objects with regions of their own to answer at once.

    Parameters
    ----------
    image_size : int
        Side of the network's square input.
    """
    return max(1, _INPUT_PIXELS // image_size**2)


def batches_of(
    by_region: Mapping[Region, Sequence[int]], most: int
) -> Iterator[list[tuple[Region, int]]]:
    """Yield batches of (region, object), their regions of one shape.

    Parameters
    ----------
    by_region : mapping of Region to sequence of int
        The objects to look for in each region.
    most : int
        Objects in a batch of several regions; those of one region are never parted.
    """
    open_batches: dict[tuple[int, int], list[tuple[Region, int]]] = {}
    for region, group in by_region.items():
        batch = open_batches.setdefault(region.shape, [])
        if batch and len(batch) + len(group) > most:
            yield batch
            batch = open_batches[region.shape] = []
        batch.extend((region, number) for number in group)
    yield from open_batches.values()
