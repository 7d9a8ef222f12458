"""A correction follows one object again, from its plane as far as there is need."""

from __future__ import annotations

import math

import numpy as np
import pytest
from comparison import AS_IT_IS
from hypothesis import given
from hypothesis import strategies as st

from napari_anysam import Prompt
from napari_anysam.errors import OptionsError, PromptError
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.embeddings import EmbeddingCache
from napari_anysam.segmentation.repair_plan import EarlyStop, make_repair
from napari_anysam.segmentation.tracking import Tracker
from napari_anysam.segmentation.tracking_end import EndRule
from napari_anysam.segmentation.windows import tight_window

SHAPE = (12, 14)
COUNT = 12


def square():
    mask = np.zeros(SHAPE, bool)
    mask[3:8, 4:9] = True
    return mask


def click(plane, object_id=1):
    return Prompt(object_id, plane, points=[(5, 5)])


@st.composite
def requests(draw):
    planes = st.integers(0, 19)
    plane = draw(planes)
    reviewed = draw(st.sets(planes, max_size=8)) - {plane}
    empty = draw(st.sets(st.sampled_from(sorted(reviewed)))) if reviewed else set()
    prompted = draw(st.sets(planes, max_size=4)) | {plane}
    start, stop = draw(st.integers(0, plane)), draw(st.integers(plane + 1, 20))
    return plane, reviewed, empty, prompted, start, stop, draw(st.integers(2, 6))


@given(requests())
def test_a_repair_ends_at_the_nearest_locked_planes_and_takes_the_nearest_anchors(request):
    plane, reviewed, empty, prompted, start, stop, limit = request
    repair = make_repair(
        [click(one) for one in prompted],
        1,
        plane,
        SHAPE,
        20,
        before=lambda one: None if one in empty else square(),
        reviewed=reviewed,
        start=start,
        stop=stop,
        anchor_limit=limit,
    )
    locked = (reviewed | prompted) - {plane}
    answered = {*repair.beyond(1), plane, *repair.beyond(-1)}
    assert answered == set(range(repair.start, repair.stop))
    assert not answered & locked
    for edge in (repair.start - 1, repair.stop):
        assert edge in locked or edge in (start - 1, stop)
    anchors = repair.plan.anchors[1]
    assert plane in anchors
    assert len(anchors) <= limit
    known = locked - empty
    assert set(anchors) - {plane} <= known
    assert len(anchors) == min(limit, len(known) + 1)
    left_out = known - set(anchors)
    for side in (-1, 1):
        beyond = [abs(one - plane) for one in left_out if (one - plane) * side > 0]
        taken = [abs(one - plane) for one in anchors if (one - plane) * side > 0]
        assert not beyond or not taken or max(taken) < min(beyond)
    for step in (1, -1):
        end = repair.far_anchor(step)
        assert end is None or (end in anchors and end not in answered)


def test_a_reviewed_mask_counts_rather_than_the_prompt_it_came_from():
    before = {4: tight_window(square()), 6: square()}
    prompts = [click(2), click(4), click(6, object_id=2)]
    repair = make_repair(prompts, 1, 2, SHAPE, COUNT, before=before.get, reviewed=[4, 6])
    anchors = repair.plan.anchors[1]
    assert list(repair.plan.anchors) == [1]
    assert sorted(anchors) == [2, 4, 6]
    for plane in (4, 6):
        prompt = anchors[plane]
        assert prompt.mask_origin == (3, 4)
        assert prompt.mask.all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plane": 3}, "no prompt on plane 3"),
        ({"object_id": 7}, "no prompt"),
        ({"reviewed": [5]}, "reviewed and locked"),
        ({"reviewed": [12]}, "outside the stack"),
        ({"start": 6}, "does not lie in planes 6 to 12"),
        ({"stop": 5}, "does not lie in planes 0 to 5"),
        ({"stop": 13}, "does not lie in planes 0 to 13"),
        ({"prompts": [Prompt(1, 5, points=[(2, 2)], polarity=[False])]}, "only negative"),
    ],
)
def test_requests_that_make_no_sense_are_refused_at_once(changes, message, nano):
    tracker = Tracker(nano, Planes(np.zeros((COUNT, *SHAPE), np.uint8)), AS_IT_IS)
    request = {"prompts": [click(5)], "object_id": 1, "plane": 5} | changes
    with pytest.raises(PromptError, match=message):
        tracker.repair(**request, before=lambda _: None)


@pytest.mark.parametrize(("overlap", "planes"), [(0, 3), (1.1, 3), (0.9, 0)])
def test_an_early_stop_that_makes_no_sense_is_refused(overlap, planes):
    with pytest.raises(OptionsError, match="use a number"):
        EarlyStop(overlap, planes)


def mask_of(labels, object_id, plane):
    return Prompt(object_id, plane, mask=labels[plane] == object_id)


def nothing(_):
    return None


@pytest.fixture(scope="module")
def scene(moving_discs):
    return tuple(array[:12] for array in moving_discs)


def tracker_of(nano, stack, **options):
    options.setdefault("region", "plane")
    return Tracker(nano, Planes(stack), AS_IT_IS, **options)


@pytest.mark.parametrize("region", ["plane", "auto"])
def test_with_nothing_locked_it_is_a_run_of_this_object(region, nano, scene):
    stack, labels = scene
    prompts = [mask_of(labels, 3, 4), mask_of(labels, 2, 4)]
    tracker = tracker_of(nano, stack[:8], region=region)
    repaired = list(tracker.repair(prompts, 3, 4, before=nothing, early_stop=None))
    whole = list(tracker.run(prompts[:1]))
    assert [one.index for one in repaired] == [4, 5, 6, 7, 3, 2, 1, 0]
    for one, other in zip(repaired, whole, strict=True):
        assert one.index == other.index
        assert one.object_ids == (3,)
        assert (one.labels == other.labels).all()
        assert repr(one.assessments) == repr(other.assessments)  # NaN is not equal to itself


def test_it_ends_when_the_object_is_as_it_was(nano, scene):
    stack, labels = scene
    tracker = tracker_of(nano, stack)
    present = {result.index: result.masks[0] for result in tracker.run([mask_of(labels, 2, 0)])}
    correction = [Prompt(2, 5, mask=present[5])]
    stop = EarlyStop(overlap=0.9, planes=2)
    results = tracker.repair(correction, 2, 5, before=present.get, early_stop=stop)
    assert [result.index for result in results] == [5, 6, 7, 4, 3]


def test_a_plane_that_changes_starts_the_count_again(nano, scene):
    stack, labels = scene
    tracker = tracker_of(nano, stack)
    present = {result.index: result.masks[0] for result in tracker.run([mask_of(labels, 2, 0)])}
    correction = [Prompt(2, 3, mask=present[3])]
    present[5] = np.zeros_like(present[5])
    stop = EarlyStop(overlap=0.9, planes=2)
    results = tracker.repair(correction, 2, 3, before=present.get, early_stop=stop, start=3)
    assert [result.index for result in results] == [3, 4, 5, 6, 7]


def test_it_ends_where_the_object_does_and_there_was_nothing_before(nano, scene):
    stack, labels = scene[0].copy(), scene[1]
    for plane in range(5, 12):
        hole = labels[plane] == 2
        stack[plane][hole] = stack[plane][labels[plane] == 0][: hole.sum()]
    results = list(
        tracker_of(nano, stack).repair(
            [mask_of(labels, 2, 2)], 2, 2, before=nothing, start=2, early_stop=EarlyStop(planes=2)
        )
    )
    assert [result.index for result in results] == [2, 3, 4, 5, 6]
    assert not results[-1].masks.any()


def test_beyond_its_former_end_the_object_has_to_be_found_for_sure(nano, scene):
    stack, labels = scene
    tracker = tracker_of(nano, stack)
    logits = {
        one.index: float(one.object_logits[0]) for one in tracker.run([mask_of(labels, 2, 4)])
    }
    doubted = EndRule(min(logits[5], logits[6]) / 1.2)  # enough to go on, but not to go on again
    followed = {2: labels[2] == 2, 3: labels[3] == 2}

    def answered(before, ending):
        tracker = tracker_of(nano, stack, ending=ending)
        results = tracker.repair([mask_of(labels, 2, 4)], 2, 4, before=before.get, stop=7, start=2)
        return [one.index for one in results]

    assert answered(followed, doubted) == [4, 3, 2]
    assert answered(followed, EndRule(doubted.object_logit / 2)) == [4, 5, 6, 3, 2]
    assert answered(followed, None) == [4, 5, 6, 3, 2]
    assert answered({}, doubted) == [4, 5, 6, 3, 2]  # nothing was followed here before
    assert answered({**followed, 5: labels[5] == 2, 6: labels[6] == 2}, doubted)[:3] == [4, 5, 6]


@pytest.fixture(scope="module")
def locked(nano, scene):
    """A correction between a prompted plane and a reviewed one, and what it answers."""
    stack, labels = scene
    prompts = [mask_of(labels, 2, 1), mask_of(labels, 2, 4)]
    return list(
        tracker_of(nano, stack).repair(
            prompts,
            2,
            4,
            before=lambda plane: labels[plane] == 2,
            reviewed=[9, 11],
            early_stop=None,
        )
    )


def test_reviewed_and_prompted_planes_end_it_and_are_never_answered(locked):
    assert [result.index for result in locked] == [4, 5, 6, 7, 8, 8, 7, 6, 5, 3, 2, 2, 3]


def test_both_passes_between_two_anchors_are_compared(locked):
    last = {result.index: result.assessments[0] for result in locked}
    assert math.isnan(last.pop(4).agreement)
    assert all(0.8 < one.agreement <= 1 for one in last.values())
    first = locked[:5]
    assert all(math.isnan(result.assessments[0].agreement) for result in first)


def test_the_nearer_anchor_counts_more(locked):
    twice = {}
    for result in locked:
        twice.setdefault(result.index, []).append(result.masks[0])
    # From plane 4 to 9, planes 5 and 6 are nearer to the correction.
    assert all((first == second).all() for first, second in (twice[5], twice[6]))
    assert any((first != second).any() for first, second in (twice[7], twice[8]))


def test_where_the_passes_disagree_the_plane_is_doubtful(nano, scene):
    stack, labels = scene
    results = tracker_of(nano, stack, region="auto").repair(
        [mask_of(labels, 1, 2)],
        1,
        2,
        before=lambda plane: labels[plane] == 3,
        reviewed=[7],
        start=2,
        early_stop=None,
    )
    last = {result.index: result.assessments[0] for result in results}
    assert sorted(last) == [2, 3, 4, 5, 6]
    assert all("disagreement" in last[plane].reasons for plane in range(3, 7))


def test_a_plane_reviewed_as_empty_is_an_end_and_no_anchor(nano, scene):
    stack, labels = scene
    results = tracker_of(nano, stack).repair(
        [mask_of(labels, 2, 2)], 2, 2, before=nothing, reviewed=[0, 5], early_stop=None
    )
    assert [result.index for result in results] == [2, 3, 4, 1]


def counted(nano, work):
    """Return how many planes the network encodes meanwhile."""
    encoded = []
    encode = nano.encode
    nano.encode = lambda image, **more: encoded.append(image.shape) or encode(image, **more)
    try:
        work()
    finally:
        del nano.encode
    return len(encoded)


def test_planes_that_are_in_the_cache_are_not_encoded_again(nano, scene):
    stack, labels = scene
    tracker = tracker_of(nano, stack, cache=EmbeddingCache())
    assert counted(nano, lambda: list(tracker.run([mask_of(labels, 2, 0)]))) == 12

    def correct():
        prompts = [mask_of(labels, 2, 0), mask_of(labels, 2, 6)]
        results = tracker.repair(prompts, 2, 6, before=nothing, reviewed=[], early_stop=None)
        assert {result.index for result in results} == set(range(1, 12))

    assert counted(nano, correct) == 0


def test_without_a_cache_each_plane_of_the_interval_is_encoded_once(nano, scene):
    stack, labels = scene
    prompts = [mask_of(labels, 2, 5)]

    def correct():
        before = lambda plane: labels[plane] == 2  # noqa: E731
        results = tracker_of(nano, stack).repair(
            prompts, 2, 5, before=before, reviewed=[3, 8], early_stop=None
        )
        assert {result.index for result in results} == {4, 5, 6, 7}

    assert counted(nano, correct) == 6


def test_anchors_beyond_the_limit_are_not_even_encoded(nano, scene):
    stack, labels = scene
    reviewed = [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]

    def correct():
        before = lambda plane: labels[plane] == 2  # noqa: E731
        tracker = tracker_of(nano, stack, anchor_limit=3)
        list(tracker.repair([mask_of(labels, 2, 5)], 2, 5, before=before, reviewed=reviewed))

    assert counted(nano, correct) == 4  # planes 4 to 7


def test_cancelling_keeps_what_was_yielded(nano, scene):
    stack, labels = scene
    asked = []
    results = tracker_of(nano, stack).repair(
        [mask_of(labels, 2, 5)], 2, 5, before=nothing, cancelled=lambda: bool(asked)
    )
    assert [next(results).index for _ in range(2)] == [5, 6]
    asked.append("stop")
    assert list(results) == []
