"""Label stacks that grow: readable at any moment, whole at the end, gone on with after a kill."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from label_planes import whole
from napari_anysam.errors import LabelFileError
from napari_anysam.images import label_stack, plane_chunks
from napari_anysam.images.files import read_image
from napari_anysam.images.label_files import write_labels
from napari_anysam.images.label_stack import open_label_stack, unfinished_folder

STACK = np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6)
STACK_ENDINGS = [".tif", ".ome.tif", ".zarr"]
NOISE = np.random.default_rng(0).integers(0, 60000, (6, 256, 256)).astype(np.uint16)


def contents(path):
    return np.asarray(read_image(path).array[...])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_planes(path, planes, indices, **options):
    with open_label_stack(path, planes.shape, **options) as stack:
        for index in indices:
            stack.write(index, whole(planes[index]))


@pytest.mark.parametrize("ending", STACK_ENDINGS)
def test_planes_come_in_any_order_and_later_ones_replace_earlier_ones(tmp_path, ending):
    path = tmp_path / f"labels{ending}"
    with open_label_stack(path, STACK.shape) as stack:
        stack.write(2, whole(STACK[0]))
        stack.write(0, whole(STACK[0]))
        stack.write(2, whole(STACK[2]))
        assert not path.exists()
    expected = STACK.copy()
    expected[[1, 3]] = 0
    np.testing.assert_array_equal(contents(path), expected)
    assert names(tmp_path) == [path.name]


def test_zarr_labels_say_the_sizes_of_their_pixels(tmp_path):
    sizes = {"axes": "tyx", "scale": (1.5, 0.2, 0.3), "units": (None, "micrometer", "micrometer")}
    write_planes(tmp_path / "labels.zarr", STACK, range(4), **sizes)
    found = read_image(tmp_path / "labels.zarr")
    assert (found.axes, found.scale, found.units) == ("TYX", sizes["scale"], sizes["units"])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_large_plane_is_written_and_looked_through_in_tiles(tmp_path, axis, monkeypatch):
    monkeypatch.setattr(plane_chunks, "LARGEST_CHUNK", 19)
    monkeypatch.setattr(plane_chunks, "CHUNK_SIDE", 3)
    planes = np.moveaxis(STACK, axis, 0)
    asked = []

    def part_of(index):
        def part(rows, columns):
            asked.append(planes[index, rows, columns].shape)
            return planes[index, rows, columns]

        return part

    path = tmp_path / "labels.zarr"
    with open_label_stack(path, STACK.shape, axis=axis) as stack:
        for index in range(len(planes)):
            stack.write(index, part_of(index))
        assert stack.missing([5, STACK.max(), 1000]) == {1000}
    np.testing.assert_array_equal(contents(path), STACK)
    assert np.max(asked) == 3
    assert sum(height * width for height, width in asked) == STACK.size


def test_a_plane_of_ordinary_size_is_written_at_once(tmp_path):
    asked = []
    with open_label_stack(tmp_path / "labels.tif", STACK.shape) as stack:
        stack.write(2, lambda *part: (asked.append(part), STACK[2][part])[1])
    assert asked == [(slice(0, 5), slice(0, 6))]
    np.testing.assert_array_equal(contents(tmp_path / "labels.tif")[2], STACK[2])


@pytest.mark.parametrize("ending", [".tif", ".nii.gz"])
def test_large_planes_are_refused_by_files_that_take_them_whole(tmp_path, ending, monkeypatch):
    monkeypatch.setattr(plane_chunks, "LARGEST_CHUNK", 29)
    path = tmp_path / f"labels{ending}"
    with pytest.raises(LabelFileError, match=r"planes of 5 x 6 pixels.*name a \.zarr folder"):
        write_planes(path, STACK, range(4))
    assert not names(tmp_path)


@pytest.mark.parametrize("ending", [".tif", ".zarr"])
@pytest.mark.parametrize("axis", [1, 2])
def test_planes_along_another_axis_keep_the_order_of_axes(tmp_path, ending, axis, monkeypatch):
    monkeypatch.setattr(label_stack, "_SLAB_BYTES", 130)  # two pages at a time, then one
    path = tmp_path / f"labels{ending}"
    with open_label_stack(path, STACK.shape, axis=axis) as stack:
        for index in range(STACK.shape[axis]):
            stack.write(index, whole(np.take(STACK, index, axis)))
    np.testing.assert_array_equal(contents(path), STACK)


@pytest.mark.parametrize("ending", [".tif", ".zarr"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, LabelFileError])
def test_an_interrupted_stack_keeps_the_old_file_and_the_finished_planes(tmp_path, ending, error):
    path = write_labels(tmp_path / f"labels{ending}", STACK)

    def interrupted():
        with open_label_stack(path, STACK.shape) as stack:
            stack.write(1, whole(STACK[3]))
            raise error

    with pytest.raises(error) as caught:
        interrupted()
    np.testing.assert_array_equal(contents(path), STACK)
    kept = unfinished_folder(path) / "labels.zarr"
    assert caught.value.__notes__ == [
        f"The finished planes are kept in {kept}; --resume goes on behind them."
    ]
    np.testing.assert_array_equal(contents(kept)[1], STACK[3])
    assert not contents(kept)[[0, 2, 3]].any()


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


KILLED = """
import os, sys, numpy as np
from napari_anysam.images.label_stack import open_label_stack
stack = np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6)
with open_label_stack(sys.argv[1], stack.shape) as labels:
    labels.write(0, lambda *part: stack[0][part])
    labels.write(1, lambda *part: 0 * stack[1][part])
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def killed(tmp_path):
    """Return a stack whose process was killed behind its second plane; an old file is there."""
    path = write_labels(tmp_path / "labels.tif", STACK[::-1])
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    return path


def test_a_killed_process_leaves_the_old_file_and_a_valid_prefix(killed):
    np.testing.assert_array_equal(contents(killed), STACK[::-1])
    prefix = contents(unfinished_folder(killed) / "labels.zarr")
    np.testing.assert_array_equal(prefix[0], STACK[0])
    assert not prefix[1:].any()


def test_a_stack_goes_on_where_a_killed_process_left_it(killed):
    write_planes(killed, STACK, [1, 2, 3], before="resume")
    np.testing.assert_array_equal(contents(killed), STACK)
    assert names(killed.parent) == [killed.name]


def test_an_unfinished_stack_is_named_and_left_alone(killed):
    with pytest.raises(LabelFileError, match="go on with --resume, or begin anew with --restart"):
        write_planes(killed, STACK, [3])
    assert (unfinished_folder(killed) / "labels.zarr").is_dir()


def test_a_stack_begins_anew_where_asked(killed):
    (unfinished_folder(killed) / "state").write_bytes(b"of the old run")
    with open_label_stack(killed, STACK.shape, before="restart") as stack:
        assert not (stack.folder / "state").exists()
        stack.write(3, whole(STACK[3]))
    assert not contents(killed)[:3].any()


def test_what_tells_of_labels_that_are_gone_is_not_gone_on_with(killed):
    """As after a kill while the finished labels take their place."""
    folder = unfinished_folder(killed)
    (folder / "state").write_bytes(b"behind the last plane")
    (folder / "labels.zarr").rename(folder / "discarded.zarr")
    with open_label_stack(killed, STACK.shape, before="resume") as stack:
        assert names(stack.folder) == ["labels.zarr", "lock"]
        stack.write(3, whole(STACK[3]))
    assert not contents(killed)[:3].any()


@pytest.mark.parametrize(("shape", "dtype"), [((4, 5, 7), np.uint16), ((4, 5, 6), np.uint32)])
def test_an_unfinished_stack_of_another_kind_is_refused(killed, shape, dtype):
    with (
        pytest.raises(LabelFileError, match="begin anew with --restart"),
        open_label_stack(killed, shape, dtype, before="resume"),
    ):
        pass
    np.testing.assert_array_equal(contents(unfinished_folder(killed) / "labels.zarr")[0], STACK[0])


def test_two_processes_do_not_write_one_stack(tmp_path):
    path = tmp_path / "labels.zarr"
    with open_label_stack(path, STACK.shape) as stack:
        with (
            pytest.raises(LabelFileError, match="Another process is writing"),
            open_label_stack(path, STACK.shape, before="resume"),
        ):
            pass
        stack.write(0, whole(STACK[0]))
    assert names(tmp_path) == [path.name]


def test_it_knows_which_objects_are_missing(tmp_path):
    with open_label_stack(tmp_path / "labels.zarr", STACK.shape) as stack:
        stack.write(2, whole(STACK[2]))
        assert stack.missing([7, int(STACK[2].max())]) == {7}
        assert not stack.missing([])


def test_a_zarr_is_ome_zarr_with_the_images_pixel_size(tmp_path):
    path = tmp_path / "labels.zarr"
    with open_label_stack(path, STACK.shape, axes="tyx", scale=(2, 0.5, 0.25)) as stack:
        stack.write(0, whole(STACK[0]))
    image = read_image(path)
    assert (image.axes, image.scale) == ("TYX", (2, 0.5, 0.25))
    assert "image-label" in zarr.open_group(path, mode="r").attrs["ome"]
    write_planes(path, STACK, range(4))  # and may be replaced
    np.testing.assert_array_equal(contents(path), STACK)


@pytest.mark.parametrize("name", ["labels.tif", "labels.zarr"])
def test_a_disk_that_fills_up_while_planes_come_leaves_the_old_file_intact(small_disk, name):
    path = write_labels(small_disk / name, STACK[0])
    with pytest.raises(LabelFileError, match="No space left"):
        write_planes(path, NOISE, range(6))
    np.testing.assert_array_equal(contents(path), STACK[0])
    assert not [name for name in names(small_disk) if "tmp" in name]


def test_memory_does_not_grow_with_the_planes(tmp_path):
    resource = pytest.importorskip("resource")
    plane = np.zeros((1024, 1024), np.uint16)
    path = Path(tmp_path / "labels.tif")
    with open_label_stack(path, (80, *plane.shape)) as stack:
        stack.write(0, whole(plane))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for index in range(80):
            plane[:] = index
            stack.write(index, whole(plane))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 60_000  # kB; all planes together are 160 MB
