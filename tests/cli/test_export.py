"""``anysam export``: files in, files out, one line for every error."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_anysam import export_labels
from napari_anysam.images.files import read_image

LABELS = np.zeros((3, 20, 30), np.uint16)
LABELS[:2, 2:8, 3:9] = 4
LABELS[1:, 10:15, 20:30] = 12


@pytest.fixture
def files(tmp_path):
    """Write the labels in every kind of file that the command reads."""
    tifffile.imwrite(tmp_path / "labels.tif", LABELS)
    export_labels(LABELS, tmp_path / "ome.tif", scale=(2, 0.5, 0.5), units="um")
    export_labels(LABELS, tmp_path / "ome.zarr", scale=(2, 0.5, 0.5), units="um")
    np.save(tmp_path / "labels.npy", LABELS)
    zarr.save_array(tmp_path / "plain.zarr", LABELS)
    export_labels(LABELS[1], tmp_path / "plane.png", indexed=True)
    Image.fromarray(LABELS[1]).save(tmp_path / "grey.png")
    return tmp_path


@pytest.mark.parametrize("name", ["labels.tif", "ome.tif", "ome.zarr", "labels.npy", "plain.zarr"])
def test_every_kind_of_file_is_read(anysam, files, name):
    out = files / "out.ome.tif"
    assert anysam("export", files / name, "-o", out) == (0, f"{out}\n", "")
    np.testing.assert_array_equal(tifffile.imread(out), LABELS)


@pytest.mark.parametrize("name", ["plane.png", "grey.png"])
def test_values_of_a_png_are_ids_with_a_colour_table_too(anysam, files, name):
    code, _, _ = anysam("export", files / name, "-o", files / "out.zarr")
    assert code == 0
    np.testing.assert_array_equal(read_image(files / "out.zarr").array[...], LABELS[1])


@pytest.mark.parametrize("name", ["ome.tif", "ome.zarr"])
@pytest.mark.parametrize("out", ["out.tif", "out.zarr"])
def test_pixel_sizes_go_from_file_to_file(anysam, files, name, out):
    assert anysam("export", files / name, "-o", files / out)[0] == 0
    found = read_image(files / out)
    assert found.scale == (2, 0.5, 0.5)
    assert set(found.units) in ({"µm"}, {"micrometer"})


def test_pixel_sizes_of_the_file_measure_the_table(anysam, files):
    assert anysam("export", files / "ome.zarr", "-o", files / "out.csv")[0] == 0
    with (files / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["size"], row["size_unit"]) for row in rows] == [
        ("4", "36.0", "micrometer^3"),
        ("12", "50.0", "micrometer^3"),
    ]


def test_given_sizes_and_axes_win(anysam, files):
    out = files / "out.csv"
    answer = anysam(
        *("export", files / "ome.tif", "-o", out, "--axes", "TYX"),
        *("--scale", "3", "4", "--units", "nm"),
    )
    assert answer[0] == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    first = rows[0]
    assert (first["t"], first["size"], first["size_unit"]) == ("0", "432.0", "nanometer^2")


def test_classes_and_image_reach_the_format(anysam, files):
    (files / "classes.csv").write_text("id,name,score\n4,cell,0.5\n12,debris,\n")
    tifffile.imwrite(files / "image.tif", LABELS * 100)
    code, out, _ = anysam(
        *("export", files / "labels.tif", "-o", files / "set", "--format", "yolo", "--json"),
        *("--image", files / "image.tif", "--classes", files / "classes.csv"),
        *("--class-names", "debris", "cell", "--contrast", "0", "1200"),
    )
    assert code == 0
    assert json.loads(out) == {
        "path": str(files / "set"),
        "format": "yolo",
        "shape": [3, 20, 30],
    }
    text = (files / "set" / "labels" / "set_z0001.txt").read_text()
    assert [line.split()[0] for line in text.splitlines()] == ["1", "0"]
    picture = np.asarray(Image.open(files / "set" / "images" / "set_z0001.png"))
    assert picture[12, 25].tolist() == [255, 255, 255]


def test_channels_of_the_image_are_taken_from_its_file(anysam, files):
    image = np.stack([LABELS, LABELS * 2], axis=1)
    tifffile.imwrite(files / "image.tif", image, ome=True, metadata={"axes": "ZCYX"})
    arguments = ("export", files / "labels.tif", "-o", files / "out.csv")
    assert anysam(*arguments, "--image", files / "image.tif")[0] == 0
    with (files / "out.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["intensity_max_1"] == "8.0"


def test_a_plane_is_named_after_its_image(anysam, files):
    Image.fromarray(LABELS[1].astype(np.uint8)).save(files / "scan.png")
    arguments = ("export", files / "plane.png", "-o", files / "out.json")
    assert anysam(*arguments, "--image", files / "scan.png")[0] == 0
    (record,) = json.loads((files / "out.json").read_text())["images"]
    assert record["file_name"] == "scan.png"


@pytest.mark.parametrize("name", ["labels.tif", "labels.npy"])
def test_tracks_and_a_lineage_go_out_of_a_series(anysam, files, name):
    (files / "lineage.csv").write_text("child,parent\n12,4\n")
    arguments = ("export", files / name, "--lineage", files / "lineage.csv", "--format")
    assert anysam(*arguments, "ctc", "-o", files / "01_RES")[0] == 0
    assert (files / "01_RES" / "res_track.txt").read_text() == "4 0 0 0\n12 1 2 4\n13 1 1 4\n"
    assert anysam(*arguments, "tracks", "-o", files / "tracks.csv")[0] == 0
    with (files / "tracks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["t"], row["parent"]) for row in rows] == [
        *(("4", "0", "0"), ("4", "1", "0"), ("12", "1", "4"), ("12", "2", "4"))
    ]


def test_a_stack_is_no_series_unless_somebody_says_so(anysam, files):
    arguments = ("export", files / "ome.tif", "-o", files / "01_RES", "--format", "ctc")
    is_one_line_error(anysam(*arguments), "no time series", "--axes")
    assert anysam(*arguments, "--axes", "TYX")[0] == 0


def is_one_line_error(answer, *words):
    code, out, err = answer
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert err.startswith("anysam: error: ")
    for word in words:
        assert word in err


def test_an_earlier_export_is_replaced_with_force(anysam, files):
    arguments = ("export", files / "labels.tif", "-o", files / "ome.zarr")
    is_one_line_error(anysam(*arguments), "exists already", "--force")
    assert anysam(*arguments, "--force")[0] == 0


def test_an_input_is_never_replaced(anysam, files):
    answer = anysam("export", files / "ome.zarr", "-o", files / "ome.zarr", "--force")
    is_one_line_error(answer, "is also an input")


@pytest.mark.parametrize(
    ("name", "words"),
    [("gone.tif", "There is no file"), ("colour.png", "colours"), ("floats.npy", "float64")],
)
def test_what_holds_no_labels_is_refused(anysam, files, name, words):
    Image.new("RGB", (4, 4)).save(files / "colour.png")
    np.save(files / "floats.npy", np.zeros((4, 4)))
    is_one_line_error(anysam("export", files / name, "-o", files / "out.tif"), words)


def test_an_unknown_format_names_the_known_ones(anysam, files):
    arguments = ("export", files / "labels.tif", "-o", files / "out", "--format", "gif")
    is_one_line_error(anysam(*arguments), "yolo", "coco-rle")


def test_a_level_that_a_png_has_not_is_refused(anysam, files):
    arguments = ("export", files / "plane.png", "-o", files / "out.tif", "--level", "1")
    is_one_line_error(anysam(*arguments), "level")
