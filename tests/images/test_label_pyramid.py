"""Labels on disk, written by window: all levels stay in step with the first."""

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_anysam.errors import ImageError, LabelFileError
from napari_anysam.images.label_pyramid import CHUNK, LabelPyramid
from napari_anysam.segmentation.labels import write_mask


@pytest.fixture
def pyramid(tmp_path):
    return LabelPyramid.create(tmp_path / "labels.zarr", (2501, 1303))


def levels_agree(pyramid):
    first = pyramid.levels[0][:]
    for number, level in enumerate(pyramid.levels):
        np.testing.assert_array_equal(level[:], first[..., :: 2**number, :: 2**number])


@given(data=st.data())
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_window_is_written_the_coarser_levels_have_every_second_pixel(pyramid, data):
    rows, columns = (
        slice(*sorted((data.draw(st.integers(0, size)), data.draw(st.integers(0, size)))))
        for size in pyramid.shape
    )
    height, width = rows.stop - rows.start, columns.stop - columns.start
    before = pyramid[:, :]
    values = np.arange(height * width, dtype=np.int32).reshape(height, width) % 9999
    pyramid[rows, columns] = values
    before[rows, columns] = values
    np.testing.assert_array_equal(pyramid[:, :], before)
    levels_agree(pyramid)


def test_one_value_fills_a_window(pyramid):
    pyramid[511:1027, 3:1303] = 7
    assert (pyramid[511:1027, 3:1303] == 7).all()
    levels_agree(pyramid)


def test_leading_axes_are_not_thinned(tmp_path):
    pyramid = LabelPyramid.create(tmp_path / "stack.zarr", (3, 2100, 40))
    pyramid[1, 1000:2000, 5:30] = 4
    assert [level.shape for level in pyramid.levels] == [(3, 2100, 40), (3, 1050, 20), (3, 525, 10)]
    levels_agree(pyramid)
    assert not pyramid[0, :, :].any()


def test_a_huge_one_takes_no_room_until_it_is_written(tmp_path):
    pyramid = LabelPyramid.create(tmp_path / "huge.zarr", (100_000, 100_000))
    write_mask(pyramid, (), (60_000, 70_000), np.ones((CHUNK, CHUNK), bool), 3)
    chunks = [file for file in (pyramid.path / "0").rglob("*") if file.is_file()]
    assert len(chunks) <= 1 + 4
    assert sum(file.stat().st_size for file in pyramid.path.rglob("*") if file.is_file()) < 10**6
    assert (pyramid[60_000 : 60_000 + CHUNK, 70_000 : 70_000 + CHUNK] == 3).all()


def test_an_edit_is_undone_on_all_levels(pyramid):
    edit = write_mask(pyramid, (), (500, 500), np.ones((700, 700), bool), 3)
    edit.undo(pyramid)
    assert not any(level[:].any() for level in pyramid.levels)
    edit.redo(pyramid)
    assert np.count_nonzero(pyramid[:, :]) == 700**2
    levels_agree(pyramid)


def test_it_is_found_again_with_its_largest_id(pyramid):
    pyramid[:10, :10] = 12
    pyramid[:10, :10] = 0
    again = LabelPyramid(pyramid.path)
    assert again.shape == (2501, 1303)
    assert again.largest_id == 12


def test_other_programs_read_it_as_an_ome_zarr_label_image(pyramid):
    ome = zarr.open_group(pyramid.path, mode="r").attrs["ome"]
    assert ome["image-label"] == {}
    scales = [
        dataset["coordinateTransformations"][0]["scale"]
        for dataset in ome["multiscales"][0]["datasets"]
    ]
    assert scales == [[1, 1], [2, 2], [4, 4]]


def test_what_is_there_is_never_replaced(pyramid):
    with pytest.raises(LabelFileError, match="another name"):
        LabelPyramid.create(pyramid.path, (10, 10))
    assert pyramid.shape == (2501, 1303)


@pytest.mark.parametrize("kind", ["nothing", "a folder", "another zarr"])
def test_a_folder_of_another_kind_is_refused(tmp_path, kind):
    path = tmp_path / "there"
    if kind == "a folder":
        path.mkdir()
    elif kind == "another zarr":
        zarr.create_group(path).create_array("0", shape=(3, 3), dtype=np.int32)
    with pytest.raises(ImageError, match="does not exist yet"):
        LabelPyramid(path)
