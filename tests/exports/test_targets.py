"""Targets: found by ending or name, never overwritten unasked, all or nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from label_scenes import names, plane

from medical_files import write_ct_series
from napari_anysam import export_labels
from napari_anysam.errors import LabelFileError
from napari_anysam.export.formats import FORMATS, find_format
from napari_anysam.images.files import read_image

LABELS = np.where(plane() == 70000, 200, plane())
IMAGE = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
TARGETS = {
    "ome-tiff": "a.tif",
    "ome-zarr": "a.zarr",
    "png": "a.png",
    "png-planes": "planes",
    "coco-rle": "a.json",
    "coco-polygons": "a.json",
    "yolo": "set",
    "csv": "a.csv",
    "cutouts": "cuts",
    "tracks": "tracks.csv",
    "ctc": "02_RES",
    "nifti": "a.nii.gz",
    "nrrd": "a.nrrd",
    "mha": "a.mha",
    "dicom-seg": "a.dcm",
}


@cache
def series_geometry():
    """Write the image that a DICOM-SEG refers to, and tell where it lies."""
    folder = Path(tempfile.mkdtemp())
    write_ct_series(folder, LABELS[None].astype(np.uint16))
    return read_image(folder).geometry


def export(name, folder, labels=LABELS, **options):
    planes = dict.fromkeys(("png-planes", "tracks", "ctc"), labels[None])
    image = IMAGE if name not in planes else None
    if name == "dicom-seg":
        options["geometry"] = series_geometry()
    return export_labels(
        planes.get(name, labels), folder / TARGETS[name], format=name, image=image, **options
    )


def contents(path):
    """Every file below a path with its bytes."""
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    return {str(one): one.read_bytes() for one in files}


def test_every_format_has_a_target_here():
    assert set(TARGETS) == set(FORMATS)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_there_is_replaced_only_when_asked(tmp_path, name):
    path = export(name, tmp_path)
    before = contents(path)
    assert before
    with pytest.raises(LabelFileError, match=r"exists already.*--force"):
        export(name, tmp_path)
    assert contents(path) == before
    export(name, tmp_path, np.where(LABELS == 3, 0, LABELS), overwrite=True)
    after = contents(path)
    assert after != before
    other = tmp_path / "other"
    other.mkdir()
    fresh = contents(export(name, other, np.where(LABELS == 3, 0, LABELS)))
    assert len(after) == len(fresh)
    assert {one.name for one in tmp_path.iterdir()} == {TARGETS[name], "other"}


@pytest.mark.parametrize("name", TARGETS)
def test_an_error_while_writing_leaves_what_was_there(tmp_path, name, monkeypatch):
    path = export(name, tmp_path)
    before = contents(path)

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr("pathlib.Path.rename", refuse)
    with pytest.raises(LabelFileError, match=r"Permission denied.*choose another folder"):
        export(name, tmp_path, LABELS + 1, overwrite=True)
    assert contents(path) == before
    assert [one.name for one in tmp_path.iterdir()] == [TARGETS[name]]


def _fills(file):
    try:
        return file.write(bytes(4096)) == 4096
    except OSError:
        return False


@pytest.mark.parametrize("name", TARGETS)
def test_a_full_disk_leaves_what_was_there(small_disk, name):
    path = export(name, small_disk)
    before = contents(path)
    with (small_disk / "filler").open("wb", buffering=0) as filler:
        while _fills(filler):
            pass
    noise = np.random.default_rng(0).integers(1, 255, LABELS.shape)
    with pytest.raises(LabelFileError, match=r"No space left.*make room"):
        export(name, small_disk, noise, overwrite=True)
    assert contents(path) == before
    assert {one.name for one in small_disk.iterdir()} == {TARGETS[name], "filler"}


KILLED = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
import test_targets
def die(*arguments):
    os.kill(os.getpid(), 9)
os.replace = os.fsync = Path.rename = die
test_targets.export(sys.argv[1], Path(sys.argv[2]), test_targets.LABELS[::-1], overwrite=True)
"""


@pytest.mark.parametrize("name", ["ome-tiff", "ome-zarr", "yolo", "csv"])
def test_a_killed_process_leaves_what_was_there(tmp_path, name):
    path = export(name, tmp_path)
    before = contents(path)
    here = Path(__file__).parent
    command = [sys.executable, "-c", KILLED, name, tmp_path, here, here.parent]
    done = subprocess.run(command, check=False)
    assert done.returncode == -signal.SIGKILL
    assert contents(path) == before


@pytest.mark.parametrize("name", [name for name in TARGETS if FORMATS[name].folder])
def test_a_folder_that_holds_anything_else_is_left_alone(tmp_path, name):
    path = tmp_path / TARGETS[name]
    path.mkdir()
    (path / "years of work.txt").write_text("precious")
    with pytest.raises(LabelFileError, match="left alone"):
        export(name, tmp_path, overwrite=True)
    assert names(path) == ["years of work.txt"]


@pytest.mark.parametrize("name", TARGETS)
def test_a_folder_and_a_file_do_not_replace_each_other(tmp_path, name):
    path = tmp_path / TARGETS[name]
    if FORMATS[name].folder:
        path.write_text("a file")
    else:
        path.mkdir()
    with pytest.raises(LabelFileError, match="choose another name"):
        export(name, tmp_path, overwrite=True)
    assert path.exists()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(LabelFileError, match=r"There is no folder .*nowhere; make it first"):
        export("csv", tmp_path / "nowhere")


def test_a_link_is_written_through(tmp_path):
    real = export("csv", tmp_path)
    (tmp_path / "link.csv").symlink_to(real)
    export_labels(LABELS * 0, tmp_path / "link.csv", overwrite=True)
    assert (tmp_path / "link.csv").is_symlink()
    assert real.read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.tif", "ome-tiff"),
        ("a.OME.TIFF", "ome-tiff"),
        ("a.zarr", "ome-zarr"),
        ("a.png", "png"),
        ("a.json", "coco-rle"),
        ("a.csv", "csv"),
    ],
)
def test_the_ending_tells_the_format(path, name):
    assert find_format(path).name == name


@pytest.mark.parametrize(
    ("path", "name", "message"),
    [
        ("a.gif", None, "no ending of an export"),
        ("folder", None, "or name the format .*yolo"),
        ("a.tif", "csv", "not the ending of csv; use .csv"),
        ("a", "ome-zarr", "not the ending of ome-zarr"),
    ],
)
def test_an_unknown_format_is_refused_with_the_known_ones(path, name, message):
    with pytest.raises(LabelFileError, match=message):
        find_format(path, name)


def test_memory_does_not_grow_with_the_planes(tmp_path):
    resource = pytest.importorskip("resource")
    import dask.array as da

    labels = da.zeros((60, 1024, 1024), dtype=np.uint16, chunks=(1, 1024, 1024))
    for name in ("a.tif", "a.zarr", "a.csv", "a.json"):
        export_labels(labels[:2], tmp_path / f"first {name}")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        export_labels(labels, tmp_path / name)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 60_000  # kB; all planes together are 126 MB


def test_five_dimensions_keep_their_order(tmp_path):
    import tifffile

    labels = np.arange(2 * 3 * 4 * 5 * 6).reshape(2, 3, 4, 5, 6)
    path = export_labels(labels, tmp_path / "a.tif")
    np.testing.assert_array_equal(tifffile.imread(path), labels)
    assert tifffile.TiffFile(path).series[0].axes == "TCZYX"
    folder = export_labels(labels, tmp_path / "set", format="yolo")
    assert names(folder / "labels")[-1] == "set_t0001_c0002_z0003.txt"


def test_the_largest_level_of_multiscale_labels_and_images_is_exported(tmp_path):
    image = np.arange(LABELS.size).reshape(LABELS.shape)
    export_labels([LABELS, LABELS[::2, ::2]], tmp_path / "a.csv", image=[image, image[::2, ::2]])
    export_labels(LABELS, tmp_path / "b.csv", image=image)
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
