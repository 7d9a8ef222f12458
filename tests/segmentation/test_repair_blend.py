"""Two answers for one plane are averaged by confidence and nearness; an empty one gives way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_anysam.segmentation.confidence import Assessment
from napari_anysam.segmentation.regions import Region
from napari_anysam.segmentation.repair_blend import LIMIT, SoftlyKept, blended
from napari_anysam.segmentation.tracking_merge import Assessed
from napari_anysam.segmentation.tracking_results import Answer

PLANE = Region(0, 0, 12, 14)

logits = st.floats(-12, 12, width=32)


def found(values, score=0.8, presence=6.0, origin=(0, 0)):
    values = np.asarray(values, np.float32)
    answer = Answer(Region(*origin, *values.shape), values, score, presence)
    return Assessed(answer, Assessment(score, presence, int((values > 0).sum())))


def absent():
    return found([[-1024.0]], score=0.4, presence=-5.0)


def drawn(one):
    mask = np.zeros(PLANE.shape, bool)
    mask[one.answer.region.slices] = one.answer.logits > 0
    return mask


@st.composite
def answers(draw):
    shape = draw(arrays.array_shapes(min_dims=2, max_dims=2, max_side=6))
    origin = draw(st.integers(0, 6)), draw(st.integers(0, 8))
    values = draw(arrays.arrays(np.float32, shape, elements=logits))
    return found(values, draw(st.floats(0.05, 1)), draw(st.floats(0.1, 10)), origin)


distances = st.integers(1, 9)


@given(answers())
def test_what_is_kept_draws_the_same_and_is_as_it_was_within_the_limit(one):
    kept = SoftlyKept.of(one).restored()
    assert (drawn(kept) == drawn(one)).all()
    assert kept.assessment is one.assessment
    here, there = kept.answer.region.overlap(one.answer.region)
    was = one.answer.logits[there].clip(-LIMIT, LIMIT)
    assert kept.answer.logits[here] == pytest.approx(was, abs=LIMIT / 127 + 1e-6)


@given(answers(), answers(), distances, distances)
def test_it_draws_what_both_draw_and_nothing_else_than_either(first, second, near, far):
    mask = drawn(blended(first, second, (near, far), 0))
    one, other = drawn(first), drawn(second)
    assert not (mask & ~(one | other)).any()
    assert (mask | ~(one & other)).all()
    assert mask.any() == (one | other).any()


@given(answers(), distances, distances)
def test_an_answer_without_a_mask_gives_way_however_near_it_is(one, near, far):
    for pair, where in (((one, absent()), (near, far)), ((absent(), one), (far, near))):
        known = blended(*pair, where, 0)
        assert (drawn(known) == drawn(one)).all()
        if drawn(one).any():
            assert known.assessment.agreement == 0
            assert known.answer.object_logit == one.answer.object_logit


def test_where_neither_has_a_mask_the_nearer_one_holds():
    first, second = absent(), found([[-3.0]], score=0.6, presence=-1.0)
    assert blended(first, second, (2, 1), 5).answer is second.answer
    assert blended(first, second, (2, 2), 5).answer is first.answer
    known = blended(first, second, (1, 2), 5).assessment
    assert (known.area, known.agreement) == (0, 1)
    assert math.isnan(known.area_change)


def test_the_nearer_and_the_surer_one_counts_more():
    first, second = found([[LIMIT, -LIMIT]]), found([[-LIMIT, LIMIT]])
    assert drawn(blended(first, second, (1, 2), 0))[0, :2].tolist() == [True, False]
    assert drawn(blended(first, second, (2, 1), 0))[0, :2].tolist() == [False, True]
    surer = found([[-LIMIT, LIMIT]], score=0.95)
    assert drawn(blended(first, surer, (1, 1), 0))[0, :2].tolist() == [False, True]


def test_a_rim_on_which_one_side_hardly_doubts_follows_the_other():
    first, second = found([[9.0, -0.5]]), found([[9.0, 3.0]])
    assert drawn(blended(first, second, (1, 2), 0))[0, :2].tolist() == [True, True]


def test_area_and_its_change_are_those_of_what_is_drawn():
    known = blended(found([[3.0, 2.0, 1.0]]), found([[3.0, 2.0, 1.0]]), (1, 3), 6).assessment
    assert (known.area, known.area_change, known.agreement) == (3, -0.5, 1)
