"""Prompts check themselves, name the remedy and merge."""

import numpy as np
import pytest

from napari_anysam.errors import PromptError
from napari_anysam.segmentation.prompts import Prompt, Scribble, check_prompts, merge_prompts

TRIANGLE = [(1, 1), (1, 6), (6, 3)]


def test_points_without_polarity_are_positive():
    assert Prompt(points=[(1, 2), (3, 4)]).polarity == (True, True)


def test_numpy_values_become_plain_ones():
    prompt = Prompt(object_id=np.int64(3), points=np.array([[1, 2]]), box=np.array([0, 0, 4, 5]))
    assert prompt.points == ((1.0, 2.0),)
    assert prompt.box == (0.0, 0.0, 4.0, 5.0)
    assert type(prompt.object_id) is int


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({}, "give points, a box or a mask"),
        ({"object_id": 0, "points": [(1, 1)]}, "use 1 or more"),
        ({"points": [(1, 1)], "polarity": [True, False]}, "one per point"),
        ({"points": [(1, 2, 3)]}, "row, column"),
        ({"points": [(np.nan, 2)]}, "finite"),
        ({"box": (5, 5, 5, 9)}, "must be beyond"),
        ({"mask": np.zeros((4, 4), bool)}, "at least one pixel"),
        ({"mask": np.ones((2, 4, 4), bool)}, "mask"),
        ({"plane": 1.5, "points": [(1, 1)]}, "whole number"),
        ({"lasso": [(1, 1), (5, 5)]}, "at least three vertices"),
        ({"lasso": [(1, 1), (3, 3), (5, 5)]}, "not on one line"),
        ({"lasso": [(1, 1), (3, np.inf), (5, 5)]}, "finite"),
        ({"scribbles": [[(1, 1), (2, 2)]]}, "no scribble"),
        ({"mask_origin": (1, 1), "points": [(1, 1)]}, "no mask"),
        ({"mask_origin": (1, 0.5), "mask": np.ones((2, 2), bool)}, "whole number"),
    ],
)
def test_contradictions_are_refused(fields, remedy):
    with pytest.raises(PromptError, match=remedy):
        Prompt(**fields)


@pytest.mark.parametrize(
    ("prompt", "planes", "remedy"),
    [
        (Prompt(points=[(8, 2)]), None, "row, column"),
        (Prompt(points=[(2, -1)]), None, "outside the image"),
        (Prompt(box=(9, 0, 12, 4)), None, "outside the image"),
        (Prompt(mask=np.ones((4, 4), bool)), None, "image's shape"),
        (Prompt(lasso=[(9, 9), (9, 12), (12, 9)]), None, "lasso"),
        (Prompt(scribbles=[Scribble([(2, 2), (2, 8)])]), None, "scribble's vertex"),
        (Prompt(mask=np.ones((4, 4), bool), mask_origin=(5, 0)), None, "crop it"),
        (Prompt(mask=np.ones((4, 4), bool), mask_origin=(-1, 0)), None, "crop it"),
        (Prompt(plane=0, points=[(2, 2)]), None, "leave it out"),
        (Prompt(points=[(2, 2)]), 5, "plane=0 to 4"),
        (Prompt(plane=5, points=[(2, 2)]), 5, "use 0 to 4"),
        (Prompt(plane=-1, points=[(2, 2)]), 5, "use 0 to 4"),
    ],
)
def test_prompts_outside_their_image_are_refused(prompt, planes, remedy):
    with pytest.raises(PromptError, match=remedy):
        prompt.check_inside((8, 8), planes)


def test_corner_pixels_are_inside():
    Prompt(points=[(0, 0), (7, 7), (-0.5, 7.5)], box=(-1, -1, 9, 9)).check_inside((8, 8))


def test_prompts_of_one_object_on_one_plane_merge():
    merged = merge_prompts(
        [
            Prompt(1, 0, points=[(1, 1)]),
            Prompt(2, 0, points=[(5, 5)]),
            Prompt(1, 0, points=[(2, 2)], polarity=[False], box=(0, 0, 4, 4)),
            Prompt(1, 1, points=[(3, 3)]),
        ]
    )
    assert list(merged) == [(1, 0), (2, 0), (1, 1)]
    assert merged[1, 0].points == ((1, 1), (2, 2))
    assert merged[1, 0].polarity == (True, False)
    assert merged[1, 0].box == (0, 0, 4, 4)


def test_no_prompt_at_all_is_refused():
    with pytest.raises(PromptError, match="at least one"):
        check_prompts([], (8, 8))


def test_scribbles_add_up_and_the_later_lasso_and_mask_count():
    first = Scribble([(1, 1), (2, 5)])
    second = Scribble([(6, 6)], positive=False)
    small = np.ones((2, 2), bool)
    merged = merge_prompts(
        [
            Prompt(1, lasso=TRIANGLE, scribbles=[first], mask=np.ones((8, 8), bool)),
            Prompt(1, lasso=TRIANGLE[::-1], mask=small, mask_origin=(3, 4)),
            Prompt(1, scribbles=[second]),
        ]
    )[1, None]
    assert merged.scribbles == (first, second)
    assert merged.lasso == tuple((float(y), float(x)) for y, x in TRIANGLE[::-1])
    assert merged.mask is small
    assert merged.mask_origin == (3, 4)


def test_an_empty_scribble_is_refused():
    with pytest.raises(PromptError, match="at least one"):
        Scribble([])


def test_a_lasso_may_reach_beyond_the_plane_and_moves_with_its_prompt():
    prompt = Prompt(lasso=[(-5, 2), (4, 20), (12, 2)], scribbles=[Scribble([(3, 3)])])
    prompt.check_inside((8, 8))
    moved = prompt.shifted(10, 1)
    assert moved.lasso == ((5, 3), (14, 21), (22, 3))
    assert moved.scribbles == (Scribble([(13, 4)]),)
