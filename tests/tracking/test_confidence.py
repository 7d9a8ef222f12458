"""How far an answer is to be trusted, and what is said against it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from comparison import AS_IT_IS
from hypothesis import given
from hypothesis import strategies as st

from napari_anysam import Prompt
from napari_anysam.errors import OptionsError
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.confidence import Assessment, DoubtLimits
from napari_anysam.segmentation.regions import Region
from napari_anysam.segmentation.tracking import Tracker
from napari_anysam.segmentation.tracking_results import Answer, mask_answer
from napari_anysam.segmentation.tracking_watch import Watch
from napari_anysam.segmentation.windows import tight_window, window_iou

CLEAR = 10.0
UNKNOWN = st.just(math.nan)


@given(
    score=st.floats(-0.5, 1.5),
    object_logit=st.floats(-50, 50),
    area=st.integers(0, 1000),
    area_change=st.floats(-0.999, 1000) | UNKNOWN,
    agreement=st.floats(0, 1) | UNKNOWN,
    lost=st.booleans(),
    collapsed=st.booleans(),
)
def test_the_confidence_is_the_weakest_sign(
    score, object_logit, area, area_change, agreement, lost, collapsed
):
    one = Assessment(score, object_logit, area, area_change, agreement, lost, collapsed)
    assert 0 <= one.confidence <= 1
    assert one.confidence <= one.presence
    assert not one.confidence > one.agreement
    assert not one.confidence > one.steadiness
    assert not area or one.confidence <= max(0, score)
    assert not collapsed or one.confidence == 0


@given(score=st.floats(0, 1), agreement=st.floats(0, 1))
def test_a_sure_answer_is_as_good_as_its_score_and_agreement(score, agreement):
    one = Assessment(score, 100.0, 50, 0.0, agreement)
    assert one.confidence == min(score, agreement)


@given(st.floats(1, 1000))
def test_growing_and_shrinking_by_a_factor_are_equally_unsteady(factor):
    grown = Assessment(1.0, CLEAR, 50, factor - 1)
    shrunk = Assessment(1.0, CLEAR, 50, 1 / factor - 1)
    assert grown.steadiness == pytest.approx(shrunk.steadiness) == pytest.approx(1 / factor)


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({}, ()),
        ({"score": 0.4}, ("low score",)),
        ({"object_logit": 0.5}, ("low score",)),
        ({"area_change": 1.5}, ("jump",)),
        ({"area_change": -0.6}, ("jump",)),
        ({"area_change": 0.9}, ()),
        ({"agreement": 0.5}, ("disagreement",)),
        ({"area": 0, "score": 0.1, "object_logit": -CLEAR}, ()),
        ({"area": 0, "object_logit": -0.5}, ("low score",)),
        ({"area": 0, "object_logit": CLEAR}, ("low score",)),
        ({"area": 0, "object_logit": -CLEAR, "lost": True}, ("lost",)),
        ({"collapsed": True, "agreement": 0.1}, ("disagreement", "collapsed")),
    ],
)
def test_each_doubt_has_its_reason(changes, reasons):
    sound = {"score": 0.9, "object_logit": CLEAR, "area": 50, "area_change": 0.1}
    found = Assessment(**(sound | changes))
    assert found.reasons == reasons
    assert found.doubtful == bool(reasons)


def test_limits_decide_what_is_doubtful():
    strict = DoubtLimits(low_score=0.95, jump=0.95)
    assert Assessment(0.9, CLEAR, 50, 0.1, limits=strict).reasons == ("low score", "jump")


@pytest.mark.parametrize(
    ("name", "value"),
    [("low_score", 1.1), ("jump", -1), ("collapsed_overlap", math.nan), ("lost_after", 0)],
)
def test_limits_that_make_no_sense_are_refused(name, value):
    with pytest.raises(OptionsError, match=name):
        DoubtLimits(**{name: value})


def rectangle(row, column, height, width, score=0.9):
    """Answer with a rectangle of the plane, seen through a region around it."""
    region = Region(row - 1, column - 1, height + 2, width + 2)
    logits = np.full(region.shape, -5, np.float32)
    logits[1:-1, 1:-1] = 5
    return Answer(region, logits, score, CLEAR)


def nothing():
    return Answer(Region(3, 3, 4, 4), np.full((4, 4), -5, np.float32), 0.2, -CLEAR)


def watched(planes, limits=None, prompted=()):
    """Assess the answers of one pass; ``prompted`` are (plane, object id)."""
    watch = Watch(limits or DoubtLimits())
    return [
        watch.note(answers, {number for where, number in prompted if where == plane})
        for plane, answers in enumerate(planes)
    ]


def test_the_area_is_compared_with_the_plane_before():
    found = watched([{1: rectangle(5, 5, 4, 5)}, {1: rectangle(5, 6, 4, 6)}])
    assert math.isnan(found[0][1].area_change)
    assert found[1][1].area_change == pytest.approx(0.2)
    assert found[1][1].area == 24


def test_neither_a_prompt_nor_an_empty_plane_is_a_jump():
    planes = [{1: rectangle(5, 5, 4, 5)}, {1: rectangle(5, 5, 9, 9)}, {1: nothing()}]
    planes += [{1: rectangle(5, 5, 2, 2)}]
    found = watched(planes, prompted=[(1, 1)])
    assert all(math.isnan(plane[1].area_change) for plane in found)


def test_an_object_is_lost_after_some_empty_planes_until_it_is_found_again():
    planes = [{1: rectangle(5, 5, 4, 4)}, *[{1: nothing()}] * 4, {1: rectangle(5, 5, 4, 4)}]
    found = [plane[1].lost for plane in watched(planes)]
    assert found == [False, False, False, True, True, False]
    sooner = [plane[1].lost for plane in watched(planes, DoubtLimits(lost_after=1))]
    assert sooner == [False, True, True, True, True, False]


def collapsing(count, score=0.5):
    apart = {1: rectangle(5, 5, 8, 8), 2: rectangle(5, 25, 8, 8, score)}
    return [apart, *[{1: rectangle(5, 5, 8, 8), 2: rectangle(5, 5, 8, 8, score)}] * count]


def test_the_lesser_of_two_objects_that_become_one_is_collapsed():
    found = watched(collapsing(4))
    assert [plane[2].collapsed for plane in found] == [False, False, False, True, True]
    assert not any(plane[1].collapsed for plane in found)
    better = watched(collapsing(4, score=0.95))
    assert [plane[1].collapsed for plane in better] == [False, False, False, True, True]


def test_objects_that_were_never_apart_do_not_collapse():
    assert not any(plane[2].collapsed for plane in watched(collapsing(6)[1:]))


def test_objects_that_part_again_are_no_longer_collapsed():
    planes = [*collapsing(3), *collapsing(2)]
    assert [plane[2].collapsed for plane in watched(planes)][3:] == [True, False, False, False]


def test_overlapping_objects_do_not_collapse():
    beside = {1: rectangle(5, 5, 8, 8), 2: rectangle(5, 7, 8, 8)}
    within = {1: rectangle(5, 5, 9, 9), 2: rectangle(6, 6, 3, 3)}
    for together in (beside, within):
        found = watched([collapsing(0)[0], *[together] * 5])
        assert not any(one.collapsed for plane in found for one in plane.values())


MASKS = st.lists(st.booleans(), min_size=12, max_size=12).map(
    lambda values: np.array(values).reshape(3, 4)
)


@given(MASKS, MASKS)
def test_the_overlap_of_two_masks_is_their_iou(one, other):
    union = (one | other).sum()
    expected = (one & other).sum() / union if union else 1.0
    assert window_iou(tight_window(one), tight_window(other)) == expected


def test_a_given_mask_is_trusted():
    mask = np.zeros((9, 9), bool)
    mask[2:5, 2:5] = True
    found = watched([{1: mask_answer(mask)}], prompted=[(0, 1)])[0][1]
    assert found.confidence > 0.99
    assert not found.doubtful


def last_of(results):
    return {result.index: result for result in results}


@pytest.fixture(scope="module")
def between(nano, moving_discs):
    """An object with two anchors, followed both ways and each way alone."""
    stack, labels = moving_discs
    prompts = [Prompt(1, plane, mask=labels[plane] == 1) for plane in (1, 6)]
    tracker = Tracker(nano, Planes(stack[:8]), AS_IT_IS, region="plane")
    return {
        direction: last_of(tracker.run(prompts, direction=direction))
        for direction in ("both", "forward", "backward")
    }


def test_the_two_directions_are_compared_between_anchors_only(between):
    for plane, result in between["both"].items():
        agreement = result.assessments[0].agreement
        if not 1 < plane < 6:
            assert math.isnan(agreement)
            continue
        masks = [between[direction][plane].masks[0] for direction in ("forward", "backward")]
        assert agreement == (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
    for direction in ("forward", "backward"):
        assert all(math.isnan(one.assessments[0].agreement) for one in between[direction].values())


def test_every_plane_between_anchors_comes_again_with_the_agreement(nano, moving_discs):
    stack, labels = moving_discs
    prompts = [Prompt(1, plane, mask=labels[plane] == 1) for plane in (0, 4)]
    tracker = Tracker(nano, Planes(stack[:5]), AS_IT_IS, region="plane")
    assert [result.index for result in tracker.run(prompts)] == [0, 1, 2, 3, 4, 3, 2, 1]


def test_a_good_run_has_an_assessment_per_object_and_no_doubts(nano, moving_discs):
    stack, labels = moving_discs
    prompts = [Prompt(number, 0, mask=labels[0] == number) for number in (2, 3)]
    for result in Tracker(nano, Planes(stack[:5]), AS_IT_IS).run(prompts):
        assert len(result.assessments) == 2
        for place, found in enumerate(result.assessments):
            assert found.score == pytest.approx(result.scores[place])
            assert found.object_logit == pytest.approx(result.object_logits[place])
            assert found.area == result.masks[place].sum()
            assert not found.doubtful
            assert found.confidence > 0.8


def test_a_contradicting_anchor_makes_the_planes_between_doubtful(nano, moving_discs):
    stack, labels = moving_discs
    prompts = [Prompt(1, 0, mask=labels[0] == 1), Prompt(1, 6, mask=labels[6] == 3)]
    results = last_of(Tracker(nano, Planes(stack[:7]), AS_IT_IS).run(prompts))
    assert all("disagreement" in results[plane].assessments[0].reasons for plane in range(1, 6))
    assert all(results[plane].assessments[0].confidence < 0.7 for plane in range(1, 6))
