"""Label files: what is written can be read, and whatever goes wrong the old file stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_anysam.images import label_files
from napari_anysam.images.files import read_image
from napari_anysam.images.label_files import (
    LabelFileError,
    check_output,
    open_label_stack,
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


@pytest.mark.parametrize("ending", STACK_ENDINGS)
def test_planes_come_in_any_order_and_later_ones_replace_earlier_ones(tmp_path, ending):
    path = tmp_path / f"labels{ending}"
    with open_label_stack(path, STACK.shape) as stack:
        stack.write(2, STACK[0])
        stack.write(0, STACK[0])
        stack.write(2, STACK[2])
        assert not path.exists()
    expected = STACK.copy()
    expected[[1, 3]] = 0
    np.testing.assert_array_equal(contents(path), expected)
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("ending", [".tif", ".zarr"])
@pytest.mark.parametrize("axis", [1, 2])
def test_planes_along_another_axis_keep_the_order_of_axes(tmp_path, ending, axis, monkeypatch):
    monkeypatch.setattr(label_files, "_SLAB_BYTES", 130)  # two pages at a time, then one
    path = tmp_path / f"labels{ending}"
    with open_label_stack(path, STACK.shape, axis=axis) as stack:
        for index in range(STACK.shape[axis]):
            stack.write(index, np.take(STACK, index, axis))
    np.testing.assert_array_equal(contents(path), STACK)


@pytest.mark.parametrize("ending", [".tif", ".zarr"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, LabelFileError])
def test_an_interrupted_stack_keeps_the_old_file_and_the_finished_planes(tmp_path, ending, error):
    path = write_labels(tmp_path / f"labels{ending}", STACK)
    with pytest.raises(error) as caught:
        _write_one_plane_and_raise(path, error)
    np.testing.assert_array_equal(contents(path), STACK)
    partial = tmp_path / f"labels.partial{ending}"
    assert caught.value.__notes__ == [f"The one finished plane is kept in {partial}."]
    np.testing.assert_array_equal(contents(partial)[1], STACK[3])
    assert not contents(partial)[[0, 2, 3]].any()
    assert names(tmp_path) == sorted([path.name, partial.name])


def _write_one_plane_and_raise(path, error):
    with open_label_stack(path, STACK.shape) as stack:
        stack.write(1, STACK[3])
        raise error


def test_an_error_before_the_first_plane_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), open_label_stack(tmp_path / "a.tif", (2, 3, 4)):
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_errors_of_the_callers_own_work_pass_unchanged(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="weights"),
        open_label_stack(tmp_path / "a.tif", (2, 3, 4)),
    ):
        raise FileNotFoundError("weights")


WRITE = """
import os, sys, numpy as np
from napari_anysam.images import label_files
path, how = sys.argv[1:]
rng = np.random.default_rng(0)
stack = rng.integers(0, 60000, (4, 64, 64))
fsync = os.fsync
def killed(*args):
    os.kill(os.getpid(), 9)
if how == "killed":
    os.fsync = killed
    label_files.write_labels(path, stack)
with label_files.open_label_stack(path, stack.shape) as labels:
    labels.write(0, stack[0])
    killed()
"""


@pytest.mark.parametrize("how", ["killed", "killed while streaming"])
def test_a_killed_process_leaves_the_old_file_intact(tmp_path, how):
    path = write_labels(tmp_path / "labels.tif", STACK)
    done = subprocess.run([sys.executable, "-c", WRITE, str(path), how], check=False)
    assert done.returncode == -signal.SIGKILL
    np.testing.assert_array_equal(contents(path), STACK)


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 300 kB, where this machine lets us."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


NOISE = np.random.default_rng(0).integers(0, 60000, (6, 256, 256)).astype(np.uint16)


@pytest.mark.parametrize("name", ["labels.tif", "labels.png", "labels.zarr"])
def test_a_full_disk_leaves_the_old_file_intact(small_disk, name):
    path = write_labels(small_disk / name, LABELS)
    with pytest.raises(LabelFileError, match="No space left") as caught:
        write_labels(path, NOISE.reshape(-1, 256))
    assert "make room" in str(caught.value)
    np.testing.assert_array_equal(contents(path), LABELS)
    assert names(small_disk) == [name]


@pytest.mark.parametrize("name", ["labels.tif", "labels.zarr"])
def test_a_disk_that_fills_up_while_planes_come_leaves_the_old_file_intact(small_disk, name):
    path = write_labels(small_disk / name, LABELS)
    with pytest.raises(LabelFileError, match="No space left"):
        _write_planes(path, NOISE)
    np.testing.assert_array_equal(contents(path), LABELS)
    assert not [name for name in names(small_disk) if "tmp" in name]


def _write_planes(path, planes):
    with open_label_stack(path, planes.shape) as stack:
        for index, plane in enumerate(planes):
            stack.write(index, plane)


def test_a_failing_last_step_leaves_the_old_file_intact(tmp_path, monkeypatch):
    path = write_labels(tmp_path / "labels.tif", LABELS)

    def refuse(source, target):
        raise PermissionError(13, "Permission denied", str(target))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(LabelFileError, match="Permission denied"):
        write_labels(path, LABELS + 1)
    np.testing.assert_array_equal(contents(path), LABELS)
    assert names(tmp_path) == ["labels.tif"]


def test_memory_does_not_grow_with_the_planes(tmp_path):
    resource = pytest.importorskip("resource")
    plane = np.zeros((1024, 1024), np.uint16)
    path = Path(tmp_path / "labels.tif")
    with open_label_stack(path, (80, *plane.shape)) as stack:
        stack.write(0, plane)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for index in range(80):
            plane[:] = index
            stack.write(index, plane)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 60_000  # kB; all planes together are 160 MB
