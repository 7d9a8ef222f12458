"""Channels are drawn over each other as napari draws its layers."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_anysam.errors import ImageError
from napari_anysam.images.blending import Paint
from napari_anysam.images.conditioning import Conditioning

RED, GREEN, BLUE = ("#000000", "#ff0000"), ("#000000", "#00ff00"), ("#000000", "#0000ff")
HUNDRED = (0.0, 100.0)


def draw(values, *paints, windows=(HUNDRED,), **options):
    """One pixel per channel."""
    plane = np.array([[values]], float)
    return Conditioning(windows, paints=paints, **options).apply(plane)[0, 0].tolist()


def test_additive_channels_add_up_to_white_and_no_further():
    paints = [Paint(RED), Paint(GREEN), Paint(("#000000", "#ff00ff"))]
    assert draw((100, 50, 0), *paints) == [255, 128, 0]
    assert draw((100, 50, 100), *paints) == [255, 128, 255]


def test_an_opaque_channel_hides_what_is_below():
    assert draw((100, 20), Paint(RED), Paint(GREEN, blending="opaque")) == [0, 51, 0]


def test_a_translucent_channel_lets_its_opacity_through():
    found = draw((100, 100), Paint(RED), Paint(GREEN, 0.25, "translucent"))
    assert found == pytest.approx([191, 64, 0], abs=1)


def test_minimum_keeps_the_darker_and_takes_no_notice_of_opacity():
    inverted = Paint(("#ffffff", "#ff0000"), 0.3, "minimum")
    assert draw((50, 100), inverted, Paint(("#ffffff", "#0000ff"), 1, "minimum")) == [0, 0, 127]


def test_multiplied_channels_darken():
    white = Paint(("#ffffff",), 1, "translucent")
    assert draw((0, 50), white, Paint(GREEN, 1, "multiplicative")) == [0, 128, 0]


def test_the_lowest_channel_is_drawn_on_black():
    assert draw((100,), Paint(RED, 0.5, "opaque")) == [128, 0, 0]


def test_each_channel_has_its_window_and_gamma():
    windows, gamma = ((0, 10), (0, 100)), (1.0, 0.5)
    assert draw((5, 25), Paint(RED), Paint(GREEN), windows=windows, gamma=gamma) == [128, 128, 0]


def test_maps_of_many_colours_are_mixed_between_their_stops():
    assert draw((75,), Paint(("#000000", "#ff0000", "#ffff00"))) == [255, 127, 0]


@given(
    plane=hnp.arrays("u2", (3, 4, 2)),
    opacity=st.floats(0, 1),
    blending=st.sampled_from(["opaque", "translucent", "additive", "minimum", "multiplicative"]),
)
@settings(max_examples=60)
def test_small_integers_give_what_floats_give(plane, opacity, blending):
    paints = [Paint(("#102030", "#ff0080")), Paint(("#ffffff", "#004000"), opacity, blending)]
    conditioning = Conditioning(((100, 60000),), paints=paints)
    expected = conditioning.apply(plane.astype(float))
    np.testing.assert_array_equal(conditioning.apply(plane), expected)
    np.testing.assert_array_equal(conditioning.apply(plane.astype(">u2")), expected)


def test_large_planes_are_drawn_without_seams():
    plane = np.random.default_rng(0).integers(0, 100, (70, 3001, 2), dtype=np.uint8)
    conditioning = Conditioning((HUNDRED,), paints=(Paint(RED), Paint(GREEN)))
    whole = conditioning.apply(plane)
    np.testing.assert_array_equal(conditioning.apply(plane[33:40]), whole[33:40])
    expected = Conditioning((HUNDRED,)).apply(plane[..., 1])[..., 0]
    np.testing.assert_array_equal(whole[..., 1], expected)


def test_it_travels_as_text():
    conditioning = Conditioning(
        ((0, 10), (2, 20)), (1.0, 0.7), (Paint(RED), Paint(GREEN, 0.5, "minimum"))
    )
    text = json.dumps(conditioning.to_dict())
    found = Conditioning.from_dict(json.loads(text))
    assert found == conditioning
    assert hash(found) == hash(conditioning)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Paint(("red",)), "#rrggbb"),
        (lambda: Paint((), 1.0), "#rrggbb"),
        (lambda: Paint(RED, 1.5), "opacity is 1.5"),
        (lambda: Paint(RED, 1.0, "screen"), "blending is 'screen'"),
        (lambda: Conditioning((HUNDRED, HUNDRED), paints=(Paint(), Paint(), Paint())), "for each"),
        (lambda: draw((1, 2, 3), Paint(), Paint()), "has 3 channels"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make, words):
    with pytest.raises(ImageError, match=words):
        make()


def test_three_channels_of_2048_pixels_take_a_blink():
    rng = np.random.default_rng(0)
    plane = np.moveaxis(rng.integers(0, 4096, (3, 2048, 2048), dtype=np.uint16), 0, -1)
    conditioning = Conditioning(((0, 4095),), paints=(Paint(RED), Paint(GREEN), Paint(BLUE)))
    best = np.inf
    for _ in range(5):
        start = time.thread_time()
        conditioning.apply(plane)
        best = min(best, time.thread_time() - start)
    # 60 ms is the aim; shared machines are given some room.
    assert best < 0.12
