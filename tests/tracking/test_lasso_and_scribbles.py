"""Lassos, scribbles and masks in a window, followed through planes."""

from __future__ import annotations

import numpy as np
import pytest

from napari_anysam import Prompt, Scribble, propagate
from napari_anysam.errors import PromptError
from napari_anysam.segmentation.derived_prompts import POINTS_ON_A_STROKE, sampled

STROKE = Scribble([(70, 92), (78, 98), (86, 104)])


def iou(one, other):
    return (one & other).sum() / max(1, (one | other).sum())


def test_a_scribble_is_followed(nano, moving_discs):
    stack, labels = moving_discs
    prompt = Prompt(2, 3, scribbles=[STROKE])
    found = list(propagate(stack[:7], [prompt], model=nano))
    assert [result.index for result in found] == [3, 4, 5, 6, 2, 1, 0]
    assert all(iou(result.masks[0], labels[result.index] == 2) > 0.8 for result in found)


def test_in_whole_planes_a_scribble_is_remembered_as_points_along_it(nano, moving_discs):
    points = sampled(STROKE.vertices, POINTS_ON_A_STROKE)
    prompts = Prompt(2, 0, scribbles=[STROKE]), Prompt(2, 0, points=points)
    drawn, clicked = (
        list(propagate(moving_discs[0][:3], [one], model=nano, region="plane")) for one in prompts
    )
    for one, other in zip(drawn, clicked, strict=True):
        np.testing.assert_array_equal(one.masks, other.masks)


@pytest.mark.parametrize("region", ["auto", "plane"])
def test_the_prompted_plane_stays_inside_the_lasso(nano, moving_discs, region):
    stack, labels = moving_discs
    # The disc lies at rows 65 to 95 and columns 80 to 116; the lasso ends in its middle.
    lasso = [(55, 70), (55, 100), (105, 100), (105, 70)]
    prompt = Prompt(2, 2, points=[(79, 92)], lasso=lasso)
    first = next(iter(propagate(stack[:4], [prompt], model=nano, region=region)))
    assert first.index == 2
    assert not first.masks[0][:, 101:].any()
    inside = labels[2, :, :101] == 2
    assert iou(first.masks[0][:, :101], inside) > 0.6


@pytest.mark.parametrize("region", ["auto", "plane"])
def test_a_mask_in_its_window_is_followed_as_the_whole_one(nano, moving_discs, region):
    stack, labels = moving_discs
    whole = labels[0] == 1
    rows, columns = np.nonzero(whole)
    top, left = int(rows.min()), int(columns.min())
    part = whole[top : rows.max() + 1, left : columns.max() + 1]
    prompts = Prompt(1, 0, mask=whole), Prompt(1, 0, mask=part, mask_origin=(top, left))
    found = [list(propagate(stack[:3], [one], model=nano, region=region)) for one in prompts]
    np.testing.assert_array_equal(found[1][0].masks[0], whole)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)


def test_a_mask_beside_a_lasso_or_scribble_is_refused(moving_discs):
    stack, labels = moving_discs
    mask = labels[0] == 1
    lasso = [(20, 20), (20, 80), (80, 80)]
    for more in ({"lasso": lasso}, {"scribbles": [Scribble([(40, 50)])]}):
        with pytest.raises(PromptError, match="one or the other"):
            propagate(stack, [Prompt(1, 0, mask=mask, **more)])


def test_a_negative_scribble_alone_is_refused(moving_discs):
    with pytest.raises(PromptError, match="positive point"):
        propagate(moving_discs[0], [Prompt(1, 0, scribbles=[Scribble([(9, 9)], positive=False)])])
