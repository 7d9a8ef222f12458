"""Slices of medical images lie where they were taken."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st

from medical_files import ORIGIN, SPACING, itk_image, rotation, volume, write_ct_series
from napari_anysam.images.files import ImageFile, read_image
from napari_anysam.images.geometry import Geometry
from napari_anysam.images.label_files import write_labels
from napari_anysam.images.slicing import sliced

SHAPE = (4, 5, 6)
OBLIQUE = Geometry(SPACING, ORIGIN, tuple(rotation().ravel()))
indices = st.integers(0, 3)


def position(geometry, *index):
    return (geometry.affine @ [*index, 1])[:-1]


@given(
    st.tuples(*[st.floats(-180, 180)] * 3), st.integers(0, 2), st.tuples(indices, indices, indices)
)
def test_a_voxel_of_a_section_lies_where_it_lay_in_the_volume(angles, axis, index):
    whole = Geometry(SPACING, ORIGIN, tuple(rotation(angles).ravel()))
    part = whole.section(axis, index[axis])
    others = [index[other] for other in range(3) if other != axis]
    np.testing.assert_allclose(position(part, 0, *others), position(whole, *index), atol=1e-9)


@pytest.mark.parametrize("at", ["Z=2", "Y=-1", "X=0"])
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_labels_of_a_slice_are_written_where_it_was_taken(tmp_path, at, ending):
    SimpleITK.WriteImage(itk_image(volume(SHAPE)), str(tmp_path / "a.nrrd"))
    part, ((axis, index),) = sliced(read_image(tmp_path / "a.nrrd"), [at])
    labels = np.arange(np.prod(part.array.shape), dtype=np.uint16).reshape(part.array.shape)
    path = write_labels(tmp_path / f"labels{ending}", labels, part.label_geometry())
    found = read_image(path)
    np.testing.assert_array_equal(found.array, labels)
    corner = list(np.subtract(SHAPE, 1))
    corner[axis] = index
    last = (0, *np.subtract(labels.shape, 1))
    np.testing.assert_allclose(
        position(found.geometry, *last), position(OBLIQUE, *corner), atol=1e-4
    )


def test_only_planes_along_z_keep_their_dicom_file(tmp_path):
    write_ct_series(tmp_path / "ct", (volume(SHAPE) + 400).astype(np.uint16))
    image = read_image(tmp_path / "ct")
    assert sliced(image, ["Z=2"])[0].geometry.files == (image.geometry.files[2],)
    assert sliced(image, ["Y=2"])[0].geometry.files == ()


def series_of_volumes():
    return ImageFile(
        np.zeros((3, *SHAPE), np.uint8),
        "TZYX",
        (1.5, *OBLIQUE.scale),
        (None, *("millimeter",) * 3),
        OBLIQUE,
    )


def test_one_time_point_lies_where_the_series_does():
    part, _ = sliced(series_of_volumes(), ["T=1"])
    assert part.label_geometry() == OBLIQUE


def test_a_plane_through_time_has_sizes_and_no_place():
    part, _ = sliced(series_of_volumes(), ["Z=1"])
    assert part.geometry == OBLIQUE.section(0, 1)
    assert part.label_geometry() == Geometry.from_scale((1.0, *OBLIQUE.scale[1:]))


def test_a_line_through_time_lies_nowhere():
    part, _ = sliced(series_of_volumes(), ["Z=1", "Y=2"])
    assert part.geometry is None


def test_an_axis_that_is_said_to_hold_channels_is_no_axis_of_labels():
    image = ImageFile(np.zeros(SHAPE, np.uint8), "ZYX", OBLIQUE.scale, (None,) * 3, OBLIQUE)
    assert image.label_geometry(-1) == OBLIQUE.section(2, 0)
