"""The contrast follows series that bleach, smoothly, and says by how much."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_anysam.errors import ImageError
from napari_anysam.images.conditioning import Conditioning, resolve_conditioning
from napari_anysam.images.following import Follow, measure_follow
from napari_anysam.images.planes import Planes

PLANES = 40
DECAY = np.exp(-np.arange(PLANES) / 15)


def bleaching(floor=100.0):
    """A square that loses most of its light, above a constant floor."""
    rng = np.random.default_rng(0)
    stack = np.zeros((PLANES, 40, 50))
    stack[:, 10:30, 10:30] = 1000
    stack *= DECAY[:, None, None]
    return stack + floor + rng.normal(0, 2, stack.shape)


def test_the_factors_are_those_of_the_bleaching():
    (follow,) = measure_follow(Planes(bleaching()))
    np.testing.assert_allclose([follow.factor(index) for index in range(PLANES)], DECAY, rtol=0.15)
    assert follow.floor == pytest.approx(100, abs=5)


def test_an_object_looks_the_same_on_every_plane():
    planes = Planes(bleaching())
    conditioning = resolve_conditioning(planes, "follow")
    seen = [
        np.median(conditioning.at(index).apply(planes.read(index))[12:28, 12:28])
        for index in range(PLANES)
    ]
    assert min(seen) > 225
    fixed = resolve_conditioning(planes, "auto")
    assert np.median(fixed.at(39).apply(planes.read(39))[12:28, 12:28]) < 60


def test_one_odd_plane_is_not_followed():
    stack = bleaching()
    odd = np.linspace(0, PLANES - 1, 16).round().astype(int)[7]
    stack[odd] *= 8
    (follow,) = measure_follow(Planes(stack))
    assert follow.factor(odd) == pytest.approx(DECAY[odd], rel=0.3)


def test_channels_bleach_by_themselves():
    stack = np.stack([bleaching(), bleaching()[::-1]], axis=-1)
    first, second = measure_follow(Planes(stack, channel_axis=-1))
    assert first.factor(0) == pytest.approx(second.factor(PLANES - 1), rel=0.1)
    assert second.factor(0) < 0.15


def test_the_plane_that_the_window_was_made_for_keeps_its_window():
    (follow,) = measure_follow(Planes(bleaching()), reference=20)
    conditioning = Conditioning(((100, 400),), follows=(follow,))
    assert conditioning.at(20).windows[0] == pytest.approx((100, 400), abs=1)
    assert conditioning.at(0).windows[0][1] > 1000


@pytest.mark.parametrize(
    "stack", [np.zeros((5, 4, 4)), np.full((5, 4, 4), np.nan), np.ones((1, 4, 4), "u1")]
)
def test_without_light_there_is_nothing_to_follow(stack):
    (follow,) = measure_follow(Planes(stack))
    assert [follow.factor(index) for index in (0, 4)] == [1, 1]


def test_planes_without_light_are_left_out():
    stack = bleaching()
    stack[:10] = np.nan
    (follow,) = measure_follow(Planes(stack))
    assert min(follow.positions) >= 10


def test_it_travels_as_text():
    conditioning = Conditioning(((0, 10),), follows=(Follow((0, 9), (1.0, 0.25), 3.0),))
    found = Conditioning.from_dict(json.loads(json.dumps(conditioning.to_dict())))
    assert found == conditioning
    assert found.at(9).windows == ((2.25, 4.75),)


def test_a_plane_is_not_shown_without_its_place():
    conditioning = Conditioning(((0, 10),), follows=(Follow((0, 9), (1.0, 0.25), 3.0),))
    with pytest.raises(ImageError, match="at"):
        conditioning.apply(np.zeros((3, 3)))
    assert conditioning.at(None).windows == conditioning.windows


@pytest.mark.parametrize(
    "table",
    [
        ((), (), 0),
        ((0, 1), (1.0,), 0),
        ((1, 0), (1.0, 1.0), 0),
        ((0,), (0.0,), 0),
        ((0,), (np.nan,), 0),
        ((0,), (1.0,), np.nan),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(table):
    with pytest.raises(ImageError):
        Follow(*table)
