"""What an export is made of: everything that a format may need, checked before work begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import LabelFileError
from napari_anysam.images.planes import Planes, first_level

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_anysam.export.label_image import LabelImage
    from napari_anysam.export.objects import Objects
    from napari_anysam.images.conditioning import Contrast
    from napari_anysam.images.geometry import Geometry

__all__ = ["ExportJob", "image_planes"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExportJob:
    """Labels, what belongs to them, and how they are wanted.

    Parameters
    ----------
    labels : LabelImage
        What is exported.
    name : str
        Stem of the names of files that belong to planes.
    objects : Objects
        Classes, scores and models.
    image : Planes or None
        The image's planes, in the order of the labels' planes.
    contrast : "auto" or (low, high)
        Values shown black and white where the image is written in 8 bits.
    margin : int
        Pixels around a cut-out.
    indexed : bool
        Whether a PNG of labels has a colour table.
    file_names : tuple of str
        Names of the images that the planes belong to, or empty.
    parents : mapping
        Daughter to mother, by id.
    geometry : Geometry or None
        Where the voxels lie, for medical volumes; by default after the sizes of pixels.
    """

    labels: LabelImage
    name: str
    objects: Objects
    image: Planes | None = None
    contrast: Contrast = "auto"
    margin: int = 0
    indexed: bool = False
    file_names: tuple[str, ...] = ()
    parents: Mapping[int, int] = field(default_factory=dict)
    geometry: Geometry | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without reading a pixel."""
        planes = self.labels.plane_count
        if self.file_names and (
            len(self.file_names) != planes or len(set(self.file_names)) != planes
        ):
            raise LabelFileError(
                f"There are {len(self.file_names)} file names for {planes} planes; give a "
                "different one for each."
            )
        if self.margin < 0:
            raise LabelFileError(f"The margin is {self.margin}; give 0 or more pixels.")

    def file_name(self, place: int, suffix: str) -> str:
        """Name the image of a plane: as it was given, else after the export and the position."""
        return self.file_names[place] if self.file_names else f"{self.name}{suffix}.png"

    def need_image(self) -> Planes:
        """Return the image, or raise LabelFileError where there is none."""
        if self.image is None:
            raise LabelFileError("Cut-outs are cut out of the image; give it (image, --image).")
        return self.image


def image_planes(image: Any, labels: LabelImage, channel_axis: int | None) -> Planes:
    """Bring an image to the planes of its labels, without reading it.

    Parameters
    ----------
    image : array-like
        The shape of the labels, with one more axis for channels: ``channel_axis``, or the last
        one of an uint8 (H, W, 3 or 4).
    labels : LabelImage
        Its labels.
    channel_axis : int or None
        Axis of the image that holds channels.

    Raises
    ------
    LabelFileError
        If its shape is another one.
    ImageError
        If it is no image.
    """
    image = first_level(image)
    image = image if hasattr(image, "ndim") else np.asarray(image)
    ndim = len(labels.shape)
    if ndim == 2:
        planes = Planes.single(image, channel_axis)
    else:
        planes = Planes(*_flat(image, ndim, channel_axis))
    if planes.plane_shape != labels.shape[-2:] or planes.count != labels.plane_count:
        raise LabelFileError(
            f"The image of shape {tuple(image.shape)} does not fit labels of shape "
            f"{labels.shape}; give the image that was segmented."
        )
    return planes


def _flat(image: Any, ndim: int, channel_axis: int | None) -> tuple[Any, int, int | None]:
    """Bring an image's axes before rows and columns to one."""
    wanted = ndim + (channel_axis is not None)
    if image.ndim != wanted:
        raise LabelFileError(
            f"The image of shape {tuple(image.shape)} has {image.ndim} dimensions and its labels "
            f"have {ndim}; give one more only for channels, and name it (channel_axis)."
        )
    if ndim == 3:
        axis = 1 if channel_axis is not None and channel_axis % wanted == 0 else 0
        return image, axis, channel_axis
    import dask.array as da

    lazy = image if isinstance(image, da.Array) else da.from_array(image)
    if channel_axis is None:
        return lazy.reshape(prod(lazy.shape[:-2]), *lazy.shape[-2:]), 0, None
    lazy = da.moveaxis(lazy, channel_axis, -1)
    return lazy.reshape(prod(lazy.shape[:-3]), *lazy.shape[-3:]), 0, -1
