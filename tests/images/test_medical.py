"""Medical volumes: values and geometry as SimpleITK has them, read, written and read again."""

from __future__ import annotations

import subprocess
import sys

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st

from label_planes import whole
from medical_files import (
    INTERCEPT,
    ORIGIN,
    SLOPE,
    SPACING,
    geometry_of,
    itk_image,
    rotation,
    volume,
    write_ct_series,
)
from napari_anysam.errors import AnySAMWarning, ImageError, LabelFileError
from napari_anysam.images.files import read_image, read_labels
from napari_anysam.images.geometry import Geometry
from napari_anysam.images.label_files import write_labels
from napari_anysam.images.label_stack import open_label_stack, unfinished_folder
from napari_anysam.images.volume_files import check_label_volume

ENDINGS = [".nii", ".nii.gz", ".nrrd", ".mha"]
angles = st.tuples(*[st.floats(-180, 180)] * 3)


@pytest.fixture
def series(tmp_path):
    stored = (volume((4, 5, 6)) + 400).astype(np.uint16)
    frame = write_ct_series(tmp_path / "ct", stored, direction=rotation())
    return tmp_path / "ct", stored, frame


def labels_like(shape):
    labels = np.zeros(shape, np.uint16)
    labels[1:3, 1:3, 2:4] = 7
    labels[2, 4, 5] = 300
    return labels


@pytest.mark.parametrize("ending", [*ENDINGS, ".mhd", ".nhdr"])
def test_a_volume_is_read_as_simple_itk_reads_it(tmp_path, ending):
    path = tmp_path / f"volume{ending}"
    SimpleITK.WriteImage(itk_image(volume()), str(path))
    found = read_image(path)
    np.testing.assert_array_equal(found.array, volume())
    assert found.axes == "ZYX"
    assert found.units == ("millimeter",) * 3
    np.testing.assert_allclose(found.scale, SPACING[::-1], rtol=1e-6)
    written = SimpleITK.ReadImage(str(path))
    kept = found.geometry
    np.testing.assert_allclose(
        [*kept.spacing, *kept.origin, *kept.direction], geometry_of(written), atol=1e-6
    )


@given(angles, st.tuples(*[st.integers(0, 20)] * 3))
def test_the_affine_puts_voxels_where_simple_itk_puts_them(degrees, index):
    image = itk_image(np.zeros((2, 2, 2), np.uint8), rotation(degrees))
    geometry = Geometry(image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    expected = image.TransformIndexToPhysicalPoint(index[::-1])[::-1]
    np.testing.assert_allclose((geometry.affine @ [*index, 1])[:3], expected, atol=1e-9)
    again = Geometry.from_affine(geometry.affine)
    np.testing.assert_allclose(again.affine, geometry.affine, atol=1e-9)
    assert Geometry.from_dict(geometry.to_dict()) == geometry


def test_another_library_puts_voxels_in_the_same_place(tmp_path):
    affine = np.eye(4)
    affine[:3, :3] = rotation() * SPACING
    affine[:3, 3] = ORIGIN
    written = nibabel.Nifti1Image(volume().T, affine)  # (x, y, z), RAS
    written.header.set_xyzt_units("mm")
    written.header.set_slope_inter(2.0, -1024.0)
    nibabel.save(written, tmp_path / "a.nii.gz")
    found = read_image(tmp_path / "a.nii.gz")
    oracle = nibabel.load(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(found.array, oracle.get_fdata().T, rtol=1e-6)
    for index in np.ndindex(2, 2, 2):
        x, y, z = (oracle.affine @ [*index[::-1], 1])[:3]
        np.testing.assert_allclose(
            (found.geometry.affine @ [*index, 1])[:3], (z, -y, -x), atol=1e-4
        )


@pytest.mark.parametrize("ending", ENDINGS)
def test_labels_keep_the_geometry_of_their_image(tmp_path, ending):
    source = itk_image(volume())
    SimpleITK.WriteImage(source, str(tmp_path / "image.nrrd"))
    labels = labels_like((5, 6, 7))
    geometry = read_image(tmp_path / "image.nrrd").label_geometry()
    path = write_labels(tmp_path / f"labels{ending}", labels, geometry)
    written = SimpleITK.ReadImage(str(path))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(written), labels)
    np.testing.assert_allclose(geometry_of(written), geometry_of(source), atol=1e-5)
    np.testing.assert_array_equal(read_labels(path).array, labels)
    assert [one.name for one in tmp_path.glob("*labels*")] == [f"labels{ending}"]


@pytest.mark.parametrize("axis", [0, 2])
def test_a_stack_that_grows_keeps_it_too(tmp_path, axis):
    source = itk_image(volume())
    geometry = Geometry(source.GetSpacing(), source.GetOrigin(), source.GetDirection())
    labels = labels_like((5, 6, 7))
    path = tmp_path / "labels.nii.gz"
    with open_label_stack(path, labels.shape, axis=axis, geometry=geometry) as stack:
        for index in range(labels.shape[axis]):
            stack.write(index, whole(labels.take(index, axis)))
    written = SimpleITK.ReadImage(str(path))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(written), labels)
    np.testing.assert_allclose(geometry_of(written), geometry_of(source), atol=1e-5)


def test_a_volume_that_was_not_finished_is_gone_on_with(tmp_path):
    geometry = Geometry(SPACING, ORIGIN, tuple(rotation().ravel()))
    path = tmp_path / "a.nii.gz"

    def write_half():
        with open_label_stack(path, (2, 3, 4), geometry=geometry) as stack:
            stack.write(0, whole(np.ones((3, 4))))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    kept = read_image(unfinished_folder(path) / "labels.zarr").array
    assert kept[...].sum(axis=(1, 2)).tolist() == [12, 0]
    with open_label_stack(path, (2, 3, 4), geometry=geometry, before="resume") as stack:
        stack.write(1, whole(np.full((3, 4), 2)))
    found = read_labels(path)
    assert found.array.sum(axis=(1, 2)).tolist() == [12, 24]
    np.testing.assert_allclose(found.geometry.affine, geometry.affine, atol=1e-5)
    assert [one.name for one in tmp_path.iterdir()] == ["a.nii.gz"]


@pytest.mark.filterwarnings("error::napari_anysam.errors.AnySAMWarning")
def test_a_dicom_series_comes_in_hounsfield_units_in_the_order_of_its_planes(series):
    folder, stored, _ = series
    found = read_image(folder)
    np.testing.assert_allclose(found.array, stored * SLOPE + INTERCEPT)
    assert found.about["value_unit"] == "HU"
    assert found.about["rescale_applied"] == [[SLOPE, INTERCEPT]]
    np.testing.assert_allclose(found.geometry.spacing, SPACING, atol=1e-6)
    np.testing.assert_allclose(found.geometry.origin, ORIGIN, atol=1e-6)
    np.testing.assert_allclose(found.geometry.matrix, rotation(), atol=1e-6)
    positions = [pydicom.dcmread(file).ImagePositionPatient[2] for file in found.geometry.files]
    expected = [(found.geometry.affine @ [plane, 0, 0, 1])[0] for plane in range(4)]
    np.testing.assert_allclose(positions, expected, atol=1e-5)


def test_one_dicom_file_is_one_plane(series):
    folder, stored, _ = series
    (folder / "image000").rename(folder / "one.dcm")
    plane = int(pydicom.dcmread(folder / "one.dcm").InstanceNumber) - 1
    found = read_image(folder / "one.dcm")
    assert found.axes == "YX"
    assert found.scale == pytest.approx(SPACING[1::-1])
    np.testing.assert_allclose(found.array, stored[plane] * SLOPE + INTERCEPT)


def test_missing_planes_are_told(tmp_path):
    write_ct_series(tmp_path / "ct", np.zeros((6, 4, 4), np.uint16), left_out=[2])
    with pytest.warns(AnySAMWarning, match="missing or tilted"):
        read_image(tmp_path / "ct")


def test_several_series_in_a_folder_are_refused(tmp_path):
    stored = np.zeros((2, 4, 4), np.uint16)
    write_ct_series(tmp_path / "ct", stored)
    write_ct_series(tmp_path / "ct", stored, prefix="other")
    with pytest.raises(ImageError, match="holds 2 DICOM series"):
        read_image(tmp_path / "ct")


def test_a_dicom_seg_has_the_geometry_of_its_series(series, tmp_path):
    folder, stored, frame = series
    image = read_image(folder)
    labels = labels_like(stored.shape)
    path = write_labels(tmp_path / "labels.dcm", labels, image.label_geometry())
    source = pydicom.dcmread(image.geometry.files[0])
    written = highdicom.seg.segread(path)
    assert written.FrameOfReferenceUID == source.FrameOfReferenceUID == frame
    assert written.StudyInstanceUID == source.StudyInstanceUID
    assert written.PatientID == "P1"
    shared = written.SharedFunctionalGroupsSequence[0]
    measures = shared.PixelMeasuresSequence[0]
    assert measures.PixelSpacing == source.PixelSpacing
    assert measures.SpacingBetweenSlices == pytest.approx(SPACING[2])
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    assert orientation == source.ImageOrientationPatient
    found = written.get_pixels_by_source_instance(
        [pydicom.dcmread(file).SOPInstanceUID for file in image.geometry.files],
        combine_segments=True,
        assert_missing_frames_are_empty=True,
        ignore_spatial_locations=True,
    )
    np.testing.assert_array_equal(found, np.searchsorted([0, 7, 300], labels))


def test_labels_that_were_saved_as_floats_are_labels(tmp_path):
    labels = labels_like((5, 6, 7)).astype(np.float64)
    SimpleITK.WriteImage(itk_image(labels), str(tmp_path / "a.nii"))
    found = read_labels(tmp_path / "a.nii")
    assert found.array.dtype.kind == "i"
    np.testing.assert_array_equal(found.array, labels)
    for name, wrong in (("b.nii", labels + 0.5), ("c.nrrd", np.where(labels == 7, np.nan, labels))):
        SimpleITK.WriteImage(itk_image(wrong), str(tmp_path / name))
        with pytest.raises(ImageError, match="no labels"):
            read_labels(tmp_path / name)


def test_a_dicom_seg_is_read_where_it_lies_with_its_ids(series, tmp_path):
    folder, stored, _ = series
    image = read_image(folder)
    labels = labels_like(stored.shape)
    found = read_labels(write_labels(tmp_path / "a.dcm", labels, image.label_geometry()))
    for index in np.argwhere(np.asarray(found.array)):
        place = found.geometry.affine @ [*index, 1]
        there = np.linalg.solve(image.geometry.affine, place)[:3].round().astype(int)
        assert labels[tuple(there)] == found.array[tuple(index)]
    assert (found.array > 0).sum() == (labels > 0).sum()


def test_a_dicom_seg_of_nothing_says_that_there_is_no_object(series, tmp_path):
    folder, stored, _ = series
    image = read_image(folder)
    path = write_labels(
        tmp_path / "a.dcm", np.zeros(stored.shape, np.uint16), image.label_geometry()
    )
    written = highdicom.seg.segread(path)
    assert [one.SegmentLabel for one in written.SegmentSequence] == ["no object"]
    found = read_labels(path)
    assert found.array.shape == stored.shape
    assert not found.array.any()
    np.testing.assert_allclose(found.geometry.affine, image.geometry.affine, atol=1e-4)


def test_a_series_of_which_no_dicom_seg_can_be_made_is_told_before_work_begins(series, tmp_path):
    folder, stored, _ = series
    for path in folder.iterdir():
        file = pydicom.dcmread(path)
        del file.PatientID
        file.save_as(path)
    geometry = read_image(folder).label_geometry()
    with pytest.raises(LabelFileError, match=r"No DICOM-SEG could be made .*PatientID.* \.nii\.gz"):
        check_label_volume(tmp_path / "a.dcm", stored.shape, geometry)


def test_a_dicom_seg_needs_a_series(series, tmp_path):
    _, stored, _ = series
    with pytest.raises(LabelFileError, match="refers to a DICOM series"):
        write_labels(tmp_path / "a.dcm", labels_like(stored.shape))
    with (
        pytest.raises(LabelFileError, match="refers to a DICOM series"),
        open_label_stack(tmp_path / "a.dcm", stored.shape),
    ):
        pytest.fail("work began")
    assert [one.name for one in tmp_path.iterdir()] == ["ct"]


def test_a_series_in_time_is_read_with_its_axes(tmp_path):
    series = np.random.default_rng(0).random((2, 3, 4, 5)).astype(np.float32)
    joined = SimpleITK.JoinSeries([itk_image(one) for one in series], 0.0, 1.5)
    SimpleITK.WriteImage(joined, str(tmp_path / "a.nii"))
    found = read_image(tmp_path / "a.nii")
    np.testing.assert_array_equal(found.array, series)
    assert found.axes == "TZYX"
    np.testing.assert_allclose(found.scale, (1.5, *SPACING[::-1]), rtol=1e-6)
    assert found.geometry.ndim == 3


def test_labels_of_a_tiff_take_its_pixel_sizes_along(tmp_path):
    import tifffile

    sizes = {"PhysicalSizeX": 200.0, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.3}
    sizes |= {"PhysicalSizeYUnit": "mm", "PhysicalSizeZ": 0.1, "PhysicalSizeZUnit": "cm"}
    stack = np.zeros((3, 4, 5), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "ZYX", **sizes})
    geometry = read_image(tmp_path / "a.ome.tif").label_geometry()
    np.testing.assert_allclose(geometry.spacing, (0.2, 0.3, 1.0))


def test_a_damaged_volume_is_told_in_one_sentence(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"no volume")
    with pytest.raises(ImageError, match=r"a\.nii\.gz could not be read") as caught:
        read_image(tmp_path / "a.nii.gz")
    assert "\n" not in str(caught.value)


def test_a_geometry_that_makes_no_sense_is_refused():
    with pytest.raises(ImageError, match="sheared"):
        Geometry.from_affine([[1, 0, 0, 0], [0, 1, 0.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    with pytest.raises(ImageError, match="size of 0"):
        Geometry.from_affine(np.diag([1, 0, 1, 1]))


@pytest.mark.parametrize(
    ("module", "name", "extra"), [("SimpleITK", "a.nii", "medical"), ("av", "a.mp4", "video")]
)
def test_without_the_extra_the_command_that_installs_it_is_named(tmp_path, module, name, extra):
    (tmp_path / name).write_bytes(b"")
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from napari_anysam.images.files import read_image\n"
        f"read_image({str(tmp_path / name)!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert f'pip install "napari-anysam[{extra}]"' in done.stderr.splitlines()[-1]
