"""Units of axes, under the names that OME-Zarr and OME-TIFF have for them.

OME-Zarr: "axes" metadata of NGFF 0.4 and 0.5, names of UDUNITS-2. OME-TIFF: ``UnitsLength`` and
``UnitsTime`` of the OME schema 2016-06.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_anysam.errors import LabelFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Unit", "find_unit", "known_units"]


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of length or time.

    Parameters
    ----------
    name : str
        As OME-Zarr spells it.
    symbol : str
        As OME-TIFF spells it.
    aliases : tuple of str
        Other spellings that are understood.
    """

    name: str
    symbol: str
    aliases: tuple[str, ...] = ()


_LENGTHS = (
    Unit("angstrom", "Å"),
    Unit("nanometer", "nm", ("nanometre",)),
    Unit("micrometer", "µm", ("um", "\u03bcm", "micron", "micrometre")),
    Unit("millimeter", "mm", ("millimetre",)),
    Unit("centimeter", "cm", ("centimetre",)),
    Unit("meter", "m", ("metre",)),
)
_TIMES = (
    Unit("millisecond", "ms"),
    Unit("second", "s", ("sec",)),
    Unit("minute", "min"),
    Unit("hour", "h"),
    Unit("day", "d"),
)


def find_unit(name: str, axis: str) -> Unit:
    """Find a unit by any of its spellings.

    Parameters
    ----------
    name : str
        Such as "micrometer", "um" or "s".
    axis : str
        "T" for a unit of time, any other letter for one of length.

    Raises
    ------
    LabelFileError
        If it is no such unit.
    """
    known = _TIMES if axis == "T" else _LENGTHS
    for unit in known:
        if name in (unit.name, unit.symbol, *unit.aliases, f"{unit.name}s"):
            return unit
    names = ", ".join(unit.name for unit in known)
    raise LabelFileError(f"{name!r} is no unit of axis {axis}; use one of {names}.")


def known_units(names: Sequence[str | None], axes: str) -> tuple[str | None, ...]:
    """Take the units of a file, one per axis; None for rare ones, which no export needs."""
    return tuple(
        name if name is not None and axis != "C" and _is_unit(name, axis) else None
        for name, axis in zip(names, axes, strict=True)
    )


def _is_unit(name: str, axis: str) -> bool:
    try:
        find_unit(name, axis)
    except LabelFileError:
        return False
    return True
