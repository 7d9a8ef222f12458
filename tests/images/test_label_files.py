"""Label files: what is written can be read, and whatever goes wrong the old file stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from napari_anysam.images.files import read_image
from napari_anysam.images.label_files import (
    LabelFileError,
    check_output,
    write_labels,
)

LABELS = np.arange(5 * 6, dtype=np.int64).reshape(5, 6)
STACK = np.arange(4 * 5 * 6, dtype=np.int64).reshape(4, 5, 6)
STACK_ENDINGS = [".tif", ".tiff", ".ome.tif", ".zarr"]


def contents(path):
    return np.asarray(read_image(path).array[...])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("ending", [*STACK_ENDINGS, ".png", ".PNG"])
@pytest.mark.parametrize("before", [False, True])
def test_a_plane_comes_back(tmp_path, ending, before):
    path = tmp_path / f"labels{ending}"
    if before:
        write_labels(path, np.zeros((2, 2), bool))
    assert write_labels(path, LABELS) == path
    np.testing.assert_array_equal(contents(path), LABELS)
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("ending", STACK_ENDINGS)
def test_a_stack_comes_back(tmp_path, ending):
    path = write_labels(tmp_path / f"labels{ending}", STACK)
    np.testing.assert_array_equal(contents(path), STACK)


@pytest.mark.parametrize(
    ("ending", "most", "dtype"),
    [
        (".png", 255, "u1"),
        (".png", 256, "u2"),
        (".tif", 1, "u2"),
        (".tif", 65535, "u2"),
        (".tif", 65536, "u4"),
        (".zarr", 2**32 - 1, "u4"),
    ],
)
def test_the_pixel_type_is_the_smallest_that_holds_every_label(tmp_path, ending, most, dtype):
    path = write_labels(tmp_path / f"labels{ending}", np.array([[0, most]]))
    assert contents(path).dtype == dtype
    assert contents(path)[0, 1] == most


def test_tiff_says_its_axes_and_is_compressed(tmp_path):
    path = write_labels(tmp_path / "labels.tif", np.zeros((3, 200, 200), np.uint16))
    with tifffile.TiffFile(path) as file:
        assert file.series[0].axes == "ZYX"
    assert path.stat().st_size < 10_000


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("labels.jpg", LABELS, "use .tif, .png or .zarr"),
        ("labels", LABELS, "use .tif, .png or .zarr"),
        ("labels.png", STACK, "stack does not fit"),
        ("labels.png", LABELS + 70000, "does not fit"),
        ("labels.tif", LABELS - 1, "renumber"),
        ("labels.tif", np.zeros((2, 2)), "give integers"),
        ("labels.tif", np.zeros((0, 2), int), "give integers"),
        ("nowhere/labels.tif", LABELS, "There is no folder"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, labels, message):
    with pytest.raises(LabelFileError, match=message):
        write_labels(tmp_path / name, labels)
    assert names(tmp_path) == []


def test_a_folder_that_is_no_zarr_array_is_left_alone(tmp_path):
    precious = tmp_path / "results.zarr"
    precious.mkdir()
    (precious / "notes.txt").write_text("years of work")
    with pytest.raises(LabelFileError, match="left alone"):
        write_labels(precious, LABELS)
    assert names(precious) == ["notes.txt"]


def test_a_folder_that_is_not_writable_is_named(tmp_path, monkeypatch):
    # Root may write everywhere, so the answer of the system is what is replaced here.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(LabelFileError, match="not writable"):
        check_output(tmp_path / "labels.tif")


def test_a_link_is_written_through(tmp_path):
    target = tmp_path / "real.tif"
    write_labels(target, np.zeros((2, 2), int))
    (tmp_path / "link.tif").symlink_to(target)
    write_labels(tmp_path / "link.tif", LABELS)
    assert (tmp_path / "link.tif").is_symlink()
    np.testing.assert_array_equal(contents(target), LABELS)


WRITE = """
import os, sys, numpy as np
path = sys.argv[1]
from napari_anysam.images import label_files
rng = np.random.default_rng(0)
stack = rng.integers(0, 60000, (4, 64, 64))
def killed(*args):
    os.kill(os.getpid(), 9)
os.fsync = killed
label_files.write_labels(path, stack)
"""


def test_a_killed_process_leaves_the_old_file_intact(tmp_path):
    path = write_labels(tmp_path / "labels.tif", STACK)
    done = subprocess.run([sys.executable, "-c", WRITE, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    np.testing.assert_array_equal(contents(path), STACK)


NOISE = np.random.default_rng(0).integers(0, 60000, (6, 256, 256)).astype(np.uint16)


@pytest.mark.parametrize("name", ["labels.tif", "labels.png", "labels.zarr"])
def test_a_full_disk_leaves_the_old_file_intact(small_disk, name):
    path = write_labels(small_disk / name, LABELS)
    with pytest.raises(LabelFileError, match="No space left") as caught:
        write_labels(path, NOISE.reshape(-1, 256))
    assert "make room" in str(caught.value)
    np.testing.assert_array_equal(contents(path), LABELS)
    assert names(small_disk) == [name]


def test_a_failing_last_step_leaves_the_old_file_intact(tmp_path, monkeypatch):
    path = write_labels(tmp_path / "labels.tif", LABELS)

    def refuse(source, target):
        raise PermissionError(13, "Permission denied", str(target))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(LabelFileError, match="Permission denied"):
        write_labels(path, LABELS + 1)
    np.testing.assert_array_equal(contents(path), LABELS)
    assert names(tmp_path) == ["labels.tif"]
