"""The region in which an object is followed: its size, its place, and when it moves."""

from __future__ import annotations

import numpy as np
import pytest

from napari_anysam import Prompt, propagate
from napari_anysam.segmentation.regions import Region
from napari_anysam.segmentation.tracking_regions import (
    following_region,
    mask_extent,
    moved_region,
)

PLANE = (600, 800)
SIZE = 256


def test_a_small_object_gets_a_square_region_around_it():
    region = following_region((300, 400, 340, 430), PLANE, SIZE)
    assert region.height == region.width
    assert 80 <= region.height <= 140
    assert region.contains_box((300, 400, 340, 430))


def test_a_tiny_object_keeps_its_surroundings():
    assert following_region((300, 400, 305, 406), PLANE, SIZE).height >= 64


def test_a_large_object_is_followed_in_the_plane():
    assert following_region((100, 100, 400, 420), PLANE, SIZE) == Region.whole(PLANE)


@pytest.mark.parametrize(
    ("shape", "whole"), [((42, 76), True), ((64, 64), True), ((128, 128), False)]
)
def test_a_tiny_plane_is_taken_whole(shape, whole):
    region = following_region((20, 20, 28, 28), shape, SIZE)
    assert (region == Region.whole(shape)) is whole


def test_similar_objects_in_one_place_share_a_region():
    first = following_region((300, 400, 340, 440), PLANE, SIZE)
    beside = (310, 410, 345, 443)
    assert following_region(beside, PLANE, SIZE, [first]) == first
    assert following_region((50, 50, 80, 80), PLANE, SIZE, [first]) != first


def test_a_region_stays_while_its_object_keeps_clear_of_the_border():
    region = Region(280, 380, 100, 100)
    assert moved_region(region, (310, 410, 350, 450), PLANE, SIZE) == region


def test_a_region_moves_by_whole_steps_when_its_object_nears_the_border():
    region = Region(276, 384, 96, 96)
    moved = moved_region(region, (310, 440, 350, 475), PLANE, SIZE)
    assert moved.shape == region.shape
    assert moved.column > region.column
    assert moved.row % 12 == moved.column % 12 == 0
    assert moved.contains_box((310, 440, 350, 475))


def test_a_region_at_the_edge_of_the_plane_does_not_try_to_leave_it():
    region = Region(0, 0, 100, 100)
    assert moved_region(region, (0, 0, 40, 40), PLANE, SIZE) == region


def test_an_object_that_outgrows_its_region_gets_a_larger_one():
    moved = moved_region(Region(280, 380, 100, 100), (281, 381, 375, 379 + 100), PLANE, SIZE)
    assert moved.height > 100


def test_a_few_stray_pixels_do_not_count():
    mask = np.zeros((100, 100), bool)
    mask[40:60, 30:50] = True
    mask[2, 97] = True
    assert mask_extent(mask, Region(10, 20, 100, 100)) == (50, 50, 70, 70)


def test_an_empty_mask_has_no_extent():
    assert mask_extent(np.zeros((5, 5), bool), Region(0, 0, 5, 5)) is None


def wandering_disc(count=10, shape=(240, 500)):
    """A small bright disc that crosses a large plane, 8 pixels a plane."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    noise = np.random.default_rng(3)
    inside = [(rows - 120) ** 2 + (columns - 60 - 8 * plane) ** 2 < 10**2 for plane in range(count)]
    stack = noise.normal(60, 6, (count, *shape))
    for plane in range(count):
        stack[plane][inside[plane]] += 120
    return stack.clip(0, 255).astype(np.uint8), np.stack(inside)


def test_the_region_follows_an_object_across_the_plane(nano):
    stack, inside = wandering_disc()
    results = propagate(stack, [Prompt(1, 0, mask=inside[0])], nano)
    ious = [
        (result.masks[0] & truth).sum() / (result.masks[0] | truth).sum()
        for result, truth in zip(results, inside, strict=True)
    ]
    assert np.mean(ious) >= 0.8


def test_an_object_that_is_gone_leaves_an_empty_mask(nano):
    stack, inside = wandering_disc(6)
    rng = np.random.default_rng(4)
    stack[3:] = rng.normal(60, 6, stack[3:].shape).clip(0, 255).astype(np.uint8)
    last = list(propagate(stack, [Prompt(1, 0, mask=inside[0])], nano))[-1]
    assert last.object_ids == (1,)
    assert last.object_logits[0] < 0
    assert not last.masks.any()


@pytest.mark.parametrize("kind", ["box", "points"])
def test_auto_beats_the_plane_for_small_objects(kind, nano):
    stack, inside = wandering_disc(5)
    where = {"box": {"box": (110, 50, 131, 71)}, "points": {"points": [(120, 60)]}}[kind]
    found = {}
    for region in ("auto", "plane"):
        results = propagate(stack, [Prompt(1, 0, **where)], nano, region=region)
        found[region] = np.mean(
            [
                (result.masks[0] & truth).sum() / (result.masks[0] | truth).sum()
                for result, truth in zip(results, inside, strict=True)
            ]
        )
    assert found["auto"] > found["plane"]
