"""OME-TIFF: pixels, axes, pixel sizes and units, as tifffile and the OME-XML tell them."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from label_scenes import as_dask, plane, stack

from napari_anysam import export_labels
from napari_anysam.errors import LabelFileError
from napari_anysam.export import ome_tiff
from napari_anysam.images import label_encoding

OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"


def pixels_element(path):
    with tifffile.TiffFile(path) as file:
        return ElementTree.fromstring(file.ome_metadata).find(f"{OME}Image/{OME}Pixels").attrib


@pytest.mark.parametrize("labels", [plane(), stack()], ids=["2D", "3D"])
def test_labels_come_back(tmp_path, kind, labels):
    path = export_labels(kind(labels), tmp_path / "labels.ome.tif")
    np.testing.assert_array_equal(tifffile.imread(path), labels)


@pytest.mark.parametrize(
    ("most", "dtype"), [(0, "u2"), (65535, "u2"), (65536, "u4"), (2**32 - 1, "u4")]
)
def test_the_pixel_type_is_the_smallest_that_holds_every_label(tmp_path, most, dtype):
    path = export_labels(np.array([[0, most]]), tmp_path / "labels.tif")
    assert tifffile.imread(path).dtype == dtype


def test_axes_pixel_sizes_and_units_are_in_the_xml(tmp_path):
    path = export_labels(
        stack()[None], tmp_path / "a.tif", axes="TZYX", scale=(3, 2, 0.5, 0.25), units="um"
    )
    with tifffile.TiffFile(path) as file:
        # Axes of length one are there in the XML; tifffile leaves them out.
        assert file.series[0].axes == "ZYX"
    found = pixels_element(path)
    assert {key: found[key] for key in found if key.startswith(("Size", "Phys", "Time"))} == {
        "SizeX": "50",
        "SizeY": "40",
        "SizeC": "1",
        "SizeZ": "5",
        "SizeT": "1",
        "PhysicalSizeX": "0.25",
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": "0.5",
        "PhysicalSizeYUnit": "µm",
        "PhysicalSizeZ": "2.0",
        "PhysicalSizeZUnit": "µm",
        "TimeIncrement": "3.0",
    }


def test_time_steps_have_units_of_time(tmp_path):
    path = export_labels(
        stack(), tmp_path / "a.tif", axes="TYX", scale=(3, 0.5, 0.5), units=("min", "nm", "nm")
    )
    found = pixels_element(path)
    assert (found["SizeT"], found["TimeIncrement"], found["TimeIncrementUnit"]) == (
        "5",
        "3.0",
        "min",
    )
    assert found["PhysicalSizeYUnit"] == "nm"


def test_a_size_without_unit_does_not_become_micrometers(tmp_path):
    path = export_labels(plane(), tmp_path / "a.tif", scale=(2, 2))
    assert pixels_element(path)["PhysicalSizeXUnit"] == "pixel"


def test_what_classic_tiff_cannot_address_is_a_bigtiff(tmp_path, monkeypatch):
    for limit, big in ((10**6, False), (100, True)):
        monkeypatch.setattr(label_encoding, "BIG_TIFF_BYTES", limit)
        path = export_labels(plane(), tmp_path / f"{limit}.tif")
        with tifffile.TiffFile(path) as file:
            assert file.is_bigtiff == big
            np.testing.assert_array_equal(file.asarray(), plane())


def test_large_planes_are_written_in_tiles(tmp_path, monkeypatch):
    monkeypatch.setattr(ome_tiff, "LARGE_PLANE_BYTES", 100)
    monkeypatch.setattr(ome_tiff, "TILE", 16)
    path = export_labels(as_dask(stack()), tmp_path / "labels.tif")
    np.testing.assert_array_equal(tifffile.imread(path), stack())
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].tile == (16, 16)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (np.zeros((2, 2)), {}, "give integers"),
        (np.zeros(3, int), {}, "two or more"),
        (np.zeros((0, 3), int), {}, "cannot be exported"),
        (-plane().astype(int), {}, "renumber"),
        (np.array([[2**32]]), {}, "renumber"),
        (plane(), {"axes": "XY"}, "YX last"),
        (plane(), {"axes": "ZYX"}, "do not fit"),
        (stack(), {"axes": "QYX"}, "letter of TCZYX"),
        (plane(), {"scale": (1, 2, 3)}, "does not fit"),
        (plane(), {"scale": (0, 1)}, "positive"),
        (plane(), {"scale": (1, 1), "units": "furlong"}, "use one of"),
        (stack(), {"scale": (1, 1, 1), "units": ("nm", "nm")}, "2 units for axes ZYX"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, labels, options, message):
    with pytest.raises(LabelFileError, match=message):
        export_labels(labels, tmp_path / "labels.tif", **options)
    assert not list(tmp_path.iterdir())
