"""Polygons along pixel edges, with holes and parts, give back their mask."""

from __future__ import annotations

import time

import numpy as np
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from label_scenes import plane
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from napari_anysam.export.outlines import part_outlines, whole_outline

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)).filter(np.any)


def centres_inside(polygon, shape):
    """Fill a polygon by the even-odd rule at the centres of pixels."""
    rows, columns = np.indices(shape) + 0.5
    inside = np.zeros(shape, bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 != y1:
            crosses = (rows > min(y0, y1)) & (rows < max(y0, y1))
            inside ^= crosses & (columns < x0 + (rows - y0) * (x1 - x0) / (y1 - y0))
    return inside


def decoded(polygons, shape):
    runs = coco.frPyObjects([polygon.ravel().tolist() for polygon in polygons], *shape)
    return coco.decode(coco.merge(runs)).astype(bool)


@given(MASKS)
@settings(deadline=None)
def test_one_polygon_for_all_gives_back_the_mask(mask):
    polygon = whole_outline(mask)
    np.testing.assert_array_equal(centres_inside(polygon, mask.shape), mask)
    np.testing.assert_array_equal(decoded([polygon], mask.shape), mask)


@given(MASKS)
@settings(deadline=None)
def test_a_polygon_per_part_gives_back_the_mask(mask):
    polygons = part_outlines(mask)
    inside = [centres_inside(polygon, mask.shape) for polygon in polygons]
    np.testing.assert_array_equal(np.sum(inside, axis=0), mask)
    np.testing.assert_array_equal(decoded(polygons, mask.shape), mask)


@given(MASKS)
@settings(deadline=None)
def test_every_step_runs_along_an_edge_of_pixels_and_turns_or_is_a_seam(mask):
    for polygon in [*part_outlines(mask), whole_outline(mask)]:
        steps = np.diff(polygon, axis=0, append=polygon[:1])
        assert ((steps == 0).sum(axis=1) == 1).all()


def test_thousands_of_parts_and_holes_take_seconds():
    mask = np.random.default_rng(0).random((300, 300)) < 0.6
    started = time.perf_counter()
    polygon = whole_outline(mask)
    assert time.perf_counter() - started < 10
    np.testing.assert_array_equal(decoded([polygon], mask.shape), mask)


def test_one_pixel_is_a_square_of_area_one():
    mask = np.zeros((5, 7), bool)
    mask[3, 2] = True
    (polygon,) = part_outlines(mask)
    assert {tuple(corner) for corner in polygon.tolist()} == {(2, 3), (3, 3), (3, 4), (2, 4)}


def test_a_rectangle_has_four_corners():
    (polygon,) = part_outlines(np.ones((300, 200), bool))
    assert len(polygon) == 4


def test_a_hole_is_wound_against_its_outline():
    # Whoever fills by winding must see the hole too: the signed areas subtract.
    mask = np.ones((6, 6), bool)
    mask[2:4, 1:5] = False
    (polygon,) = part_outlines(mask)
    x, y = polygon.T
    area = abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2
    assert area == mask.sum()


def test_pillow_fills_holes_right_but_for_the_lines_it_draws():
    mask = np.kron(plane() == 3, np.ones((8, 8), bool))
    picture = Image.new("1", mask.shape[::-1])
    ImageDraw.Draw(picture).polygon([tuple(corner) for corner in whole_outline(mask).tolist()], 1)
    assert (np.asarray(picture) ^ mask).mean() < 0.03
