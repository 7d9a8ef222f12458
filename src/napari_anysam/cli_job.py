"""What ``anysam propagate`` is asked for, checked before a network is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    import numpy as np

    from napari_anysam.images.files import ImageFile
    from napari_anysam.images.geometry import Geometry
    from napari_anysam.images.planes import Planes
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.tracking_plan import Plan

__all__ = ["Job", "stops_at_ends", "without_channels"]


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked for, checked without a network."""

    image: ImageFile
    taken: tuple[tuple[int, int], ...]
    channel_axis: int | None
    axis: int
    planes: Planes
    prompts: list[Prompt]
    dtype: type[np.unsignedinteger[Any]]
    plan: Plan

    @property
    def plane_axis(self) -> int:
        """Position of the axis in labels and points, which have no channels."""
        return without_channels(self.axis, self.channel_axis, self.image.array.ndim)

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of the labels, in the order of the image's axes."""
        shape = list(self.planes.plane_shape)
        shape.insert(self.plane_axis, self.planes.count)
        return tuple(shape)

    @property
    def geometry(self) -> Geometry | None:
        """Where the labels lie, for medical volumes."""
        return self.image.label_geometry(self.channel_axis)


def stops_at_ends(job: Job, options: argparse.Namespace) -> bool:
    """Tell whether objects end; where nobody says so, not through time, as in the window."""
    said: bool | None = options.stop_at_ends
    named = job.image.axes
    axis = job.axis % job.image.array.ndim
    return named[axis : axis + 1] != "T" if said is None else said


def without_channels(axis: int, channel_axis: int | None, ndim: int) -> int:
    """Position of the axis in labels and points, which have no channels."""
    axis %= ndim
    return axis - (channel_axis is not None and channel_axis % ndim < axis)
