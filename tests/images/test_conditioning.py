"""Pixels of any type become 8-bit RGB, the same way for a whole stack."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_anysam.errors import ImageError
from napari_anysam.images.conditioning import Conditioning, resolve_conditioning
from napari_anysam.images.planes import Planes

DTYPES = ["?", "u1", "i1", "u2", ">u2", "i2", ">i2", "u4", "i8", "u8", "f2", "f4", ">f4", "f8"]
PLANES = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6))
)


def apply(plane, contrast="auto", **kwargs):
    channel_axis = None if np.ndim(plane) == 2 else -1
    planes = Planes.single(plane, channel_axis)
    return resolve_conditioning(planes, contrast, **kwargs).apply(planes.read())


@given(plane=PLANES, gamma=st.sampled_from([0.4, 1.0, 2.2]))
@settings(max_examples=200)
def test_any_plane_with_a_finite_pixel_becomes_grey_rgb(plane, gamma):
    if not np.isfinite(plane).any():
        with pytest.raises(ImageError, match="no finite pixel"):
            apply(plane, gamma=gamma)
        return
    rgb = apply(plane, gamma=gamma)
    assert (rgb.dtype, rgb.shape) == (np.uint8, (*plane.shape, 3))
    assert (rgb == rgb[..., :1]).all()


@given(
    plane=hnp.arrays("f4", (4, 5), elements=st.floats(-1000, 1000, width=32)),
    low=st.floats(-500, 0),
    width=st.floats(0.1, 500),
    gamma=st.floats(0.3, 3),
)
def test_brighter_pixels_never_come_out_darker(plane, low, width, gamma):
    rgb = Conditioning(((low, low + width),), gamma).apply(plane)[..., 0].astype(int)
    order = np.argsort(plane, axis=None)
    assert (np.diff(rgb.ravel()[order]) >= 0).all()


@given(values=hnp.arrays("i2", (3, 7)), low=st.integers(-30000, 0), width=st.integers(1, 30000))
def test_the_table_of_small_integers_gives_what_floats_give(values, low, width):
    conditioning = Conditioning(((low, low + width),), 0.7)
    np.testing.assert_array_equal(
        conditioning.apply(values), conditioning.apply(values.astype(np.float64))
    )


def test_values_are_scaled_linearly_and_rounded():
    plane = np.array([[-5.0, 0.0, 50.0, 100.0, 105.0]])
    assert Conditioning(((0, 100),)).apply(plane)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_gamma_is_the_exponent_of_the_normalised_value():
    plane = np.array([[0, 25, 100]], np.uint16)
    assert Conditioning(((0, 100),), 0.5).apply(plane)[0, :, 0].tolist() == [0, 128, 255]


def test_eight_bit_colour_is_left_alone_by_auto():
    image = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(apply(image), image)


def test_grey_saved_as_colour_is_stretched_like_grey():
    grey = np.random.default_rng(0).integers(3, 60, (6, 7), dtype=np.uint8)
    image = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_array_equal(apply(image), apply(grey))
    image[2, 3, 1] += 1
    np.testing.assert_array_equal(apply(image), image)


def test_auto_takes_the_percentiles_of_everything_else():
    plane = np.random.default_rng(0).normal(1000, 50, (100, 100)).astype(np.float32)
    (window,) = resolve_conditioning(Planes.single(plane)).windows
    assert window == pytest.approx(np.percentile(plane, [0.5, 99.5]), abs=0.01)


def test_auto_looks_at_each_channel_by_itself():
    image = np.stack([np.linspace(0, 1, 400), np.linspace(0, 4000, 400)], -1).reshape(20, 20, 2)
    conditioning = resolve_conditioning(Planes.single(image, channel_axis=-1))
    assert [round(high) for _, high in conditioning.windows] == [1, 3980]


def test_auto_reads_at_most_sixteen_planes_evenly(counting):
    array = counting(np.random.default_rng(0).random((100, 8, 8)))
    resolve_conditioning(Planes(array))
    read = [key[0] for key in array.keys]
    assert len(read) == 16
    assert (read[0], read[-1]) == (0, 99)
    assert set(np.diff(read)) <= {6, 7}


def test_auto_thins_huge_planes(counting):
    array = counting(np.broadcast_to(np.arange(4096.0), (2, 4096, 4096)))
    resolve_conditioning(Planes(array))
    assert all(key[1].step >= 5 for key in array.keys)


def test_few_bright_pixels_do_not_vanish():
    plane = np.zeros((100, 100), np.uint16)
    plane[3, 4] = 900
    assert apply(plane)[3, 4].tolist() == [255, 255, 255]


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_constant_image_is_uniform(dtype, value):
    assert np.unique(apply(np.full((4, 4), value, dtype))).size == 1


def test_equal_ends_are_a_threshold():
    plane = np.array([[4, 5, 6]], np.uint8)
    assert apply(plane, (5, 5))[0, :, 0].tolist() == [0, 0, 255]


def test_nan_becomes_the_low_end_and_infinities_their_ends():
    plane = np.array([[np.nan, -np.inf, np.inf, 0.0, 10.0]], np.float32)
    for gamma in (1.0, 0.5):
        assert apply(plane, (0, 10), gamma=gamma)[0, :, 0].tolist() == [0, 0, 255, 0, 255]


def test_nan_does_not_disturb_auto():
    plane = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    plane[0, :5] = np.nan
    plane[1, 0] = np.inf
    (window,) = resolve_conditioning(Planes.single(plane)).windows
    assert 0 < window[0] < 0.03
    assert 0.97 < window[1] <= 1


def test_large_offsets_keep_their_contrast():
    plane = np.array([[1e9, 1e9 + 1, 1e9 + 2]])
    assert apply(plane, (1e9, 1e9 + 2))[0, :, 0].tolist() == [0, 128, 255]


def test_two_channels_appear_in_magenta_and_green():
    image = np.zeros((1, 2, 2), np.uint16)
    image[0, 0, 0] = image[0, 1, 1] = 100
    assert apply(image, (0, 100))[0].tolist() == [[255, 0, 255], [0, 255, 0]]


def test_one_window_per_channel():
    image = np.full((1, 1, 3), 50.0)
    assert apply(image, [(0, 50), (50, 100), (0, 100)])[0, 0].tolist() == [255, 0, 128]


def test_more_than_three_channels_name_the_remedy():
    planes = Planes.single(np.ones((4, 4, 5)), channel_axis=-1)
    for contrast in ("auto", (0, 1)):
        with pytest.raises(ImageError, match="slice it to the channels"):
            resolve_conditioning(planes, contrast)
    with pytest.raises(ImageError, match="at most three"):
        Conditioning(((0, 1),)).apply(planes.read())


@pytest.mark.parametrize(
    ("contrast", "message"),
    [
        ((2, 1), "upside down"),
        ((0, np.inf), "finite"),
        ((0, 1, 2), "pair"),
        ((), "0 contrast windows"),
        (None, "none of"),
        (5, "none of"),
        ("full", "'auto'"),
        ([(0, 1), (0, 1)], "one per channel"),
        (("a", "b"), "pair"),
    ],
)
def test_a_contrast_that_makes_no_sense_is_refused(contrast, message):
    with pytest.raises(ImageError, match=message):
        apply(np.ones((3, 3)), contrast)


@pytest.mark.parametrize("gamma", [0, -1, np.nan, np.inf])
def test_gamma_must_be_positive(gamma):
    with pytest.raises(ImageError, match="positive"):
        Conditioning(((0, 1),), gamma)


def test_it_is_a_key_and_survives_json():
    conditioning = Conditioning([[0, 10], [3, 4]], gamma=2)
    again = Conditioning.from_dict(json.loads(json.dumps(conditioning.to_dict())))
    assert again == conditioning
    assert {conditioning: 1}[again] == 1


def test_the_given_plane_is_not_written():
    plane = np.linspace(0, 1, 12).reshape(3, 4)
    plane.setflags(write=False)
    assert apply(plane)[0, 0, 0] == 0


def test_a_large_plane_takes_some_tens_of_milliseconds():
    plane = np.random.default_rng(0).integers(0, 4096, (2048, 2048), dtype=np.uint16)
    conditioning = Conditioning(((100, 4000),))
    conditioning.apply(plane)
    seconds = min(_timed(conditioning, plane) for _ in range(5))
    # Measured 14 ms on a quiet core; the bound leaves room for a busy machine.
    assert seconds < 0.15


def _timed(conditioning, plane):
    start = time.perf_counter()
    conditioning.apply(plane)
    return time.perf_counter() - start
