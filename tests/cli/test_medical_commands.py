"""The commands on medical volumes and films: geometry in, the same geometry out."""

from __future__ import annotations

import csv

import av
import numpy as np
import pytest
import SimpleITK
from cli_helpers import discs, iou

from label_planes import whole
from medical_files import SPACING, geometry_of, itk_image, write_ct_series
from napari_anysam.images.files import read_image, read_labels
from napari_anysam.images.label_stack import open_label_stack


@pytest.fixture
def ball(tmp_path):
    """Write discs as an oblique NIfTI; returns the image of SimpleITK and its truth."""
    stack, truth = discs()
    image = itk_image(stack)
    SimpleITK.WriteImage(image, str(tmp_path / "volume.nii.gz"))
    return tmp_path / "volume.nii.gz", image, truth


def on_plane(plane):
    return {"points": [[44, 50]], "plane": plane}


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_propagate_writes_labels_with_the_geometry_of_the_volume(
    anysam, ball, prompts, tmp_path, ending
):
    path, image, truth = ball
    out = tmp_path / f"labels{ending}"
    given = prompts(on_plane(2))
    assert anysam("propagate", path, "--prompts", given, "-o", out, "-q")[0] == 0
    written = SimpleITK.ReadImage(str(out))
    np.testing.assert_allclose(geometry_of(written), geometry_of(image), atol=1e-5)
    assert iou(SimpleITK.GetArrayFromImage(written) == 1, truth) > 0.8


def test_a_dicom_series_gives_a_dicom_seg(anysam, prompts, tmp_path):
    stack, truth = discs(count=3)
    write_ct_series(tmp_path / "ct", stack)
    out = tmp_path / "labels.dcm"
    given = prompts(on_plane(1))
    assert anysam("propagate", tmp_path / "ct", "--prompts", given, "-o", out, "-q")[0] == 0
    found = read_labels(out)
    assert iou(np.asarray(found.array) == 1, truth) > 0.8
    np.testing.assert_allclose(
        found.geometry.affine, read_image(tmp_path / "ct").geometry.affine, atol=1e-4
    )


def test_a_dicom_seg_in_which_nothing_was_found_is_written_with_a_warning(
    anysam, prompts, tmp_path
):
    stack, _ = discs(count=3)
    stack[1:] = np.random.default_rng(1).normal(200, 20, stack[1:].shape)
    write_ct_series(tmp_path / "ct", stack)
    out, given = tmp_path / "labels.dcm", prompts({"plane": 0, "points": [[44, 50]]})
    code, told, err = anysam(
        *("propagate", tmp_path / "ct", "--prompts", given, "-o", out, "-q", "--start", 1)
    )
    assert (code, told) == (0, f"{out}\n")
    assert "warning: object 1 has no pixel in the result" in err
    assert not np.asarray(read_labels(out).array).any()
    assert not list(tmp_path.glob("*.unfinished"))


@pytest.mark.parametrize(
    "command",
    [
        ("propagate", "--prompts", "prompts.json"),
        ("propagate", "--prompts", "prompts.json", "--consensus"),
        ("segment", "--at", "Z=2", "--prompts", "flat.json"),
        ("lesion", "--slice", 2, "--box", 20, 26, 69, 75),
    ],
)
def test_a_dicom_seg_of_something_else_is_refused_before_work_begins(
    anysam, ball, prompts, monkeypatch, command
):
    path, _, _ = ball
    monkeypatch.chdir(path.parent)
    prompts(on_plane(2))
    prompts(name="flat.json")
    name, *options = command
    # A model that does not exist would be what is told, if it were loaded first.
    code, _, err = anysam(name, path, *options, "-o", "labels.dcm", "-q", "--model", "none.pt")
    assert code == 1
    assert "refers to a DICOM series" in err
    assert not list(path.parent.glob("labels*"))


def test_consensus_writes_labels_with_the_geometry_of_the_volume(anysam, prompts, tmp_path):
    stack, truth = (one[:, 26:64, 30:68] for one in discs(count=3, radius=12))
    image = itk_image(stack)
    SimpleITK.WriteImage(image, str(tmp_path / "volume.mha"))
    given, out = prompts({"plane": 1, "box": [6, 7, 32, 33]}), tmp_path / "labels.nrrd"
    code, _, err = anysam(
        *("propagate", tmp_path / "volume.mha", "--prompts", given, "-o", out, "-q", "--consensus")
    )
    assert code == 0, err
    written = SimpleITK.ReadImage(str(out))
    np.testing.assert_allclose(geometry_of(written), geometry_of(image), atol=1e-5)
    assert iou(SimpleITK.GetArrayFromImage(written) == 1, truth) > 0.5


def test_one_plane_of_a_dicom_series_gives_a_dicom_seg_of_its_file(anysam, prompts, tmp_path):
    stack, truth = discs(count=3)
    write_ct_series(tmp_path / "ct", stack)
    out = tmp_path / "labels.dcm"
    code, _, err = anysam(
        *("segment", tmp_path / "ct", "--at", "Z=1", "--prompts", prompts(), "-o", out, "-q")
    )
    assert code == 0, err
    found, whole = read_labels(out), read_image(tmp_path / "ct").geometry
    assert iou(np.asarray(found.array) == 1, truth[1]) > 0.8
    np.testing.assert_allclose(found.geometry.origin, whole.section(0, 1).origin, atol=1e-4)


def test_zarr_labels_are_measured_in_the_units_of_the_volume(anysam, ball, prompts, tmp_path):
    path, image, _ = ball
    labels, table = tmp_path / "labels.zarr", tmp_path / "objects.csv"
    given = prompts(on_plane(2))
    assert anysam("propagate", path, "--prompts", given, "-o", labels, "-q")[0] == 0
    assert anysam("export", labels, "-o", table)[0] == 0
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    voxels = int((read_labels(labels).array[...] == 1).sum())
    assert float(row["volume_ml"]) == pytest.approx(voxels * np.prod(SPACING) / 1000)
    volume = tmp_path / "labels.nii.gz"
    assert anysam("export", labels, "--image", path, "-o", volume)[0] == 0
    written = SimpleITK.ReadImage(str(volume))
    np.testing.assert_allclose(geometry_of(written), geometry_of(image), atol=1e-5)


def test_labels_without_units_are_measured_in_those_of_the_volume(anysam, ball, tmp_path):
    path, _, truth = ball
    labels, table = tmp_path / "labels.zarr", tmp_path / "objects.csv"
    with open_label_stack(labels, truth.shape) as stack:
        for index, plane in enumerate(truth):
            stack.write(index, whole(plane))
    assert anysam("export", labels, "--image", path, "-o", table)[0] == 0
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    expected = truth.sum() * np.prod(SPACING) / 1000
    assert float(row["volume_ml"]) == pytest.approx(expected, rel=1e-5)


def test_segment_takes_one_dicom_file(anysam, prompts, tmp_path):
    stack, truth = discs(count=2)
    write_ct_series(tmp_path / "ct", stack[:1])
    (file,) = (tmp_path / "ct").iterdir()
    out = tmp_path / "labels.nrrd"
    code, _, _ = anysam(
        "segment", file.rename(file.with_suffix(".dcm")), "--prompts", prompts(), "-o", out, "-q"
    )
    assert code == 0
    assert iou(np.asarray(read_labels(out).array) == 1, truth[0]) > 0.8


def test_a_film_is_followed(anysam, prompts, tmp_path):
    stack, truth = discs(count=3)
    with av.open(str(tmp_path / "film.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
        for plane in stack:
            grey = np.clip(plane // 4, 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.stack([grey] * 3, -1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    out, given = tmp_path / "labels.tif", prompts(on_plane(0))
    film = tmp_path / "film.avi"
    assert anysam("propagate", film, "--prompts", given, "-o", out, "-q")[0] == 0
    assert iou(read_image(out).array == 1, truth) > 0.8


class TestLesion:
    def test_a_recist_line_gives_labels_and_measures(self, anysam, ball):
        path, image, truth = ball
        out = path.with_name("lesion.nii.gz")
        line = ("--recist", 44, 28, 44, 72)
        code, stdout, err = anysam(
            "lesion", path, "--slice", 2, *line, "--window", 100, 1000, "-o", out
        )
        assert (code, stdout) == (0, f"{out}\n")
        written = SimpleITK.ReadImage(str(out))
        np.testing.assert_allclose(geometry_of(written), geometry_of(image), atol=1e-5)
        found = SimpleITK.GetArrayFromImage(written) == 1
        assert iou(found, truth) > 0.8
        volume = found.sum() * np.prod(SPACING) / 1000
        assert f"anysam: {volume:.2f} mL" in err
        assert "mm on plane" in err

    def test_zarr_labels_have_the_sizes_of_voxels(self, anysam, ball, tmp_path):
        out = tmp_path / "lesion.zarr"
        code, _, err = anysam(
            *("lesion", ball[0], "--slice", 2, "--box", 20, 26, 69, 75, "-o", out, "-q")
        )
        assert code == 0, err
        labels = read_labels(out)
        assert (labels.axes, labels.units) == ("ZYX", ("millimeter",) * 3)
        assert labels.scale == pytest.approx(SPACING[::-1])
        assert iou(labels.array[...] == 1, ball[2]) > 0.8

    def test_one_time_point_of_a_series_of_volumes(self, anysam, tmp_path):
        stack, truth = discs(count=3)
        times = [itk_image(np.full_like(stack, 200)), itk_image(stack)]
        SimpleITK.WriteImage(SimpleITK.JoinSeries(times, 0.0, 1.5), str(tmp_path / "a.nii.gz"))
        out = tmp_path / "b.nii.gz"
        code, _, err = anysam(
            *("lesion", tmp_path / "a.nii.gz", "--at", "T=1", "--slice", 1),
            *("--box", 20, 26, 69, 75, "-o", out),
        )
        assert code == 0, err
        assert " mL" in err
        written = SimpleITK.ReadImage(str(out))
        np.testing.assert_allclose(geometry_of(written), geometry_of(times[1]), atol=1e-5)
        assert iou(SimpleITK.GetArrayFromImage(written) == 1, truth) > 0.8

    def test_a_named_window_and_a_box_along_another_axis(self, anysam, tmp_path):
        stack, truth = discs()
        hounsfield = (stack.astype(np.int32) - 900).astype(np.int16)
        SimpleITK.WriteImage(itk_image(np.moveaxis(hounsfield, 0, 2)), str(tmp_path / "a.mha"))
        out = tmp_path / "b.mha"
        code, _, _ = anysam(
            "lesion", tmp_path / "a.mha", "--slice", 2, "--axis", 2, "--box", 20, 26, 69, 75,
            "--window", "lung", "-o", out,
        )  # fmt: skip
        assert code == 0
        assert iou(np.moveaxis(read_labels(out).array, 2, 0) == 1, truth) > 0.8

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--recist", 1, 1, 500, 1), "lies outside the plane"),
            (("--box", 1, 1, 9, 9, "--window", "chest"), "There is no window 'chest'"),
            (("--box", 1, 1, 9, 9, "--axis", 5), "axis"),
        ],
    )
    def test_nonsense_is_told_in_one_line(self, anysam, ball, arguments, message):
        path, _, _ = ball
        out = path.with_name("o.nrrd")
        code, _, err = anysam("lesion", path, "--slice", 2, *arguments, "-o", out)
        assert code == 1
        assert message in err
        assert err.count("\n") == 1
        assert not out.exists()

    def test_a_box_or_a_line_is_required(self, anysam, ball):
        path, _, _ = ball
        assert anysam("lesion", path, "--slice", 2, "-o", path.with_name("o.nrrd"))[0] == 2
