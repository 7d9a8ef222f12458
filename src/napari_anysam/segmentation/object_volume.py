"""One object in a volume, as its masks on the planes of one axis, and as a block of voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from napari_anysam.segmentation.windows import Window

__all__ = ["Box", "ObjectVolume", "joined_box"]

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class ObjectVolume:
    """What following along one axis found of an object.

    Parameters
    ----------
    axis : int
        0, 1 or 2: z, y or x.
    windows : mapping
        Plane along that axis to the mask there; planes without the object are left out.
    """

    axis: int
    windows: Mapping[int, Window]

    @property
    def box(self) -> Box:
        """The smallest block (z, y, x) that holds it; it needs at least one window."""
        corners = [(*one.origin, *np.add(one.origin, one.shape)) for one in self.windows.values()]
        low = np.min(corners, axis=0)[:2].tolist()
        high = np.max(corners, axis=0)[2:].tolist()
        sides = [slice(low[0], high[0]), slice(low[1], high[1])]
        sides.insert(self.axis, slice(min(self.windows), max(self.windows) + 1))
        return sides[0], sides[1], sides[2]

    def on(self, planes: Iterable[int]) -> ObjectVolume | None:
        """Return what of it lies on these planes, or None if nothing does."""
        windows = {plane: self.windows[plane] for plane in planes if plane in self.windows}
        return ObjectVolume(self.axis, windows) if windows else None

    def block(self, box: Box) -> NDArray[np.bool_]:
        """Return its voxels in a block that holds it, bool (z, y, x)."""
        found = np.zeros([side.stop - side.start for side in box], bool)
        planes = np.moveaxis(found, self.axis, 0)
        rows, columns = (side.start for place, side in enumerate(box) if place != self.axis)
        for plane, window in self.windows.items():
            (top, left), (height, width) = window.origin, window.shape
            target = planes[plane - box[self.axis].start]
            target[top - rows :, left - columns :][:height, :width] = window.mask
        return found


def joined_box(boxes: Iterable[Box]) -> Box:
    """Return the smallest block that holds all of these, at least one."""
    joined = [
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*boxes, strict=True)
    ]
    return joined[0], joined[1], joined[2]
