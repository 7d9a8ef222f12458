"""How much the consensus of three axes has to do, at most: across, objects may be anywhere."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_anysam.segmentation.consensus import checked_spacing
from napari_anysam.segmentation.run_output import OutputRoom

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_anysam.segmentation.run_size import RunSize

__all__ = ["room_for_consensus", "size_of_consensus"]


def size_of_consensus(
    size: RunSize, shape: tuple[int, ...], axis: int, spacing: Sequence[float], region: str
) -> RunSize:
    """Add the two axes across to the run along the prompted one.

    Parameters
    ----------
    size : RunSize
        Of the run along ``axis``.
    shape : tuple of three int
        Of the volume.
    axis : int
        The prompted one, of the volume.
    spacing : (z, y, x)
        As in ``consensus``.
    region : {"auto", "plane"}
        With "auto" every object has a region of its own across, since it is prompted with clicks.

    Raises
    ------
    OptionsError
        If the spacing is not three numbers above 0.
    """
    distances = checked_spacing(spacing)
    encodes, visits, pixels = size.encodes, size.visits, size.plane_pixels
    for place, count in enumerate(shape):
        steps = [step for other, step in enumerate(distances) if other != place]
        sides = [side for other, side in enumerate(shape) if other != place]
        seen = math.prod(
            max(1, round(side * step / min(steps))) for side, step in zip(sides, steps, strict=True)
        )
        pixels = max(pixels, seen)
        if place != axis:
            visits += (count - 1) * size.objects
            encodes += count * (size.objects if region == "auto" else 1)
    return replace(size, encodes=encodes, visits=visits, plane_pixels=pixels)


def room_for_consensus(
    shape: tuple[int, ...], label_bytes: int, size: RunSize, output: OutputRoom
) -> OutputRoom:
    """Count what deciding and writing take: all of it is held as a whole.

    Parameters
    ----------
    shape : tuple of three int
        Of the volume.
    label_bytes : int
        Bytes of a label's pixel.
    size : RunSize
        Of the run along the prompted axis.
    output : OutputRoom
        What writing takes where planes have gathered.
    """
    voxels = math.prod(shape)
    # Three masks of one byte; of one object at a time these side by side, and their votes.
    objects = max(shape) * (3 * size.object_pixels + 7 * size.largest_pixels)
    decided, most = 4 * voxels, 4 * voxels
    written = max(output.memory_bytes, label_bytes * voxels)
    return OutputRoom(decided + max(most + objects, written), output.disk_bytes)
