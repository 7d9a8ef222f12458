"""Divisions from masks alone, and objects followed through them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_anysam.errors import LineageError, PromptError
from napari_anysam.images.conditioning import resolve_conditioning
from napari_anysam.images.planes import Planes
from napari_anysam.images.synthetic import synthetic_divisions
from napari_anysam.segmentation.confidence import Assessment
from napari_anysam.segmentation.divisions import find_divisions, split_at_division
from napari_anysam.segmentation.following_divisions import DividingResult, follow_divisions
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.tracking import Tracker
from napari_anysam.segmentation.tracking_merge import Assessed
from napari_anysam.segmentation.tracking_results import compose, mask_answer

SHAPE = (30, 40)


def block(*windows, shape=SHAPE):
    mask = np.zeros(shape, bool)
    for window in windows:
        mask[window] = True
    return mask


WHOLE = block(np.s_[10:20, 10:30])
LEFT, RIGHT = block(np.s_[10:20, 10:18]), block(np.s_[10:20, 22:30])
SPLIT = LEFT | RIGHT


def found(*masks, **options):
    return list(find_divisions([(time, {5: mask}) for time, mask in enumerate(masks)], **options))


def test_what_falls_in_two_and_stays_so_is_a_division():
    (one,) = found(WHOLE, WHOLE, SPLIT, SPLIT, SPLIT, SPLIT)
    assert (one.parent, one.time) == (5, 2)
    parts = {mask.tobytes() for mask in one.daughters}
    assert parts == {LEFT.tobytes(), RIGHT.tobytes()}


def test_the_larger_daughter_comes_first():
    small = block(np.s_[12:18, 22:30])
    (one,) = found(WHOLE, small | LEFT, small | LEFT, small | LEFT)
    assert (one.daughters[0] == LEFT).all()


def test_a_proposal_comes_as_soon_as_it_has_persisted():
    looked = []

    def series():
        for time, mask in enumerate([WHOLE, SPLIT, SPLIT, SPLIT, SPLIT]):
            looked.append(time)
            yield time, {5: mask}

    next(find_divisions(series(), persist=2))
    assert looked == [0, 1, 2]


@pytest.mark.parametrize(
    "masks",
    [
        pytest.param([WHOLE, SPLIT, SPLIT, WHOLE, SPLIT, SPLIT], id="not for long enough"),
        pytest.param([SPLIT] * 6, id="in two from the start"),
        pytest.param([WHOLE, *[WHOLE | block(np.s_[:2, :2])] * 5], id="a part too small"),
        pytest.param([LEFT, *[SPLIT] * 5], id="a part where the object was not"),
        pytest.param([WHOLE, WHOLE & False, *[SPLIT] * 4], id="lost in between"),
        pytest.param(
            [WHOLE, *[block(np.s_[10:15, 10:20], np.s_[15:20, 20:30])] * 5],
            id="touching at a corner",
        ),
    ],
)
def test_no_division_is(masks):
    assert found(*masks) == []


def test_how_far_apart_is_asked_for():
    masks = [WHOLE, SPLIT, SPLIT, SPLIT]  # five pixels from one to the other
    assert len(found(*masks, apart=5)) == 1
    assert found(*masks, apart=5.5) == []


def test_an_object_divides_once():
    assert len(found(WHOLE, *[SPLIT] * 3, WHOLE, *[SPLIT] * 3)) == 1


def test_volumes_divide_too():
    deep = [np.stack([mask] * 3) for mask in (WHOLE, SPLIT, SPLIT, SPLIT)]
    (one,) = found(*deep)
    assert one.daughters[0].shape == (3, *SHAPE)


def test_distances_are_in_the_unit_of_the_spacing():
    lower, upper = np.zeros((2, 9, *SHAPE), bool)
    lower[:3], upper[6:] = WHOLE, WHOLE  # four planes from one to the other
    masks = [np.stack([WHOLE] * 9), *[lower | upper] * 3]
    assert found(*masks, apart=4.5) == []
    assert len(found(*masks, apart=4.5, spacing=(2, 1, 1))) == 1
    assert found(*masks, apart=8.5, spacing=(2, 1, 1)) == []


def test_a_missing_time_point_ends_what_was_waiting():
    series = [(0, {1: WHOLE}), (1, {1: SPLIT}), (3, {1: SPLIT}), (4, {1: SPLIT})]
    assert list(find_divisions(series)) == []


def test_time_points_come_in_order():
    with pytest.raises(LineageError, match="in their order"):
        list(find_divisions([(1, {1: WHOLE}), (0, {1: WHOLE})]))


@pytest.mark.parametrize("wrong", [{"share": 0}, {"share": 0.7}, {"apart": -1}, {"persist": 0}])
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(LineageError, match="cannot be looked for"):
        found(WHOLE, **wrong)


@given(
    gap=st.integers(1, 8),
    persist=st.integers(1, 5),
    seen=st.integers(1, 6),
    turned=st.booleans(),
)
def test_a_split_is_found_if_it_is_seen_for_long_enough(gap, persist, seen, turned):
    split = WHOLE.copy()
    split[:, 20 - gap // 2 : 20 - gap // 2 + gap] = False
    masks = [mask.T if turned else mask for mask in [WHOLE, *[split] * seen]]
    proposals = found(*masks, persist=persist)
    assert len(proposals) == (seen >= persist)
    for one in proposals:
        assert (np.logical_or(*one.daughters) == masks[1]).all()


def test_daughters_are_prompts_from_the_division_on():
    (one,) = found(WHOLE, WHOLE, SPLIT, SPLIT, SPLIT)
    prompts, parents = split_at_division(one, 8)
    assert parents == {8: 5, 9: 5}
    assert [(prompt.object_id, prompt.plane) for prompt in prompts] == [(8, 2), (9, 2)]
    assert (prompts[0].mask | prompts[1].mask == SPLIT).all()
    with pytest.raises(LineageError, match="not in use"):
        split_at_division(one, 4)


@pytest.fixture(scope="module")
def dividing():
    return synthetic_divisions(0, (9, 128, 128), divisions=1)


def tracker(image, model):
    planes = Planes(image)
    return Tracker(model, planes, resolve_conditioning(planes))


def followed(results, shape):
    labels, parents = np.zeros(shape, np.int32), {}
    for one in results:
        index = one.result.index
        labels[index] = one.drawn_over(labels[index])
        parents = one.parents
    return labels, parents


def test_a_dividing_cell_becomes_two_with_a_link_to_it(nano, dividing, one_thread):
    image, truth, parents = dividing
    (mother,) = set(parents.values())
    others = [int(number) for number in np.unique(truth[0]) if number not in (0, mother)][:1]
    prompts = [Prompt(one, 0, mask=truth[0] == one) for one in (mother, *others)]
    results = follow_divisions(tracker(image, nano), prompts)
    labels, links = followed(results, image.shape)

    assert list(links.values()) == [mother, mother]
    ends = np.flatnonzero((labels == mother).any(axis=(1, 2)))[-1]
    true_end = np.flatnonzero((truth == mother).any(axis=(1, 2)))[-1]
    assert abs(int(ends) - int(true_end)) <= 1
    matched = {int(np.bincount(truth[-1][labels[-1] == child]).argmax()): child for child in links}
    assert set(matched) == set(parents)
    for true_child, child in matched.items():
        both = (labels[-1] == child) & (truth[-1] == true_child)
        assert both.sum() > 0.8 * (truth[-1] == true_child).sum()
    for other in others:
        assert (labels[-1] == other).any()


def test_a_cancelled_run_follows_no_daughters(nano, dividing, one_thread):
    image, truth, parents = dividing
    (mother,) = set(parents.values())
    seen = []
    prompts = [Prompt(mother, 0, mask=truth[0] == mother)]
    results = follow_divisions(tracker(image, nano), prompts, cancelled=lambda: len(seen) > 2)
    seen.extend(one.generation for one in results)
    assert seen == [0, 0, 0]


def assessed(mask):
    return Assessed(mask_answer(mask), Assessment(1.0, 10.0, int(mask.sum())))


def test_daughters_take_what_was_their_mothers_and_nobody_elses():
    def one(generation, ended, **masks):
        answers = [(int(name[2:]), assessed(mask)) for name, mask in masks.items()]
        return DividingResult(compose(4, answers, SHAPE), generation, frozenset(ended), {})

    other = block(np.s_[10:20, 28:34])
    labels = one(0, (), id5=SPLIT, id6=other & ~SPLIT).drawn_over(np.zeros(SHAPE, np.int32))
    labels = one(1, (5,), id7=LEFT, id8=RIGHT | other).drawn_over(labels)
    assert (labels[LEFT] == 7).all()
    assert (labels[RIGHT] == 8).all()
    assert (labels[other & ~RIGHT] == 6).all()
    top = block(np.s_[10:14, 10:18])
    third = one(2, (5, 7), id9=top, id10=block(np.s_[16:20, 10:18]))
    again = third.drawn_over(labels)
    assert set(np.unique(again)) == {0, 6, 8, 9, 10}
    assert (again[top] == 9).all()
    for part in (np.s_[0:12, 0:25], np.s_[12:30, 7:40]):
        np.testing.assert_array_equal(third.drawn_over(labels[part], *part), again[part])


def test_bad_requests_are_refused_at_once(nano, dividing):
    with pytest.raises(PromptError, match="no prompt"):
        follow_divisions(tracker(dividing[0], nano), [])
    with pytest.raises(LineageError, match="cannot be looked for"):
        follow_divisions(tracker(dividing[0], nano), [Prompt(points=[(5, 5)], plane=0)], share=2)
