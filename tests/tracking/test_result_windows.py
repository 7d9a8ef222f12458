"""What a result holds by bounding boxes is what whole planes of logits would say."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_anysam.segmentation.confidence import Assessment
from napari_anysam.segmentation.lifetimes import living_windows
from napari_anysam.segmentation.regions import Region
from napari_anysam.segmentation.tracking_merge import Assessed
from napari_anysam.segmentation.tracking_results import Answer, compose
from napari_anysam.segmentation.windows import tight_window

SHAPE = (5, 6)


@st.composite
def found(draw):
    """Objects in any order of ids, each in a region of its own; few values, so that many tie."""
    ids = draw(st.lists(st.integers(1, 9), unique=True, max_size=5))
    answers = []
    for object_id in ids:
        row, column = draw(st.integers(0, SHAPE[0] - 1)), draw(st.integers(0, SHAPE[1] - 1))
        height = draw(st.integers(1, SHAPE[0] - row))
        width = draw(st.integers(1, SHAPE[1] - column))
        logits = draw(
            arrays(np.float32, (height, width), elements=st.sampled_from([-1.0, 0.0, 1.0, 2.0]))
        )
        answer = Answer(Region(row, column, height, width), logits, object_id / 10, object_id)
        answers.append((object_id, Assessed(answer, Assessment(0.5, 1.0, 3))))
    return answers


def drawn_on_planes(answers):
    """Draw everything on planes, as whole arrays."""
    answers = sorted(answers, key=lambda pair: pair[0])
    labels, highest = np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.float32)
    masks = np.zeros((len(answers), *SHAPE), bool)
    for mask, (object_id, one) in zip(masks, answers, strict=True):
        logits = np.full(SHAPE, -1, np.float32)
        logits[one.answer.region.slices] = one.answer.logits
        mask[...] = logits > 0
        labels[logits > highest] = object_id
        highest = np.maximum(highest, logits)
    return labels, masks


@settings(deadline=None)
@given(found())
def test_labels_and_masks_are_those_of_whole_planes(answers):
    result = compose(4, answers, SHAPE)
    labels, masks = drawn_on_planes(answers)
    assert (result.index, result.object_ids) == (4, tuple(sorted(one for one, _ in answers)))
    assert result.labels.dtype == np.int32
    np.testing.assert_array_equal(result.labels, labels)
    assert result.masks.shape == masks.shape
    np.testing.assert_array_equal(result.masks, masks)
    np.testing.assert_allclose(result.scores, [one / 10 for one in result.object_ids])
    np.testing.assert_allclose(result.object_logits, result.object_ids)


@settings(deadline=None)
@given(found(), st.data())
def test_any_part_of_the_labels_is_cut_from_the_whole(answers, data):
    sides = []
    for length in SHAPE:
        start = data.draw(st.integers(0, length))
        sides.append(slice(start, data.draw(st.integers(start, length))))
    part = compose(0, answers, SHAPE).labels_in(*sides)
    np.testing.assert_array_equal(part, drawn_on_planes(answers)[0][tuple(sides)])


@settings(deadline=None)
@given(found(), st.sets(st.integers(1, 9)))
def test_what_is_not_there_leaves_its_pixels_to_others(answers, absent):
    labels, masks = drawn_on_planes(answers)
    free = np.isin(labels, list(absent))
    result = compose(0, answers, SHAPE)
    living = dict(living_windows(result, absent))
    assert living.keys() == set(result.object_ids) - absent
    for object_id, mask in zip(result.object_ids, masks, strict=True):
        if object_id in living:
            wanted = tight_window((labels == object_id) | (mask & free))
            assert (living[object_id] is None) == (wanted is None)
            if wanted is not None:
                assert living[object_id].origin == wanted.origin
                np.testing.assert_array_equal(living[object_id].mask, wanted.mask)


def test_a_result_holds_boxes_however_large_the_plane():
    logits = np.full((400, 400), -1, np.float32)
    logits[100:120, 100:130] = 1
    answer = Answer(Region(30_000, 20_000, 400, 400), logits, 0.9, 1.0)
    plane_shape = (40_000, 40_000)
    result = compose(0, [(7, Assessed(answer, Assessment(0.9, 1.0, 600)))], plane_shape)
    (window,) = result.windows
    assert (window.origin, window.shape, window.area) == ((30_100, 20_100), (20, 30), 600)
    assert result.shown == (window,)
    part = result.labels_in(slice(30_090, 30_130), slice(20_090, 20_140))
    assert (part == 7).sum() == 600
    assert not {"labels", "masks"} & vars(result).keys()
