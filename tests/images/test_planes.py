"""Which arrays are images and stacks, and that only the plane asked for is read."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_anysam.errors import ImageError
from napari_anysam.images.planes import Planes

STACK = np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6)


@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    axis=st.integers(-3, 2),
    dtype=st.sampled_from(["?", "u1", "i2", ">u2", "<u4", ">f4", "f8", "i8", "f2"]),
)
def test_every_plane_along_every_axis_is_the_slice_numpy_would_take(shape, axis, dtype):
    stack = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    planes = Planes(stack, axis=axis)
    rest = [size for position, size in enumerate(shape) if position != axis % 3]
    assert (planes.count, planes.plane_shape) == (shape[axis], tuple(rest))
    for index in range(planes.count):
        np.testing.assert_array_equal(planes.read(index), np.take(stack, index, axis))


@given(
    shape=hnp.array_shapes(min_dims=4, max_dims=4, max_side=5),
    axis=st.integers(-4, 3),
    channel_axis=st.integers(-4, 3),
)
def test_channels_come_last_wherever_they_lie(shape, axis, channel_axis):
    stack = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    if axis % 4 == channel_axis % 4:
        with pytest.raises(ImageError, match="two different axes"):
            Planes(stack, axis, channel_axis)
        return
    planes = Planes(stack, axis, channel_axis)
    assert planes.channels == shape[channel_axis]
    expected = np.take(np.moveaxis(stack, channel_axis, -1), 0, _without(axis, channel_axis))
    np.testing.assert_array_equal(planes.read(0), expected)
    assert planes.read(0).shape[:2] == planes.plane_shape


def _without(axis, channel_axis):
    return axis % 4 - (channel_axis % 4 < axis % 4)


@given(shape=hnp.array_shapes(min_dims=2, max_dims=3, max_side=5), channel=st.integers(-3, 2))
def test_a_single_image_is_one_plane(shape, channel):
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    channel_axis = channel if len(shape) == 3 else None
    planes = Planes.single(image, channel_axis)
    expected = image if channel_axis is None else np.moveaxis(image, channel_axis, -1)
    assert planes.count == 1
    np.testing.assert_array_equal(planes.read(), expected)


@pytest.mark.parametrize("channels", [3, 4])
def test_eight_bit_colour_is_recognised_and_alpha_left_out(channels):
    image = np.arange(2 * 2 * channels, dtype=np.uint8).reshape(2, 2, channels)
    planes = Planes.single(image)
    assert planes.is_rgb
    np.testing.assert_array_equal(planes.read(), image[..., :3])


def test_a_colour_stack_needs_its_channel_axis_and_drops_alpha():
    stack = np.zeros((5, 8, 9, 4), np.uint8)
    planes = Planes(stack, channel_axis=-1)
    assert planes.is_rgb
    assert planes.read(2).shape == (8, 9, 3)
    with pytest.raises(ImageError, match="channel_axis"):
        Planes(stack)


def test_a_three_dimensional_colour_like_array_is_a_stack():
    assert Planes(np.zeros((7, 8, 3), np.uint8)).count == 7


def test_one_plane_is_read_at_a_time(counting):
    array = counting(STACK)
    planes = Planes(array, axis=1)
    assert array.keys == []
    planes.read(3)
    assert array.keys[0][1] == 3
    assert len(array.keys) == 1


def test_dask_computes_only_the_asked_plane():
    computed = []

    def block(block_info=None):
        computed.append(block_info[None]["chunk-location"][0])
        return np.full((1, 5, 6), computed[-1], np.uint8)

    stack = da.map_blocks(
        block, dtype=np.uint8, chunks=((1,) * 4, (5,), (6,)), meta=np.empty((0, 0, 0), np.uint8)
    )
    plane = Planes(stack).read(2)
    assert isinstance(plane, np.ndarray)
    assert computed == [2]
    assert (plane == 2).all()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_reads_only_the_chunks_of_the_plane(tmp_path, zarr_format):
    array = zarr.create_array(
        tmp_path / "stack.zarr",
        shape=STACK.shape,
        chunks=(1, 5, 6),
        dtype=STACK.dtype,
        zarr_format=zarr_format,
    )
    array[...] = STACK
    chunk = tmp_path / "stack.zarr" / ("0.0.0" if zarr_format == 2 else "c/0/0/0")
    chunk.write_bytes(b"damaged")
    planes = Planes(array)
    np.testing.assert_array_equal(planes.read(3), STACK[3])
    with pytest.raises(ImageError, match="Plane 0 could not be read"):
        planes.read(0)


def test_the_first_level_of_a_multiscale_image_is_used():
    levels = [STACK, STACK[:, ::2, ::2]]
    np.testing.assert_array_equal(Planes(levels).read(1), STACK[1])
    assert Planes.single([STACK[0]]).plane_shape == (5, 6)


def test_a_list_of_equal_planes_is_not_a_multiscale_image():
    with pytest.raises(ImageError, match=r"numpy\.stack"):
        Planes([STACK[0], STACK[1]])


def test_arrays_of_other_libraries_and_nested_lists_are_converted():
    torch = pytest.importorskip("torch")
    assert Planes.single(torch.zeros(3, 4)).plane_shape == (3, 4)
    assert Planes.single([[1, 2, 3], [4, 5, 6]]).plane_shape == (2, 3)


def test_a_step_thins_rows_and_columns_only():
    stack = np.arange(3 * 5 * 6 * 2).reshape(3, 5, 6, 2)
    thinned = Planes(stack, channel_axis=3).read(1, step=2)
    np.testing.assert_array_equal(thinned, stack[1, ::2, ::2])


@pytest.mark.parametrize("index", [-1, 4, 100])
def test_an_index_outside_the_stack_is_refused(index):
    with pytest.raises(ImageError, match="0 to 3"):
        Planes(STACK).read(index)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 4, 4)), "empty"),
        (np.zeros((4, 4)), "segment it as an image"),
        (np.zeros(4), "1 dimension;"),
        (np.zeros((2, 3, 4, 5, 6)), "slice it to 3"),
        (np.zeros((2, 3, 4, 5)), "slice it to 3"),
        (np.zeros((3, 4, 5), complex), "complex"),
        (np.full((3, 4, 5), None), "object"),
        (np.full((3, 4, 5), "a"), "<U1"),
        (np.zeros((3, 4, 5), "M8[s]"), "datetime"),
        ([], "empty list"),
        (object(), "not an image"),
        ("stack.tif", "pixels of type"),
    ],
)
def test_what_is_no_stack_is_refused_with_a_remedy(array, message):
    with pytest.raises(ImageError, match=message) as caught:
        Planes(array)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("array", "channel_axis", "message"),
    [
        (np.zeros((4, 0), np.uint8), None, "empty"),
        (np.zeros((4, 5, 3), np.uint16), None, "channel_axis"),
        (np.zeros((3, 4, 5), np.uint8), None, "channel_axis"),
        (np.zeros((2, 2, 4, 5)), None, "slice it to 2"),
        (np.zeros(5), None, "needs 2"),
        (np.zeros((4, 5)), -1, "leave it out"),
        (np.zeros((4, 5, 3)), 3, "axes 0 to 2"),
        (np.array(3.0), None, "0 dimensions"),
    ],
)
def test_what_is_no_image_is_refused_with_a_remedy(array, channel_axis, message):
    with pytest.raises(ImageError, match=message):
        Planes.single(array, channel_axis)


def test_a_dask_array_of_unknown_length_names_the_call_that_helps():
    unknown = da.from_array(STACK)[da.from_array(np.array([True, False, True, True]))]
    with pytest.raises(ImageError, match="compute_chunk_sizes"):
        Planes(unknown)
