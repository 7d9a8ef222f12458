"""Cells of volumes that divide, followed with their daughters through z and t."""

from __future__ import annotations

import numpy as np
import pytest

from napari_anysam.errors import LineageError
from napari_anysam.images.synthetic import synthetic_volume_divisions
from napari_anysam.segmentation.following_volume_divisions import follow_volume_divisions
from napari_anysam.segmentation.prompts import Prompt

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (7, 5, 96, 96)
PLANE = 2


@pytest.fixture(scope="module")
def dividing():
    return synthetic_volume_divisions(0, SHAPE, divisions=1)


def prompts(truth):
    return {0: [Prompt(1, PLANE, mask=truth[0, PLANE] == 1)]}


def drawn(results):
    labels, parents = np.zeros(SHAPE, np.int32), {}
    for one in results:
        place = one.time, one.plane
        labels[place] = one.drawn.drawn_over(labels[place])
        parents = one.drawn.parents
    return labels, parents


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_both_daughters_are_followed_through_their_volumes(nano, dividing):
    image, truth, true_parents = dividing
    labels, parents = drawn(follow_volume_divisions(image, prompts(truth), nano))
    assert parents == {2: 1, 3: 1}
    born = int(np.flatnonzero((labels == 2).any(axis=(1, 2, 3)))[0])
    true_born = int(np.flatnonzero((truth == min(true_parents)).any(axis=(1, 2, 3)))[0])
    assert abs(born - true_born) <= 1
    assert not (labels[born:] == 1).any()
    best = [max(iou(labels == one, truth == other) for other in true_parents) for one in parents]
    assert min(best) > 0.5


def test_mothers_end_where_no_daughter_is_found(nano, dividing):
    image, truth, _ = dividing
    image = image.copy()
    image[-1] = np.median(image[0])  # nothing is to be seen in the last volume
    results = list(follow_volume_divisions(image, prompts(truth), nano, persist=2))
    labels, parents = drawn(results)
    born = int(np.flatnonzero((labels == 2).any(axis=(1, 2, 3)))[0])
    assert parents
    assert not (labels[born:] == 1).any()


def test_a_cancelled_run_follows_no_daughters(nano, dividing):
    image, truth, _ = dividing
    seen = []
    results = follow_volume_divisions(image, prompts(truth), nano, cancelled=lambda: len(seen) > 2)
    seen.extend(one.drawn.generation for one in results)
    assert seen == [0, 0, 0]


def test_wrong_options_are_told_at_once(nano, dividing):
    with pytest.raises(LineageError, match="cannot be looked for"):
        follow_volume_divisions(dividing[0], prompts(dividing[1]), nano, share=2)
