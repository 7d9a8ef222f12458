"""Volumes in mL, diameters in mm, means: against shapes whose sizes are known."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_anysam import export_labels
from napari_anysam.errors import OptionsError
from napari_anysam.export.measures import measure_object, plane_diameters


def ellipsoid(radii, spacing):
    """Return a mask whose half axes are given in mm."""
    half = [int(radius / size) + 2 for radius, size in zip(radii, spacing, strict=True)]
    grid = np.meshgrid(*(np.arange(-one, one + 1) for one in half), indexing="ij")
    parts = [(g * size / radius) ** 2 for g, size, radius in zip(grid, spacing, radii, strict=True)]
    return sum(parts) <= 1


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 0.8, 0.8), (2.5, 0.5, 1.0)])
def test_an_ellipsoid_has_the_sizes_that_geometry_gives_it(spacing):
    radii = (16.0, 10.0, 20.0)
    mask = ellipsoid(radii, spacing)
    image = np.where(mask, 55.5, -1000).astype(np.float32)
    found = measure_object(mask * np.uint16(4), 4, spacing, image)
    assert found.volume_ml == pytest.approx(4 / 3 * np.pi * np.prod(radii) / 1000, rel=0.03)
    assert found.longest_diameter_mm == pytest.approx(40, abs=2 * max(spacing[1:]))
    assert found.perpendicular_diameter_mm == pytest.approx(20, abs=2 * max(spacing[1:]))
    assert found.plane == mask.shape[0] // 2
    assert found.mean_intensity == pytest.approx(55.5)
    assert found.voxels == mask.sum()


@given(st.floats(0, 180))
def test_diameters_do_not_depend_on_the_direction(degrees):
    rows, columns = np.mgrid[-40:41, -40:41].astype(float)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    along, across = rows * cosine + columns * sine, columns * cosine - rows * sine
    found = plane_diameters((along / 30) ** 2 + (across / 15) ** 2 <= 1, (1.0, 1.0))
    assert found.longest == pytest.approx(60, abs=1.5)
    assert found.perpendicular == pytest.approx(30, abs=1.5)


def test_a_row_of_pixels_is_as_long_as_its_pixels():
    mask = np.zeros((3, 9), bool)
    mask[1, 2:7] = True
    found = plane_diameters(mask, (0.5, 0.5))
    assert (found.longest, found.perpendicular) == pytest.approx((2.5, 0.5))
    one = plane_diameters(np.ones((1, 1), bool), (0.7, 0.7))
    assert one.longest == pytest.approx(0.7)


def test_a_plane_has_no_volume():
    found = measure_object(np.ones((4, 4), np.uint8), 1, (1, 1))
    assert found.volume_ml is None
    assert found.mean_intensity is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 2, 2)), 1, (1, 1, 1)), "no object 1"),
        ((np.ones((2, 2, 2)), 1, (1, 1)), "does not fit"),
        ((np.ones((2, 2)), 1, (1, 0)), "does not fit"),
        ((np.ones((2, 2)), 1, (1, 1), np.ones((2, 3))), "that was segmented"),
    ],
)
def test_what_cannot_be_measured_is_told(arguments, message):
    with pytest.raises(OptionsError, match=message):
        measure_object(*arguments)


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_says_the_same(tmp_path):
    spacing = (0.3, 0.08, 0.1)  # cm
    mask = ellipsoid((1.2, 1.0, 2.0), spacing)
    labels = np.concatenate(
        [
            mask * np.uint16(4),
            mask[:, ::2, ::2].repeat(2, 1).repeat(2, 2)[:, : mask.shape[1], : mask.shape[2]]
            * np.uint16(9),
        ]
    )
    image = np.random.default_rng(0).normal(40, 10, labels.shape)
    path = export_labels(labels, tmp_path / "a.csv", scale=spacing, units="cm", image=image)
    for row in rows_of(path):
        one = measure_object(labels, int(row["id"]), [10 * size for size in spacing], image)
        assert float(row["volume_ml"]) == pytest.approx(one.volume_ml)
        assert float(row["longest_diameter_mm"]) == pytest.approx(one.longest_diameter_mm)
        assert float(row["perpendicular_diameter_mm"]) == pytest.approx(
            one.perpendicular_diameter_mm
        )
        assert float(row["intensity_mean_0"]) == pytest.approx(one.mean_intensity)


def test_without_units_there_are_no_millimetres(tmp_path):
    labels = np.ones((2, 3, 4), np.uint8)
    (row,) = rows_of(export_labels(labels, tmp_path / "a.csv", scale=(1, 1, 1)))
    assert "volume_ml" not in row
    (row,) = rows_of(export_labels(labels[0], tmp_path / "b.csv", scale=(1, 1), units="mm"))
    assert "volume_ml" not in row
    assert float(row["longest_diameter_mm"]) == pytest.approx(np.hypot(4, 2))


def test_a_time_series_measures_every_time_point(tmp_path):
    labels = np.zeros((2, 2, 5, 6), np.uint8)
    labels[0, :, 1:3, 1:3] = 1
    labels[1, :, 1:5, 1:6] = 1
    path = export_labels(labels, tmp_path / "a.csv", axes="TZYX", scale=(1, 1, 1, 1), units="mm")
    first, second = rows_of(path)
    assert float(first["volume_ml"]) == pytest.approx(8 / 1000)
    assert float(second["volume_ml"]) == pytest.approx(40 / 1000)
    assert float(first["longest_diameter_mm"]) < float(second["longest_diameter_mm"])


def test_labels_are_exported_where_their_image_lies(tmp_path):
    import SimpleITK

    from medical_files import geometry_of, itk_image
    from napari_anysam.images.files import read_image

    labels = ellipsoid((3, 2, 2), (1, 1, 1)).astype(np.uint16) * 5
    source = itk_image(labels * np.int16(10))
    SimpleITK.WriteImage(source, str(tmp_path / "ct.nrrd"))
    geometry = read_image(tmp_path / "ct.nrrd").geometry
    for name in ("a.nii.gz", "a.nii", "a.nrrd", "a.mha"):
        path = export_labels(labels, tmp_path / name, geometry=geometry)
        written = SimpleITK.ReadImage(str(path))
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(written), labels)
        np.testing.assert_allclose(geometry_of(written), geometry_of(source), atol=1e-5)
    path = export_labels(labels, tmp_path / "b.nii.gz", scale=(2000, 500, 500), units="um")
    assert SimpleITK.ReadImage(str(path)).GetSpacing() == pytest.approx((0.5, 0.5, 2.0))
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    from napari_anysam.cli import main

    out = tmp_path / "c.csv"
    main(["export", f"{tmp_path}/labels.tif", "--image", f"{tmp_path}/ct.nrrd", "-o", str(out)])
    (row,) = rows_of(out)
    assert float(row["volume_ml"]) == pytest.approx(
        (labels > 0).sum() * np.prod(source.GetSpacing()) / 1000, rel=1e-5
    )
    assert float(row["intensity_mean_0"]) == 50
    out = tmp_path / "c.nii.gz"
    main(["export", f"{tmp_path}/labels.tif", "--image", f"{tmp_path}/ct.nrrd", "-o", str(out)])
    np.testing.assert_allclose(
        geometry_of(SimpleITK.ReadImage(str(out))), geometry_of(source), atol=1e-5
    )
