"""Objects followed through volumes and time with one id."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest

from napari_anysam.errors import ImageError, PromptError
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.time_lapse import follow_volume_series

pytestmark = pytest.mark.usefixtures("one_thread")

TIMES, DEPTH = 3, 4


def balls(first_planes=(0, 0, 0)):
    """Return (3, 4, 64, 80): two bright balls that move; ball 1 begins at these planes."""
    rows, columns = np.ogrid[:64, :80]
    truth = np.zeros((TIMES, DEPTH, 64, 80), np.uint8)
    for time in range(TIMES):
        for plane in range(DEPTH):
            radius = 11 - 1.5 * abs(plane - 2)
            if plane >= first_planes[time]:
                truth[time, plane][np.hypot(rows - 22 - 2 * time, columns - 20) < radius] = 1
            truth[time, plane][np.hypot(rows - 42, columns - 58 + 2 * time) < radius] = 2
    noise = np.random.default_rng(0).normal(300, 25, truth.shape)
    return (noise + 700 * (truth > 0)).astype(np.uint16), truth


SERIES, TRUTH = balls()


def told(number, time, plane, truth=TRUTH):
    return Prompt(number, plane, mask=truth[time, plane] == number)


def drawn(results):
    labels = np.zeros(SERIES.shape, np.int32)
    for one in results:
        labels[one.time, one.plane] = one.answer.labels
    return labels


def iou(labels, number, truth=TRUTH):
    one, other = labels == number, truth == number
    return (one & other).sum() / (one | other).sum()


def test_one_prompt_gives_one_id_everywhere(nano):
    results = list(follow_volume_series(SERIES, {1: [told(1, 1, 2)]}, nano))
    places = [(one.time, one.plane) for one in results]
    assert sorted(places) == [(time, plane) for time in range(TIMES) for plane in range(DEPTH)]
    assert [time for time, _ in places[:DEPTH]] == [1] * DEPTH  # the prompted volume comes first
    assert iou(drawn(results), 1) > 0.85


def test_objects_prompted_at_other_times_and_planes_come_together(nano):
    prompts = {0: [told(1, 0, 2)], 2: [told(2, 2, 1)]}
    labels = drawn(follow_volume_series(SERIES, prompts, nano))
    for number in (1, 2):
        assert iou(labels, number) > 0.8
    assert set(np.unique(labels)) == {0, 1, 2}
    np.testing.assert_array_equal(labels[0, 2] == 1, TRUTH[0, 2] == 1)


def test_through_z_stays_at_its_time_and_through_t_on_its_plane(nano):
    prompts = {1: [told(1, 1, 2)]}
    places = {
        order: sorted(
            (one.time, one.plane)
            for one in follow_volume_series(SERIES, prompts, nano, order=order)
        )
        for order in ("z", "t")
    }
    assert places == {
        "z": [(1, plane) for plane in range(DEPTH)],
        "t": [(time, 2) for time in range(TIMES)],
    }


def test_a_range_of_time_points_and_one_direction(nano):
    prompts = {1: [told(1, 1, 2)]}
    results = follow_volume_series(SERIES, prompts, nano, direction="forward", stop=2)
    assert {one.time for one in results} == {1}
    results = follow_volume_series(SERIES, prompts, nano, start=2)
    assert {one.time for one in results} == {2}


def test_the_largest_plane_holds_an_object_that_leaves_the_prompted_one(nano):
    series, truth = balls(first_planes=(0, 2, 2))
    prompts = {0: [told(1, 0, 0, truth)]}
    prompted, largest = (
        drawn(follow_volume_series(series, prompts, nano, through=through))
        for through in ("prompted", "largest")
    )
    assert iou(largest[1:], 1, truth[1:]) > 0.7
    assert iou(prompted[1:], 1, truth[1:]) < iou(largest[1:], 1, truth[1:])


class CountingSeries:
    """A series that notes which planes are read."""

    def __init__(self, array):
        self._array = array
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, array.dtype
        self.reads = []

    def __getitem__(self, key):
        self.reads.append(key[:2])
        return self._array[key]


def test_planes_are_read_as_results_are_asked_for(nano):
    counting = CountingSeries(SERIES)
    results = follow_volume_series(counting, {1: [told(1, 1, 2)]}, nano, contrast=(200, 1100))
    assert not counting.reads
    next(results)
    assert set(counting.reads) == {(1, 2)}


def test_lazy_arrays_and_channels_give_the_same(nano):
    prompts, options = {0: [told(1, 0, 2)]}, {"order": "z", "contrast": (200, 1100)}
    expected = drawn(follow_volume_series(SERIES, prompts, nano, **options))
    lazy = dask.array.from_array(SERIES, chunks=(1, 2, 64, 80))
    np.testing.assert_array_equal(
        drawn(follow_volume_series(lazy, prompts, nano, **options)), expected
    )
    coloured = np.repeat(SERIES[:, None], 3, axis=1)
    found = follow_volume_series(coloured, prompts, nano, channel_axis=1, **options)
    np.testing.assert_array_equal(drawn(found), expected)


def test_a_cancelled_run_ends_and_keeps_what_it_gave(nano):
    given = []
    prompts = {0: [told(1, 0, 2)]}
    results = follow_volume_series(SERIES, prompts, nano, cancelled=lambda: len(given) > 1)
    given.extend(results)
    assert len(given) == 2


@pytest.mark.parametrize(
    ("prompts", "options", "words"),
    [
        ({}, {}, "no prompt"),
        ({0: []}, {}, "no prompt"),
        ({TIMES: [told(1, 0, 2)]}, {}, "outside the series"),
        ({0: [Prompt(1, DEPTH, points=[(5, 5)])]}, {}, "outside the stack"),
        ({0: [told(1, 0, 2)]}, {"order": "t then z"}, "order"),
        ({0: [told(1, 0, 2)]}, {"through": "middle"}, "through"),
        ({0: [told(1, 0, 2)]}, {"direction": "up"}, "direction"),
        ({0: [told(1, 0, 2)]}, {"start": 3}, "no range"),
        ({0: [told(1, 0, 2)]}, {"contrast": "follow"}, "cannot follow"),
    ],
)
def test_bad_requests_are_refused_at_once(nano, prompts, options, words):
    with pytest.raises(PromptError, match=words):
        follow_volume_series(SERIES, prompts, nano, **options)


def test_a_stack_is_no_series_of_volumes(nano):
    with pytest.raises(ImageError, match="no time series of volumes"):
        follow_volume_series(SERIES[0], {0: [told(1, 0, 2)]}, nano)


@pytest.mark.parametrize("order", ["z then t", "z", "t"])
@pytest.mark.parametrize(("z_start", "z_stop"), [(1, 3), (0, 2), (3, 4)])
def test_a_range_of_planes_gives_the_masks_of_the_whole_there(nano, order, z_start, z_stop):
    prompts = {1: [told(1, 1, 2)]}
    whole = drawn(follow_volume_series(SERIES, prompts, nano, order=order))
    results = list(
        follow_volume_series(SERIES, prompts, nano, order=order, z_start=z_start, z_stop=z_stop)
    )
    assert all(z_start <= one.plane < z_stop for one in results)
    part = slice(z_start, z_stop)
    assert np.array_equal(drawn(results)[:, part], whole[:, part])


@pytest.mark.parametrize(("direction", "times"), [("forward", {1, 2}), ("backward", {0, 1})])
def test_a_direction_goes_one_way_through_time_and_both_through_z(nano, direction, times):
    results = list(follow_volume_series(SERIES, {1: [told(1, 1, 2)]}, nano, direction=direction))
    places = {(one.time, one.plane) for one in results}
    assert places == {(time, plane) for time in times for plane in range(DEPTH)}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"z_start": 2, "z_stop": 2}, "Planes 2 to 2"),
        ({"z_stop": 5}, "Planes 0 to 5"),
        ({"direction": "forward", "stop": 1}, "object 1 does not reach time points 0 to 0"),
        ({"direction": "backward", "start": 2}, "object 1 does not reach time points 2 to 2"),
    ],
)
def test_ranges_that_hold_nothing_are_refused_at_once(nano, options, words):
    with pytest.raises(PromptError, match=words):
        follow_volume_series(SERIES, {1: [told(1, 1, 2)]}, nano, **options)
