"""Objects that leave, come back or take another one's place, and what enters their memory."""

from __future__ import annotations

import numpy as np
import pytest
from comparison import AS_IT_IS

from napari_anysam import Prompt
from napari_anysam.errors import OptionsError
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.confidence import DoubtLimits
from napari_anysam.segmentation.tracking import Tracker

GONE = range(3, 8)
BACK = range(8, 11)


@pytest.fixture(scope="module")
def leaving(moving_discs):
    """Disc 3, which does not move, is not there on some planes; disc 2 always is."""
    stack, labels = (array[:11].copy() for array in moving_discs)
    for plane in GONE:
        background = stack[plane][labels[plane] == 0]
        hole = labels[plane] == 3
        stack[plane][hole] = background[: hole.sum()]
        labels[plane][hole] = 0
    return stack, labels


def prompts_of(labels):
    return [Prompt(number, 0, mask=labels[0] == number) for number in (2, 3)]


def run(nano, stack, prompts, **options):
    options.setdefault("region", "plane")
    return list(Tracker(nano, Planes(stack), AS_IT_IS, **options).run(prompts))


def reasons(results, object_id):
    return {
        result.index: result.assessments[result.object_ids.index(object_id)].reasons
        for result in results
    }


@pytest.mark.parametrize("region", ["plane", "auto"])
def test_a_lost_object_writes_nothing_is_marked_and_goes_on_when_it_is_back(region, nano, leaving):
    stack, labels = leaving
    results = run(nano, stack, prompts_of(labels), region=region)
    lost = [plane for plane, why in reasons(results, 3).items() if "lost" in why]
    assert lost == list(GONE)[2:]
    for plane in GONE:
        assert not results[plane].masks[1].any()
        assert results[plane].object_logits[1] <= 0
    for plane in BACK:
        truth = labels[plane] == 3
        found = results[plane].masks[1]
        assert (found & truth).sum() / (found | truth).sum() > 0.8
    assert not any(reasons(results, 2).values())


def test_the_number_of_planes_until_an_object_is_lost_is_a_setting(nano, leaving):
    stack, labels = leaving
    limits = DoubtLimits(lost_after=1)
    found = reasons(run(nano, stack[:5], prompts_of(labels), limits=limits), 3)
    assert [plane for plane, why in found.items() if "lost" in why] == [3, 4]


def memories_at_each_plane(nano, stack, prompts, **options):
    """Return how many spatial memories each object has on each followed plane."""
    counts = []
    follow = nano.follow

    def counting(embedding, recalls, *, plane_count):
        counts.append([len(recall.features) for recall in recalls])
        return follow(embedding, recalls, plane_count=plane_count)

    nano.follow = counting
    try:
        run(nano, stack, prompts, **options)
    finally:
        del nano.follow
    return counts


def test_by_default_every_plane_is_remembered(nano, leaving):
    stack, labels = leaving
    counts = memories_at_each_plane(nano, stack, prompts_of(labels))
    assert counts == [[min(plane, 7)] * 2 for plane in range(1, 11)]


def test_planes_of_low_score_and_without_the_object_are_not_remembered(nano, leaving):
    stack, labels = leaving
    counts = memories_at_each_plane(nano, stack, prompts_of(labels), memory_threshold=0.5)
    assert [first for first, _ in counts] == [min(plane, 7) for plane in range(1, 11)]
    # Planes 1 and 2 are remembered until they are too old, then those from plane 8 on.
    assert [second for _, second in counts] == [1, 2, 3, 3, 3, 3, 3, 2, 2, 3]
    none = memories_at_each_plane(nano, stack, prompts_of(labels), memory_threshold=1.0)
    assert none == [[1, 1]] * 10


def test_a_threshold_that_no_plane_misses_changes_nothing(nano, moving_discs):
    stack, labels = moving_discs
    prompts = prompts_of(labels)
    plain = run(nano, stack[:6], prompts)
    limited = run(nano, stack[:6], prompts, memory_threshold=0.5)
    for one, other in zip(plain, limited, strict=True):
        assert (one.masks == other.masks).all()


@pytest.fixture(scope="module")
def meeting():
    """Two discs on the first plane; on the others one disc, half way between them."""
    rows, columns = np.mgrid[:96, :96]
    stack = np.random.default_rng(0).normal(60, 8, (7, 96, 96))
    left, middle, right = ((rows - 48) ** 2 + (columns - x) ** 2 < 144 for x in (34, 48, 62))
    stack[0][left | right] += 110
    stack[1:, middle] += 110
    return stack.clip(0, 255).astype(np.uint8), left, right


def test_an_object_that_collapses_onto_another_is_marked(nano, meeting):
    stack, left, right = meeting
    results = run(nano, stack, [Prompt(1, 0, mask=left), Prompt(2, 0, mask=right)])
    marks = [["collapsed" in one.reasons for one in result.assessments] for result in results]
    assert not any(map(any, marks[:4]))
    assert all(sum(plane) == 1 for plane in marks[4:])
    for result, plane in zip(results[4:], marks[4:], strict=True):
        lesser = plane.index(True)
        assert result.scores[lesser] < result.scores[1 - lesser]
        assert result.assessments[lesser].confidence == 0


@pytest.mark.parametrize(("limit", "memories"), [(None, 4), (3, 3), (2, 2)])
def test_the_number_of_anchors_that_count_is_a_setting(limit, memories, nano, moving_discs):
    stack, labels = moving_discs
    prompts = [Prompt(1, plane, mask=labels[plane] == 1) for plane in (7, 8, 9, 10)]
    counts = memories_at_each_plane(nano, stack[:11], prompts, anchor_limit=limit)
    # Going backward, on plane 6 the anchor on 7 is near; those not chosen count as recent ones.
    assert counts[0] == [4]
    # On plane 0 the anchors are too old to be recent, and six followed planes are remembered.
    assert counts[-1] == [memories + 6]


@pytest.mark.parametrize(
    ("option", "value"), [("memory_threshold", 1.5), ("memory_threshold", -1), ("anchor_limit", 1)]
)
def test_settings_that_make_no_sense_are_refused(option, value, nano, moving_discs):
    with pytest.raises(OptionsError, match=option):
        Tracker(nano, Planes(moving_discs[0]), AS_IT_IS, **{option: value})
