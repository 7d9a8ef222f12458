"""Sizes of pixels as files tell them, axis by axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PixelSizes", "ome_tiff_sizes", "ome_zarr_sizes"]

PixelSizes = tuple[tuple[float, ...] | None, tuple[str | None, ...]]
"""Size and unit along every axis; None where the file tells none."""

UNKNOWN: PixelSizes = (None, ())


def ome_tiff_sizes(xml: str | None, axes: str) -> PixelSizes:
    """Read the sizes of the first image of an OME-XML.

    Parameters
    ----------
    xml : str or None
        The TIFF's OME-XML, if it has one.
    axes : str
        Letters of the array's axes.

    Notes
    -----
    Where the XML has a size without a unit, the schema's default holds: µm and s (OME schema
    2016-06, ``Pixels``). An XML that cannot be understood tells none: the pixels can be read.
    """
    try:
        pixels = ElementTree.fromstring(xml or "<none/>").find("{*}Image/{*}Pixels")
        return UNKNOWN if pixels is None else _sizes_of(pixels, axes)
    except (ElementTree.ParseError, ValueError):
        return UNKNOWN


def _sizes_of(pixels: ElementTree.Element, axes: str) -> PixelSizes:
    if "PhysicalSizeX" not in pixels.attrib:
        return UNKNOWN
    scale, units = [], []
    for axis in axes:
        name = "TimeIncrement" if axis == "T" else f"PhysicalSize{axis}"
        size = pixels.get(name)
        scale.append(1.0 if size is None else float(size))
        default = "s" if axis == "T" else "µm"
        units.append(None if size is None else pixels.get(f"{name}Unit", default))
    return tuple(scale), tuple(units)


def ome_zarr_sizes(multiscale: Mapping[str, Any], level: int) -> PixelSizes:
    """Read the sizes of a level of an OME-Zarr image (NGFF 0.4 and 0.5)."""
    scale = [1.0] * len(multiscale["axes"])
    dataset = multiscale["datasets"][level]
    found = False
    for record in (*_transforms(dataset), *_transforms(multiscale)):
        factors = record.get("scale", ())
        if len(factors) == len(scale):
            found = True
            scale = [size * float(factor) for size, factor in zip(scale, factors, strict=True)]
    units = tuple(
        axis.get("unit") if isinstance(axis, dict) else None for axis in multiscale["axes"]
    )
    return (tuple(scale), units) if found else UNKNOWN


def _transforms(record: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return record.get("coordinateTransformations") or ()
