"""Lassos, scribbles and bare masks become what a network takes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_anysam.errors import CapabilityError, PromptError
from napari_anysam.networks.protocol import Capabilities
from napari_anysam.segmentation.derived_prompts import (
    INTERIOR_POINTS,
    POINTS_ON_A_STROKE,
    interior_points,
    padded_box,
    resolve,
    sampled,
)
from napari_anysam.segmentation.lasso import polygon_mask
from napari_anysam.segmentation.prompts import Prompt, Scribble
from napari_anysam.segmentation.regions import Region, prompt_extent

SHAPE = (60, 80)
EVERYTHING = Capabilities()
NO_MASKS = Capabilities(masks=False)
BOX_ONLY = Capabilities(points=False, masks=False)
SIX_PLACES = Capabilities(masks=False, negative_points=False, most_places=6)
FAMILIES = [EVERYTHING, NO_MASKS, BOX_ONLY, SIX_PLACES]

ROW, COLUMN = st.floats(0, SHAPE[0] - 1), st.floats(0, SHAPE[1] - 1)
PLACE = st.tuples(ROW, COLUMN)
MASK = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=30)).filter(np.any)
SQUARE = [(10, 20), (10, 40), (30, 40), (30, 20)]


@st.composite
def polygons(draw):
    """Polygons that enclose at least a few pixels, some of them reaching beyond the plane."""
    centre, radius = draw(PLACE), draw(st.floats(3, 50))
    angles = sorted(draw(st.lists(st.floats(0, 6.28), min_size=0, max_size=5)))
    turns = [*angles, 0.0, 2.1, 4.2]
    return [
        (centre[0] + radius * np.sin(turn), centre[1] + radius * np.cos(turn))
        for turn in sorted(turns)
    ]


def disc(shape, centre, radius):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def is_taken(prompt, capabilities):
    capabilities.check("network", [prompt], refined=False)
    return True


@pytest.mark.parametrize("capabilities", FAMILIES)
@given(lasso=polygons())
def test_a_lasso_serves_every_network(capabilities, lasso):
    resolved = resolve(Prompt(3, lasso=lasso), capabilities, SHAPE)
    inside = polygon_mask(lasso, Region.whole(SHAPE))
    assert is_taken(resolved, capabilities)
    assert resolved.object_id == 3
    assert resolved.lasso is None
    assert all(inside[int(y), int(x)] for y, x in resolved.points)
    rows, columns = np.nonzero(inside)
    assert resolved.box == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)


@pytest.mark.parametrize("capabilities", FAMILIES)
@given(vertices=st.lists(PLACE, min_size=1, max_size=12))
def test_a_positive_scribble_serves_every_network(capabilities, vertices):
    prompt = Prompt(2, scribbles=[Scribble(vertices)])
    resolved = resolve(prompt, capabilities, SHAPE)
    assert is_taken(resolved, capabilities)
    resolved.check_inside(SHAPE)
    assert len(resolved.points) <= POINTS_ON_A_STROKE
    y0, x0, y1, x1 = prompt_extent(prompt)
    low_row, low_column, high_row, high_column = prompt_extent(resolved)
    assert y0 - 1 <= low_row
    assert x0 - 1 <= low_column
    assert high_row <= y1 + 1
    assert high_column <= x1 + 1


@pytest.mark.parametrize("capabilities", FAMILIES)
@given(mask=MASK, origin=st.tuples(st.integers(0, 30), st.integers(0, 50)))
def test_a_bare_mask_serves_every_network_and_points_lie_in_it(capabilities, mask, origin):
    prompt = Prompt(mask=mask, mask_origin=origin)
    resolved = resolve(prompt, capabilities, SHAPE)
    assert is_taken(resolved, capabilities)
    assert (resolved.mask is mask) == capabilities.masks
    assert bool(resolved.points) == capabilities.points
    for y, x in resolved.points:
        assert mask[int(y) - origin[0], int(x) - origin[1]]
    assert (resolved.box is None) == capabilities.masks
    if resolved.box is not None:
        assert resolved.box == padded_box(prompt_extent(prompt), 0.05, SHAPE)


@pytest.mark.parametrize("capabilities", FAMILIES)
@given(
    points=st.lists(PLACE, min_size=1, max_size=4),
    box=st.none() | st.just((2.0, 3.0, 20.0, 30.0)),
    lasso=st.none() | polygons(),
)
def test_what_was_given_stays_and_comes_first(capabilities, points, box, lasso):
    polarity = [place % 2 == 0 for place in range(len(points))]
    prompt = Prompt(points=points, polarity=polarity, box=box, lasso=lasso)
    resolved = resolve(prompt, capabilities, SHAPE)
    assert resolved.points[: len(points)] == prompt.points
    assert resolved.polarity[: len(points)] == prompt.polarity
    if box is not None:
        assert resolved.box == box
    if lasso is None:
        assert (resolved.points, resolved.box) == (prompt.points, box)


def test_a_mask_in_company_stays_as_it_is():
    mask = disc(SHAPE, (30, 30), 9)
    prompt = Prompt(points=[(50, 50)], mask=mask)
    resolved = resolve(prompt, EVERYTHING, SHAPE)
    assert resolved.points == prompt.points
    assert resolved.box is None
    assert resolved.mask is mask


def test_positive_points_in_a_lasso_are_not_outvoted():
    resolved = resolve(Prompt(points=[(12, 22)], lasso=SQUARE), EVERYTHING, SHAPE)
    assert resolved.points == ((12, 22),)
    assert resolved.box is not None


def test_negative_scribbles_become_negative_points_and_are_never_dropped():
    strokes = [Scribble([(20, 20), (20, 50)]), Scribble([(40, 20), (40, 50)], positive=False)]
    prompt = Prompt(scribbles=strokes)
    resolved = resolve(prompt, EVERYTHING, SHAPE)
    rows = [y for y, _ in resolved.points]
    assert resolved.polarity == tuple(row == 20 for row in rows)
    assert set(rows) == {20, 40}
    for capabilities in (SIX_PLACES, BOX_ONLY):
        with pytest.raises(CapabilityError, match="choose another model"):
            is_taken(resolve(prompt, capabilities, SHAPE), capabilities)


def test_every_stroke_gets_its_points_where_the_network_takes_any_number():
    strokes = [Scribble([(row, 10), (row, 70)]) for row in range(5, 60, 5)]
    resolved = resolve(Prompt(scribbles=strokes), EVERYTHING, SHAPE)
    assert len(resolved.points) == len(strokes) * POINTS_ON_A_STROKE


def test_few_clicks_are_shared_among_scribbles_and_too_many_scribbles_are_refused():
    strokes = [Scribble([(row, 10), (row, 70)]) for row in range(5, 60, 5)]
    three = resolve(Prompt(scribbles=strokes[:3]), SIX_PLACES, SHAPE)
    assert sorted({y for y, _ in three.points}) == [5, 10, 15]
    assert len(three.points) == 6
    with pytest.raises(CapabilityError, match="at most 6 clicks"):
        is_taken(resolve(Prompt(scribbles=strokes), SIX_PLACES, SHAPE), SIX_PLACES)


def test_a_lasso_around_no_pixel_is_refused():
    tiny = Prompt(lasso=[(5.2, 5.2), (5.2, 5.8), (5.8, 5.5)])
    with pytest.raises(PromptError, match="encloses no pixel"):
        resolve(tiny, EVERYTHING, SHAPE)


@given(mask=MASK)
def test_interior_points_are_deep_and_apart(mask):
    points = interior_points(mask, INTERIOR_POINTS)
    assert 1 <= len(points) <= INTERIOR_POINTS
    assert len(set(points)) == len(points)
    assert all(mask[int(y), int(x)] for y, x in points)
    assert points == interior_points(mask, INTERIOR_POINTS)


def test_two_parts_get_a_point_each_and_a_speck_none():
    mask = disc(SHAPE, (20, 20), 10) | disc(SHAPE, (20, 60), 9)
    mask[55, 5] = True
    assert interior_points(mask, 2) == [(20, 20), (20, 60)]
    assert (55, 5) not in interior_points(mask, 9)


@given(vertices=st.lists(PLACE, min_size=1, max_size=10), most=st.integers(1, 9))
def test_points_of_a_stroke_lie_on_it_evenly(vertices, most):
    points = np.array(sampled(vertices, most))
    path = np.array(vertices)
    length = np.hypot(*np.diff(path, axis=0).T).sum()
    assert 1 <= len(points) <= most
    # An arc is at least as long as its chord: the pieces cannot be shorter than the gaps.
    gaps = np.hypot(*np.diff(points, axis=0).T)
    assert (gaps <= length / len(points) + 1e-6).all()


def test_a_straight_stroke_is_cut_into_equal_pieces():
    assert sampled([(5, 0), (5, 10), (5, 40)], 4) == [(5, 5), (5, 15), (5, 25), (5, 35)]
    assert sampled([(5, 7)], 8) == [(5, 7)]


@given(padding=st.floats(0, 0.1), top=ROW, left=COLUMN, size=st.floats(1, 60))
def test_padding_grows_a_box_within_the_plane(padding, top, left, size):
    box = (top, left, min(top + size, 60.0), min(left + size, 80.0))
    y0, x0, y1, x1 = padded_box(box, padding, SHAPE)
    assert 0 <= y0 <= box[0]
    assert 0 <= x0 <= box[1]
    assert box[2] <= y1 <= 60
    assert box[3] <= x1 <= 80
    assert y1 - y0 <= (box[2] - box[0]) * (1 + 2 * padding) + 1e-6


def test_padding_applies_to_every_box_and_is_checked():
    given_box = resolve(Prompt(box=(10, 20, 30, 40)), EVERYTHING, SHAPE, 0.1)
    drawn = resolve(Prompt(lasso=[(10, 20), (10, 39), (29, 39), (29, 20)]), EVERYTHING, SHAPE, 0.1)
    assert given_box.box == drawn.box == (8, 18, 32, 42)
    for padding in (-0.01, 0.11, float("nan")):
        with pytest.raises(PromptError, match=r"use 0 to 0\.1"):
            resolve(Prompt(box=(10, 20, 30, 40)), EVERYTHING, SHAPE, padding)


@given(lasso=polygons(), row=st.integers(0, 30), column=st.integers(0, 40))
def test_a_polygon_is_the_same_in_every_window(lasso, row, column):
    rounded = np.round(lasso)
    whole = polygon_mask(rounded, Region.whole(SHAPE))
    window = Region(row, column, 30, 40)
    np.testing.assert_array_equal(polygon_mask(rounded, window), whole[window.slices])
