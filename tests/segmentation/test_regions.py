"""Regions show the object at a useful scale, snap to a grid and stay inside their plane."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_anysam.segmentation.prompts import Prompt, Scribble
from napari_anysam.segmentation.regions import (
    Region,
    mask_in,
    prompt_extent,
    refining_region,
    regions_for,
)

SHAPES = st.tuples(st.integers(1, 3000), st.integers(1, 3000))


@st.composite
def boxes_in_planes(draw):
    height, width = draw(SHAPES)
    y0, x0 = draw(st.floats(0, height - 0.5)), draw(st.floats(0, width - 0.5))
    y1, x1 = draw(st.floats(y0 + 0.25, height)), draw(st.floats(x0 + 0.25, width))
    return (height, width), (y0, x0, y1, x1)


@given(boxes_in_planes(), st.sampled_from([256, 512, 1024]))
def test_a_box_lies_in_its_region_and_the_region_in_the_plane(plane_and_box, image_size):
    plane_shape, box = plane_and_box
    (region,) = regions_for(Prompt(box=box), plane_shape, image_size)
    assert region.contains_box(box)
    assert region.row >= 0
    assert region.column >= 0
    assert region.row + region.height <= plane_shape[0]
    assert region.column + region.width <= plane_shape[1]


@given(SHAPES, st.floats(0, 1), st.floats(0, 1), st.sampled_from([256, 1024]))
def test_every_region_of_a_click_shows_the_click(plane_shape, down, right, image_size):
    y, x = down * (plane_shape[0] - 1), right * (plane_shape[1] - 1)
    regions = regions_for(Prompt(points=[(y, x)]), plane_shape, image_size)
    assert regions
    assert all(region.contains(y, x) for region in regions)
    sizes = [region.height * region.width for region in regions]
    assert sizes == sorted(sizes)


def test_a_box_is_seen_in_a_region_somewhat_larger():
    (region,) = regions_for(Prompt(box=(500, 500, 540, 530)), (2000, 2000), 256)
    assert 54 <= region.height <= 64
    assert region.height == region.width


def test_a_large_box_is_seen_in_most_of_the_plane():
    (region,) = regions_for(Prompt(box=(50, 50, 230, 230)), (256, 300), 256)
    assert region == Region(0, 0, 256, 256)


def test_a_slow_network_sees_all_but_tiny_boxes_in_the_whole_plane():
    large, tiny = (
        regions_for(Prompt(box=(50, 50, 50 + side, 50 + side)), (2000, 2000), 1024)
        for side in (80, 20)
    )
    assert large == (Region(0, 0, 2000, 2000),)
    assert tiny[0].height < 400


def test_neighbouring_prompts_share_a_region():
    first, second = (
        regions_for(Prompt(box=(y, 500, y + 40, 540)), (2000, 2000), 256) for y in (500, 503)
    )
    assert first == second


def test_a_correction_keeps_its_region_while_that_fits_the_mask():
    plane = (1000, 1000)
    fitting = Region(400, 400, 160, 160)
    for region, extent, kept in (
        (fitting, (430, 430, 530, 530), True),
        (fitting, (470, 470, 500, 500), False),
        (fitting, (380, 430, 530, 530), False),
        (Region(0, 0, 1000, 1000), (430, 430, 530, 530), False),
        (Region(0, 0, 1000, 1000), (30, 30, 930, 930), True),
    ):
        found = refining_region(region, extent, plane, 256)
        assert (found == region) is kept
        assert found.contains_box(extent)


def test_a_slow_network_keeps_the_region_of_a_correction():
    plane = Region(0, 0, 1000, 1000)
    assert refining_region(plane, (430, 430, 530, 530), (1000, 1000), 1024) == plane


def test_a_slow_network_sees_a_click_once():
    assert regions_for(Prompt(points=[(9, 9)]), (700, 900), 1024) == (Region(0, 0, 700, 900),)
    (region,) = regions_for(Prompt(points=[(9, 9)]), (9000, 9000), 1024)
    assert 1024 <= region.height < 1300


def test_plane_and_own_regions_are_taken_as_they_are():
    prompt = Prompt(points=[(9, 9)])
    own = Region(0, 0, 32, 32)
    assert regions_for(prompt, (700, 900), 256, "plane") == (Region(0, 0, 700, 900),)
    assert regions_for(prompt, (700, 900), 256, own) == (own,)


@pytest.mark.parametrize("value", [True, False])
def test_a_mask_is_seen_around_its_extent(value):
    mask = np.zeros((1000, 1000), bool)
    mask[600:640, 300:330] = True
    points = [(610, 310)] if value else []
    (region,) = regions_for(Prompt(mask=mask, points=points), (1000, 1000), 256)
    assert region.contains_box((600, 300, 640, 330))
    assert region.height < 120


def test_the_extent_covers_lassos_scribbles_and_windowed_masks():
    lasso = Prompt(lasso=[(10, 20), (10, 40), (30, 30)])
    assert prompt_extent(lasso) == (9.5, 19.5, 30.5, 40.5)
    stroke = Prompt(points=[(5, 5)], scribbles=[Scribble([(8, 9), (12, 4)])])
    assert prompt_extent(stroke) == (4.5, 3.5, 12.5, 9.5)
    mask = np.zeros((10, 10), bool)
    mask[2:5, 3:9] = True
    assert prompt_extent(Prompt(mask=mask, mask_origin=(100, 50))) == (102, 53, 105, 59)


@given(
    row=st.integers(0, 20),
    column=st.integers(0, 20),
    height=st.integers(1, 30),
    width=st.integers(1, 30),
)
def test_a_windowed_mask_is_seen_from_every_region_as_the_whole_one(row, column, height, width):
    window = np.random.default_rng(row + 31 * column).random((9, 7)) > 0.4
    whole = np.zeros((50, 50), bool)
    whole[12:21, 15:22] = window
    region = Region(row, column, height, width)
    seen = mask_in(Prompt(mask=window, mask_origin=(12, 15)), region)
    np.testing.assert_array_equal(seen, mask_in(Prompt(mask=whole), region))
    np.testing.assert_array_equal(seen, whole[region.slices])


@given(
    row=st.floats(0, 2000),
    column=st.floats(0, 1500),
    height=st.floats(1, 90),
    width=st.floats(1, 90),
)
def test_small_objects_lie_in_the_regions_they_share_with_their_margin(row, column, height, width):
    plane = (2100, 1600)
    box = (row, column, row + height, column + width)
    (region,) = regions_for(Prompt(box=box), plane, 1024)
    margin = 0.175 * max(height, width)
    y0, x0, y1, x1 = row - margin, column - margin, row + height + margin, column + width + margin
    kept = (max(y0, 0), max(x0, 0), min(y1, plane[0]), min(x1, plane[1]))
    assert region.contains_box(kept)


def test_many_small_objects_share_few_regions_of_a_large_network():
    places = np.random.default_rng(0).integers(0, 1000, (500, 2))
    prompts = [Prompt(box=(row, column, row + 20, column + 20)) for row, column in places.tolist()]
    regions = {regions_for(prompt, (1024, 1024), 1024)[0] for prompt in prompts}
    assert len(regions) <= 49
