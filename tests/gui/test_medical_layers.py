"""Medical volumes and films opened in napari, and labels saved where their image lies."""

from __future__ import annotations

import av
import dask.array as da
import highdicom
import numpy as np
import pytest
import SimpleITK
from napari.components import ViewerModel
from napari.layers import Labels

from medical_files import SPACING, geometry_of, itk_image, rotation, volume, write_ct_series
from napari_anysam._napari.prompt_layers import make_labels
from napari_anysam._napari.readers import film_reader, medical_reader
from napari_anysam.errors import LabelFileError

PLUGIN = "napari-anysam"
TURNS = {"straight": np.eye(3), "flipped": np.diag([-1.0, -1.0, 1.0]), "oblique": rotation()}


@pytest.fixture
def viewer(npe2pm_with_us):
    return ViewerModel()


@pytest.fixture
def npe2pm_with_us(npe2pm):
    """A plugin manager that knows napari's own formats and ours."""
    from npe2 import PluginManifest

    for name in ("napari", PLUGIN):
        npe2pm.register(PluginManifest.from_distribution(name), warn_disabled=False)
    return npe2pm


def corners(shape):
    return [np.array(place) * (np.array(shape) - 1) for place in np.ndindex(2, 2, 2)]


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.NRRD"])
def test_voxels_lie_where_simple_itk_puts_them(viewer, tmp_path, name, turn):
    image = itk_image(volume(), TURNS[turn])
    SimpleITK.WriteImage(image, str(tmp_path / name.lower()))
    (tmp_path / name.lower()).rename(tmp_path / name)
    (layer,) = viewer.open(tmp_path / name, plugin=PLUGIN)
    assert layer.name == "a"
    np.testing.assert_array_equal(layer.data, volume())
    np.testing.assert_allclose(layer.scale, SPACING[::-1], rtol=1e-6)
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert layer.axis_labels == ("z", "y", "x")
    for corner in corners(layer.data.shape):
        index = [int(place) for place in corner[::-1]]
        expected = image.TransformIndexToPhysicalPoint(index)[::-1]
        np.testing.assert_allclose(layer.data_to_world(corner), expected, atol=1e-4)
    assert np.allclose(layer.affine.affine_matrix, np.eye(4)) == (turn == "straight")


@pytest.mark.parametrize("name", ["b.nii.gz", "b.nrrd", "b.mha"])
@pytest.mark.parametrize("told", [True, False])
def test_labels_are_saved_where_their_image_lies(viewer, tmp_path, name, told):
    source = itk_image(volume())
    SimpleITK.WriteImage(source, str(tmp_path / "a.nii"))
    (image,) = viewer.open(tmp_path / "a.nii", plugin=PLUGIN)
    labels = make_labels(image)
    assert labels.metadata["geometry"] == image.metadata["geometry"]
    if not told:
        del labels.metadata["geometry"]
    labels.data[1:3, 2:4, 3] = 5
    viewer.add_layer(labels)
    assert labels.save(str(tmp_path / name), plugin=PLUGIN) == [str(tmp_path / name)]
    written = SimpleITK.ReadImage(str(tmp_path / name))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(written), labels.data)
    np.testing.assert_allclose(geometry_of(written), geometry_of(source), atol=1e-4)


def test_labels_of_microscopy_are_saved_in_millimetres(viewer, tmp_path):
    data = np.zeros((3, 4, 5), np.uint8)
    data[1, 1, 1] = 1
    layer = Labels(data, scale=(2, 0.5, 0.25), translate=(10, 0, 0), units=("um",) * 3)
    layer.save(str(tmp_path / "a.nrrd"), plugin=PLUGIN)
    written = SimpleITK.ReadImage(str(tmp_path / "a.nrrd"))
    assert written.GetSpacing() == pytest.approx((0.00025, 0.0005, 0.002))
    assert written.GetOrigin() == pytest.approx((0, 0, 0.01))


def test_a_sheared_layer_is_refused(viewer, tmp_path):
    layer = Labels(np.ones((3, 4, 5), np.uint8), shear=(0.5, 0, 0))
    with pytest.raises(LabelFileError, match="sheared"):
        layer.save(str(tmp_path / "a.nrrd"), plugin=PLUGIN)


def test_a_dicom_folder_opens_and_its_labels_are_saved_as_dicom_seg(viewer, tmp_path):
    folder = tmp_path / "ct"
    stored = (volume((4, 5, 6)) + 400).astype(np.uint16)
    frame = write_ct_series(folder, stored, direction=rotation())
    write_ct_series(folder, stored[:3], prefix="scout")
    layers = viewer.open(folder, plugin=PLUGIN)
    assert sorted(len(layer.data) for layer in layers) == [3, 4]
    image = next(layer for layer in layers if len(layer.data) == 4)
    assert image.name.startswith("made up")
    assert image.metadata["value_unit"] == "HU"
    labels = make_labels(image)
    labels.data[1:3, 1:3, 2:5] = 8
    viewer.add_layer(labels)
    labels.save(str(tmp_path / "a.dcm"), plugin=PLUGIN)
    written = highdicom.seg.segread(tmp_path / "a.dcm")
    assert written.FrameOfReferenceUID == frame
    (again,) = viewer.open(tmp_path / "a.dcm", plugin=PLUGIN)
    assert isinstance(again, Labels)
    for index in np.argwhere(again.data):
        place = image.world_to_data(again.data_to_world(index))
        assert labels.data[tuple(np.round(place).astype(int))] == again.data[tuple(index)] == 8


def test_a_film_opens_without_being_decoded(viewer, tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(7):
            grey = np.full((48, 64, 3), index * 30, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    (layer,) = viewer.open(tmp_path / "a.mp4", plugin=PLUGIN)
    assert isinstance(layer.data, da.Array)
    assert layer.rgb
    assert layer.data.shape == (7, 48, 64, 3)
    viewer.dims.set_point(0, 5)
    assert np.asarray(layer.data[5]).mean() == pytest.approx(150, abs=4)


def test_other_folders_and_files_are_left_to_other_readers(tmp_path):
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / "a.dcm").write_text("no DICOM")
    assert medical_reader(str(tmp_path)) is None
    assert medical_reader(str(tmp_path / "a.dcm")) is None
    assert medical_reader([str(tmp_path / "a.nii"), str(tmp_path / "b.tif")]) is None
    assert film_reader(str(tmp_path / "a.tif")) is None


def test_the_formats_are_in_the_manifest(npe2pm_with_us):
    for ending in (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".dcm", ".mp4", ".avi", ".mov"):
        found = {one.command for one in npe2pm_with_us.iter_compatible_readers(f"a{ending}")}
        assert any(command.startswith(PLUGIN) for command in found), ending
    for ending in (".nii", ".nii.gz", ".nrrd", ".mha", ".dcm"):
        writer, path = npe2pm_with_us.get_writer(f"a{ending}", ["labels"])
        assert (writer.command, path) == ("napari-anysam.write_volume", f"a{ending}")
