"""Planes of which a run reads what its regions need."""

from __future__ import annotations

import numpy as np
import pytest
from comparison import AS_IT_IS

import napari_anysam as anysam
from napari_anysam import Prompt
from napari_anysam.errors import CapabilityError
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation import tracking_source
from napari_anysam.segmentation.tracking import Tracker

COUNT, SIDE = 4, 6000
ROW, COLUMN, RADIUS = 4000, 3000, 30


class DiscStack:
    """A bright disc that drifts through large planes, made where it is read."""

    def __init__(self, count=COUNT, side=SIDE):
        self.shape, self.ndim, self.dtype = (count, side, side), 3, np.dtype(np.uint8)
        self.read = 0

    def __getitem__(self, key):
        plane, rows, columns = key
        rows, columns = (np.arange(*part.indices(self.shape[1])) for part in (rows, columns))
        self.read += len(rows) * len(columns)
        pixels = 40 + (rows[:, None] * 7 + columns * 13) % 17
        return np.where(self.truth(plane, rows[:, None], columns), 190, pixels).astype(np.uint8)

    @staticmethod
    def truth(plane, rows, columns):
        return (rows - ROW - 2 * plane) ** 2 + (columns - COLUMN - 4 * plane) ** 2 < RADIUS**2


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(3, 1, box=(ROW - 28, COLUMN - 26, ROW + 32, COLUMN + 34)),
        Prompt(3, 1, mask=np.ones((40, 40), bool), mask_origin=(ROW - 18, COLUMN - 16)),
    ],
    ids=["box", "mask"],
)
def test_only_windows_around_a_small_object_are_read(nano, prompt):
    stack = DiscStack()
    found = {one.index: one for one in Tracker(nano, Planes(stack), AS_IT_IS).run([prompt])}
    assert sorted(found) == list(range(COUNT))
    assert stack.read < COUNT * 2**20
    window = (slice(ROW - 100, ROW + 100), slice(COLUMN - 100, COLUMN + 100))
    rows, columns = np.ogrid[window]
    for plane in range(2, COUNT):
        labels = found[plane].labels
        truth = stack.truth(plane, rows, columns)
        mask = labels[window] == 3
        assert (mask & truth).sum() > 0.6 * (mask | truth).sum()
        assert np.count_nonzero(labels) == mask.sum()


def test_windows_give_the_same_as_whole_planes(nano, monkeypatch):
    stack = DiscStack(3, 400)
    prompt = Prompt(1, 0, box=(300, 300, 340, 350))
    pixels = stack[0, :, :]
    planes = np.stack([np.roll(pixels, 3 * plane, axis=1) for plane in range(3)])
    planes[:, 305:335, 305:345] += 120

    def answers():
        return list(Tracker(nano, Planes(planes), AS_IT_IS).run([prompt]))

    whole = answers()
    monkeypatch.setattr(tracking_source, "MOST_PIXELS", 100)
    for one, other in zip(whole, answers(), strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.scores, other.scores)


def test_a_pyramid_is_read_at_its_finest_level(nano):
    stack = DiscStack()
    coarse = DiscStack(side=SIDE // 2)
    prompt = Prompt(3, 1, box=(ROW - 28, COLUMN - 26, ROW + 32, COLUMN + 34))
    some, others = (
        list(Tracker(nano, Planes(levels), AS_IT_IS).run([prompt], stop=3))
        for levels in (stack, [stack, coarse])
    )
    assert not coarse.read
    for one, other in zip(some, others, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)


def test_planes_beyond_what_a_result_can_hold_are_refused_at_once(nano):
    stack = DiscStack(2, 2**14 + 1)
    with pytest.raises(CapabilityError, match=r"16385 x 16385 pixels are too large.*coarser level"):
        anysam.propagate(stack, [Prompt(1, 0, points=[(5, 5)])], nano, contrast=(0, 255))
    assert not stack.read
