"""Planes in their true aspect."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_anysam.images.planes import Planes
from napari_anysam.images.square_pixels import SquarePixels


@pytest.mark.parametrize(
    ("spacing", "shape"),
    [((1, 1), (4, 10)), ((3, 1), (12, 10)), ((1, 2.5), (4, 25)), ((0.5, 0.5), (4, 10))],
)
def test_the_finer_spacing_is_kept(spacing, shape):
    square = SquarePixels(Planes(np.zeros((2, 4, 10), np.uint8)), spacing)
    assert square.plane_shape == shape
    assert square.shape == (2, *shape)


def test_planes_are_interpolated_and_keep_their_type():
    stack = np.zeros((2, 2, 3), np.uint16)
    stack[1, 1] = 300
    square = SquarePixels(Planes(stack), (3, 1))
    plane = Planes(square).read(1)
    assert plane.dtype == np.uint16
    assert plane[:, 0].tolist() == [0, 0, 100, 200, 300, 300]


def test_colours_are_interpolated_one_by_one():
    stack = np.zeros((1, 2, 2, 3), np.uint8)
    stack[..., 1] = 90
    square = SquarePixels(Planes(stack, channel_axis=-1), (2, 1))
    planes = Planes(square, channel_axis=3)
    assert planes.is_rgb
    assert planes.read(0).shape == (4, 2, 3)
    assert (planes.read(0) == (0, 90, 0)).all()


def test_only_planes_that_are_asked_for_are_read():
    square = SquarePixels(Planes(np.zeros((2, 4, 4))), (2, 1))
    with pytest.raises(TypeError, match="one at a time"):
        square[:, 0, 0]


@given(rows=st.integers(1, 6), ratio=st.integers(1, 6), data=st.data())
def test_a_mask_comes_back_as_it_was(rows, ratio, data):
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    mask = np.repeat(mask[:, None], 4, axis=1)
    square = SquarePixels(Planes(np.zeros((1, rows, 4))), (ratio, 1))
    squared = square.squared(mask)
    assert squared.shape == (rows * ratio, 4)
    np.testing.assert_array_equal(square.stored(np.repeat(mask, ratio, axis=0)), mask)
    np.testing.assert_array_equal(squared.any(), mask.any())
