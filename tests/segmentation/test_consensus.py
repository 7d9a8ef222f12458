"""Three axes and a majority."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest

from napari_anysam.errors import Cancelled, CapabilityError, ImageError, OptionsError, PromptError
from napari_anysam.networks.sam import SamModel
from napari_anysam.segmentation.consensus import consensus
from napari_anysam.segmentation.prompts import Prompt
from tiny_sam import tiny_sam

pytestmark = pytest.mark.usefixtures("one_thread")

SPACING = (3.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def ball():
    """Return (7, 24, 26), voxels three times as deep as wide, with a bright ball, and its truth."""
    z, y, x = np.ogrid[:7, :24, :26]
    truth = np.hypot(np.hypot(3 * (z - 3), y - 11), x - 13) < 7
    noise = np.random.default_rng(0).normal(300, 25, truth.shape)
    return (noise + 700 * truth).astype(np.uint16), truth


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_a_ball_is_found_and_ends_where_it_ends(nano, ball):
    image, truth = ball
    told = []
    prompt = Prompt(7, 3, mask=truth[3])
    labels = consensus(image, [prompt], nano, spacing=SPACING, progress=lambda: told.append(1))
    assert labels.shape == truth.shape
    assert labels.dtype == np.int32
    assert set(np.unique(labels)) == {0, 7}
    assert iou(labels == 7, truth) > 0.8
    np.testing.assert_array_equal(labels[3] == 7, truth[3])
    assert not labels[[0, 6]].any()
    assert 7 < len(told) <= 7 + 24 + 26


def test_prompts_on_planes_of_another_axis_of_a_lazy_array_with_channels(nano, ball):
    image, truth = ball
    coloured = dask.array.from_array(np.repeat(image[:, None], 3, axis=1), chunks=(2, 3, 24, 26))
    options = {"axis": 3, "channel_axis": 1, "spacing": SPACING}
    labels = consensus(coloured, [Prompt(1, 13, mask=truth[:, :, 13])], nano, **options)
    assert labels.shape == truth.shape
    assert iou(labels == 1, truth) > 0.7


def test_cancelling_ends_it(nano, ball):
    image, truth = ball
    told = []
    with pytest.raises(Cancelled):
        consensus(
            image,
            [Prompt(1, 3, mask=truth[3])],
            nano,
            cancelled=lambda: len(told) > 1,
            progress=lambda: told.append(1),
        )
    assert len(told) == 2


@pytest.mark.parametrize("spacing", [(1, 1), (1, 0, 1), (1, float("nan"), 1), (-1, 1, 1)])
def test_a_spacing_is_three_lengths(nano, ball, spacing):
    with pytest.raises(OptionsError, match="three numbers"):
        consensus(ball[0], [Prompt(1, 3, points=[(10, 10)])], nano, spacing=spacing)


def test_bad_requests_are_refused(nano, ball):
    image = ball[0]
    with pytest.raises(PromptError, match="no prompt"):
        consensus(image, [], nano)
    with pytest.raises(PromptError, match="outside the stack"):
        consensus(image, [Prompt(1, 9, points=[(10, 10)])], nano)
    with pytest.raises(ImageError, match="cannot follow three axes"):
        consensus(image, [Prompt(1, 3, points=[(10, 10)])], nano, contrast="follow")
    model = SamModel(tiny_sam(), name="vit-b", key="vit-b", precision="fp32")
    with pytest.raises(CapabilityError, match="SAM 2"):
        consensus(image, [Prompt(1, 3, points=[(10, 10)])], model)
