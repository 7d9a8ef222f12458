"""Which planes are visited, whose answer counts, and which requests are refused at once."""

from __future__ import annotations

import numpy as np
import pytest

from napari_anysam import Prompt
from napari_anysam.errors import PromptError
from napari_anysam.segmentation.tracking_plan import make_plan

SHAPE = (20, 30)


def click(object_id, plane):
    return Prompt(object_id, plane, points=[(5, 5)])


def plan_for(*anchors, direction="both", start=None, stop=None):
    prompts = [click(object_id, plane) for object_id, plane in anchors]
    return make_plan(prompts, SHAPE, 10, direction, start, stop)


def test_an_object_exists_from_its_anchors_outward():
    plan = plan_for((1, 4), (2, 6))
    assert list(plan.planes(1)) == [4, 5, 6, 7, 8, 9]
    assert list(plan.planes(-1)) == [6, 5, 4, 3, 2, 1, 0]
    assert plan.active(5, 1) == [1]
    assert plan.active(5, -1) == [2]


def test_with_one_anchor_every_plane_grows_once():
    plan = plan_for((1, 4))
    assert all(plan.grows(plane, 1) for plane in range(4, 10))
    assert not plan.grows(4, -1)
    assert all(plan.grows(plane, -1) for plane in range(4))
    assert not any(plan.returns(plane, 1) for plane in range(4, 10))


def test_between_two_anchors_the_nearer_one_wins():
    plan = plan_for((1, 1), (1, 8))
    backward_wins = [plane for plane in plan.planes(-1) if plan.wins(1, plane, -1)]
    assert backward_wins == [7, 6, 5, 0]


def test_a_plane_that_grows_later_is_kept():
    plan = plan_for((1, 2), (2, 6))
    assert [plane for plane in plan.planes(1) if plan.returns(plane, 1)] == [2, 3, 4, 5]


def test_one_direction_only():
    assert list(plan_for((1, 4), direction="forward").planes(1)) == [4, 5, 6, 7, 8, 9]
    assert list(plan_for((1, 4), direction="backward").planes(-1)) == [4, 3, 2, 1, 0]


def test_the_range_limits_what_is_answered():
    plan = plan_for((1, 4), start=3, stop=6)
    assert list(plan.planes(1)) == [4, 5]
    assert list(plan.planes(-1)) == [4, 3]


def test_an_anchor_before_the_range_is_followed_from_the_range_on():
    assert list(plan_for((1, 1), direction="forward", start=5, stop=8).planes(1)) == [5, 6, 7]


@pytest.mark.parametrize(
    ("start", "stop"), [(-1, 5), (5, 5), (6, 4), (0, 11), (10, None), (None, 0)]
)
def test_a_range_that_makes_no_sense_is_refused(start, stop):
    with pytest.raises(PromptError, match="0 <= start < stop <= 10"):
        plan_for((1, 4), start=start, stop=stop)


def test_an_object_that_never_reaches_the_range_is_refused():
    with pytest.raises(PromptError, match="does not reach planes 0 to 2"):
        plan_for((1, 4), direction="forward", start=0, stop=3)


def test_an_unknown_direction_is_refused():
    with pytest.raises(PromptError, match="'forward'"):
        plan_for((1, 4), direction="up")


def test_a_prompt_outside_the_stack_is_refused():
    with pytest.raises(PromptError, match="outside the stack"):
        plan_for((1, 10))


def test_a_mask_and_points_on_one_plane_are_refused():
    mask = np.zeros(SHAPE, bool)
    mask[3:9, 3:9] = True
    with pytest.raises(PromptError, match="one or the other"):
        make_plan([click(1, 2), Prompt(1, 2, mask=mask)], SHAPE, 10)


def test_negative_points_alone_are_refused():
    with pytest.raises(PromptError, match="only negative"):
        make_plan([Prompt(1, 2, points=[(3, 3)], polarity=[False])], SHAPE, 10)
