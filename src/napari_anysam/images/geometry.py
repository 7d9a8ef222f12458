"""Where the voxels of a volume lie in the patient or the sample.

Two conventions meet here. ITK and DICOM count (x, y, z) and point to the left, posterior and
superior side of a patient (LPS). Arrays and napari count (z, y, x). Inside this package a
geometry is kept as ITK tells it, in mm and LPS; ``affine`` is the same with both sides reversed:
from array indices (z, y, x) to positions (z, y, x), whose axes still point to S, P and L.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_anysam.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Geometry", "millimetres"]

_SPELLINGS = {
    1e-7: ("angstrom", "Å"),
    1e-6: ("nanometer", "nanometre", "nm"),
    1e-3: ("micrometer", "micrometre", "micron", "µm", "\u03bcm", "um"),
    1.0: ("millimeter", "millimetre", "mm"),
    10.0: ("centimeter", "centimetre", "cm"),
    1000.0: ("meter", "metre", "m"),
}
_MILLIMETRES = {name: size for size, names in _SPELLINGS.items() for name in names}
_STRAIGHT = 1e-4


def millimetres(unit: str) -> float | None:
    """Return how many mm a unit of length has, by any of its spellings; None if it is none."""
    return _MILLIMETRES.get(unit)


@dataclass(frozen=True, slots=True)
class Geometry:
    """Spacing, origin and directions of a plane or volume, in the order of ITK: (x, y, z).

    Parameters
    ----------
    spacing : sequence of float
        Distance of neighbouring voxels in mm.
    origin : sequence of float
        Position of the centre of the first voxel in mm, LPS.
    direction : sequence of float
        Row by row the matrix whose columns are the directions of the axes, unit vectors at right
        angles.
    files : sequence of str
        The DICOM files of a series, one for each plane in the order of the planes; else empty.

    Raises
    ------
    ImageError
        If they do not fit each other, or the axes are not at right angles.
    """

    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Bring the fields to plain floats and check them."""
        for name in ("spacing", "origin", "direction"):
            values = tuple(float(value) for value in getattr(self, name))
            object.__setattr__(self, name, values)
        object.__setattr__(self, "files", tuple(str(file) for file in self.files))
        ndim = len(self.spacing)
        if ndim not in (2, 3) or len(self.origin) != ndim or len(self.direction) != ndim**2:
            raise ImageError("A geometry has spacing, origin and direction of 2 or 3 dimensions.")
        if not np.isfinite(self.spacing).all() or min(self.spacing) <= 0:
            raise ImageError(f"The spacing {self.spacing} is not positive; correct it.")
        matrix = self.matrix
        if not np.allclose(matrix.T @ matrix, np.eye(ndim), atol=_STRAIGHT):
            raise ImageError("The axes of the volume are sheared; resample it to right angles.")

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return len(self.spacing)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Directions as a matrix (3, 3), columns are the axes x, y, z."""
        return np.array(self.direction).reshape(self.ndim, self.ndim)

    @property
    def scale(self) -> tuple[float, ...]:
        """Spacing in the order of arrays: (z, y, x)."""
        return self.spacing[::-1]

    @property
    def is_straight(self) -> bool:
        """Whether the axes of the array are those of the world, none of them flipped."""
        return bool(np.allclose(self.matrix, np.eye(self.ndim), atol=_STRAIGHT))

    @property
    def affine(self) -> NDArray[np.float64]:
        """Homogeneous matrix (4, 4) from array indices (z, y, x) to positions (z, y, x) in mm."""
        affine = np.eye(self.ndim + 1)
        affine[:-1, :-1] = (self.matrix * self.spacing)[::-1, ::-1]
        affine[:-1, -1] = self.origin[::-1]
        return affine

    def section(self, axis: int, index: int) -> Self:
        """Return where one plane of a volume lies, as a volume of its own.

        Parameters
        ----------
        axis : int
            Axis of the array (z, y, x), counted from 0, that the plane lies across.
        index : int
            Of the plane along it.

        Returns
        -------
        Geometry
            Its first axis is ``axis``, now of length one, before the two others in their order.
            Of a DICOM series planes along z keep their file; others lie across the files.
        """
        turned = [axis, *(other for other in range(3) if other != axis)]
        columns = [2 - place for place in reversed(turned)]
        step = self.matrix[:, 2 - axis] * self.scale[axis]
        across_files = axis == 0 and len(self.files) > 1
        return type(self)(
            tuple(self.spacing[column] for column in columns),
            tuple(np.array(self.origin) + index * step),
            tuple(self.matrix[:, columns].ravel()),
            self.files[index : index + 1] if across_files else (),
        )

    @classmethod
    def from_affine(cls, affine: ArrayLike) -> Self:
        """Make it from what ``affine`` gives, (3, 3) or (4, 4).

        Raises
        ------
        ImageError
            If its axes are not at right angles.
        """
        affine = np.asarray(affine, float)
        steps = affine[:-1, :-1][::-1, ::-1]
        spacing = np.linalg.norm(steps, axis=0)
        if not np.isfinite(affine).all() or not spacing.all():
            raise ImageError("The layer's transform is not finite or has a size of 0; reset it.")
        direction = (steps / spacing).ravel()
        return cls(tuple(spacing), tuple(affine[:-1, -1][::-1]), tuple(direction))

    @classmethod
    def from_scale(cls, scale: Sequence[float], units: Sequence[str | None] | None = None) -> Self:
        """Make it from the sizes of pixels, in the order of an array's axes.

        Parameters
        ----------
        scale : sequence of float
            Two or three sizes.
        units : sequence of str or None
            Names; a size without a unit of length counts as mm.
        """
        names = units or (None,) * len(scale)
        sizes = [
            size * (millimetres(name or "") or 1.0) for size, name in zip(scale, names, strict=True)
        ]
        return cls(tuple(sizes[::-1]), (0.0,) * len(sizes), tuple(np.eye(len(sizes)).ravel()))

    def to_dict(self) -> dict[str, Any]:
        """Describe it in plain values; ``from_dict`` takes them back."""
        values: dict[str, Any] = {
            name: list(getattr(self, name)) for name in ("spacing", "origin", "direction")
        }
        return {**values, "files": list(self.files)} if self.files else values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make it from what ``to_dict`` gave."""
        return cls(
            tuple(values["spacing"]),
            tuple(values["origin"]),
            tuple(values["direction"]),
            tuple(values.get("files", ())),
        )
