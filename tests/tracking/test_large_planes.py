"""Planes of which a run reads what its regions need."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from comparison import AS_IT_IS

import napari_anysam as anysam
from napari_anysam import Prompt
from napari_anysam.errors import CapabilityError
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation import tracking_regions, tracking_source
from napari_anysam.segmentation.tracking import Tracker
from napari_anysam.segmentation.windows import seen_from, tight_window

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


def test_a_small_object_is_followed_in_planes_that_fit_no_memory(nano):
    stack = DiscStack(3, 40_000)
    box = Prompt(3, 0, box=(ROW - 30, COLUMN - 30, ROW + 30, COLUMN + 30))
    click = Prompt(5, 2, points=[(ROW + 4, COLUMN + 8)])
    results = anysam.propagate(stack, [box, click], nano, contrast=(0, 255))
    tracemalloc.start()
    try:
        found = {one.index: one for one in results}
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sorted(found) == [0, 1, 2]
    assert peak < 2**28  # a plane of it has 1.6e9 pixels; a click is looked at in 6144 x 6144
    assert stack.read < 2**28
    rows, columns = slice(ROW - 100, ROW + 100), slice(COLUMN - 100, COLUMN + 100)
    for plane, result in found.items():
        assert result.object_ids == (3, 5)
        truth = stack.truth(plane, *np.ogrid[rows, columns])
        for window in result.windows:
            mask = seen_from(
                window, tight_window(np.ones((200, 200), bool), (ROW - 100, COLUMN - 100))
            )
            assert window.area == mask.sum()
            assert (mask & truth).sum() > 0.6 * (mask | truth).sum()
        assert set(np.unique(result.labels_in(rows, columns))) <= {0, 3, 5}


def test_a_prompt_that_finds_nothing_in_such_planes_costs_no_more(nano):
    stack = DiscStack(2, 2**14 + 1)
    corners = [(8999.6, 8999.6), (8999.6, 9000.4), (9000.4, 9000.4), (9000.4, 8999.6)]
    one_pixel = Prompt(1, 0, lasso=corners, points=[(9000, 9000)], polarity=[False])
    first, *_ = Tracker(nano, Planes(stack), AS_IT_IS).run([one_pixel])
    assert first.windows == (None,)
    assert stack.read < 2**20


def test_such_planes_are_not_followed_as_a_whole(nano):
    stack = DiscStack(2, 2**14 + 1)
    remedy = r"16385 x 16385 pixels are too large.*region='auto'.*coarser level"
    with pytest.raises(CapabilityError, match=remedy):
        anysam.propagate(
            stack, [Prompt(1, 0, points=[(5, 5)])], nano, region="plane", contrast=(0, 255)
        )
    assert not stack.read


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(4, 0, box=(100, 100, 15_000, 15_000)),
        Prompt(4, 0, lasso=[(100, 100), (15_000, 100), (8000, 15_000)]),
    ],
    ids=["box", "lasso"],
)
def test_an_object_that_fills_such_planes_is_refused_at_once(nano, prompt):
    stack = DiscStack(2, 2**14 + 1)
    small = Prompt(3, 0, box=(ROW, COLUMN, ROW + 30, COLUMN + 30))
    with pytest.raises(CapabilityError, match=r"Object 4 would be followed in.*coarser level"):
        anysam.propagate(stack, [small, prompt], nano, contrast=(0, 255))
    tracker = Tracker(nano, Planes(stack), AS_IT_IS)
    with pytest.raises(CapabilityError, match=r"Object 4 would be followed in.*coarser level"):
        tracker.repair([prompt], 4, 0, before=lambda _: None)
    assert not stack.read


def test_an_object_that_outgrows_what_can_be_held_ends_the_run_with_a_remedy(nano, monkeypatch):
    rows, columns = np.ogrid[:500, :500]
    distance = np.hypot(rows - 250, columns - 250)
    dark = 40 + (rows * 7 + columns * 13) % 17
    stack = np.stack([np.where(distance < radius, 190, dark) for radius in (12, 15, 19, 24)])
    small = Prompt(6, 0, box=(238, 238, 262, 262))
    monkeypatch.setattr(tracking_regions, "MOST_PIXELS", 100**2)
    results = Tracker(nano, Planes(stack.astype(np.uint8)), AS_IT_IS).run([small])
    assert next(results).windows[0] is not None
    with pytest.raises(CapabilityError, match=r"Object 6 would be followed in.*coarser level"):
        list(results)
