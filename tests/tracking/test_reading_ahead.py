"""The next plane is read while the current one is worked on, if reading takes long."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np
import pytest
from comparison import AS_IT_IS

from napari_anysam import Prompt, load_model
from napari_anysam.errors import ImageError
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation import reading_ahead
from napari_anysam.segmentation.reading_ahead import ReadAhead
from napari_anysam.segmentation.tracking import Tracker


@pytest.fixture(scope="module")
def nano():
    return load_model("anysam-nano", "cpu", "fp32")


@pytest.fixture
def every_read_is_slow(monkeypatch):
    monkeypatch.setattr(reading_ahead, "SLOW", 0.0)


class WatchedStack:
    """A stack that notes which plane is read by whom, and stands no two reads at once."""

    def __init__(self, stack, broken=None):
        self._stack, self._broken = stack, broken
        self.shape, self.ndim, self.dtype = stack.shape, stack.ndim, stack.dtype
        self.reads, self.threads = [], []
        self._reading = threading.Lock()

    def __getitem__(self, key):
        assert self._reading.acquire(blocking=False), "two reads at once"
        try:
            self.reads.append(key[0])
            self.threads.append(threading.current_thread())
            if key[0] == self._broken:
                raise OSError("The disk is gone.")
            return self._stack[key]
        finally:
            self._reading.release()


def tracker_of(model, stack, region="plane"):
    return Tracker(model, Planes(stack), AS_IT_IS, region=region)


def prompts_of(labels, plane=0):
    return [Prompt(number, plane, mask=labels[plane] == number) for number in (1, 2)]


@pytest.mark.parametrize("region", ["plane", "auto"])
def test_results_are_the_same_and_no_plane_is_read_twice(
    nano, moving_discs, region, every_read_is_slow, monkeypatch
):
    stack, labels = moving_discs[0][:8], moving_discs[1]
    watched = WatchedStack(stack)
    ahead = list(tracker_of(nano, watched, region).run(prompts_of(labels, 3)))
    assert Counter(watched.reads) == Counter(range(8))
    assert set(watched.threads) != {threading.current_thread()}
    monkeypatch.setattr(reading_ahead, "SLOW", np.inf)
    in_turn = list(tracker_of(nano, stack, region).run(prompts_of(labels, 3)))
    for one, other in zip(ahead, in_turn, strict=True):
        assert one.index == other.index
        assert (one.masks == other.masks).all()


def test_one_plane_is_read_ahead_and_not_beyond_the_range(nano, moving_discs, every_read_is_slow):
    stack, labels = moving_discs
    watched = WatchedStack(stack)
    results = tracker_of(nano, watched).run(prompts_of(labels), direction="forward", stop=4)
    for asked in (1, 2, 3, 4):
        next(results)
        assert max(watched.reads) <= asked
    assert list(results) == []
    assert max(watched.reads) == 3


def test_a_plane_that_cannot_be_read_stops_the_run_when_it_is_due(
    nano, moving_discs, every_read_is_slow
):
    stack, labels = moving_discs
    watched = WatchedStack(stack, broken=3)
    results = tracker_of(nano, watched).run(prompts_of(labels), direction="forward")
    assert [next(results).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ImageError, match="disk is gone"):
        next(results)


def test_an_ended_run_leaves_no_thread(nano, moving_discs, every_read_is_slow):
    stack, labels = moving_discs
    before = set(threading.enumerate())
    results = tracker_of(nano, WatchedStack(stack)).run(prompts_of(labels), direction="forward")
    next(results)
    next(results)
    assert set(threading.enumerate()) > before
    results.close()
    assert set(threading.enumerate()) == before


def test_another_plane_waits_for_the_one_read_ahead_and_does_not_discard_it(every_read_is_slow):
    started, go_on = threading.Event(), threading.Event()
    reads = []

    def read(plane):
        if plane == 1:
            started.set()
            assert go_on.wait(10)
        reads.append(plane)
        return np.full(1, plane)

    reader = ReadAhead(read)
    reader.get(0)
    reader.prepare(1)
    assert started.wait(10)
    threading.Timer(0.05, go_on.set).start()
    assert reader.get(5) == 5
    assert reader.get(1) == 1
    reader.close()
    assert reads == [0, 1, 5]


def test_planes_that_are_there_at_once_are_read_without_a_thread(monkeypatch):
    monkeypatch.setattr(reading_ahead, "SLOW", 1.0)  # a busy computer may stop us for a while
    reader = ReadAhead(lambda plane: np.full(1, plane))
    reader.get(0)
    before = threading.active_count()
    reader.prepare(1)
    assert threading.active_count() == before
