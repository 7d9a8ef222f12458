"""Time series of volumes, plane by plane."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_anysam.errors import ImageError
from napari_anysam.images.volume_series import VolumeSeries


@given(
    shape=st.tuples(*[st.integers(1, 4)] * 4),
    channel_axis=st.none() | st.integers(-5, 4),
    data=st.data(),
)
def test_every_way_to_a_plane_gives_the_same_pixels(shape, channel_axis, data):
    channels = 1 if channel_axis is None else 2
    plain = np.arange(np.prod(shape) * channels, dtype=np.uint16).reshape(*shape, channels)
    array = plain[..., 0] if channel_axis is None else np.moveaxis(plain, -1, channel_axis)
    series = VolumeSeries(array, channel_axis)
    assert (series.count, series.depth, *series.plane_shape) == shape

    time = data.draw(st.integers(0, shape[0] - 1))
    plane = data.draw(st.integers(0, shape[1] - 1))
    expected = plain[time, plane]
    expected = expected[..., 0] if channel_axis is None else expected
    for found in (
        series.through_z(time).read(plane),
        series.through_t(plane).read(time),
        series.all_planes().read(time * shape[1] + plane),
    ):
        np.testing.assert_array_equal(found, expected)
    assert series.all_planes().count == shape[0] * shape[1]


@pytest.mark.parametrize(
    ("shape", "channel_axis", "words"),
    [
        ((3, 4, 5), None, "no time series"),
        ((2, 3, 4, 5), 0, "no time series"),
        ((2, 0, 4, 5), None, "no time series"),
        ((2, 3, 3, 4, 5), 7, "channel_axis"),
    ],
)
def test_other_layouts_are_refused(shape, channel_axis, words):
    with pytest.raises(ImageError, match=words):
        VolumeSeries(np.zeros(shape), channel_axis)
