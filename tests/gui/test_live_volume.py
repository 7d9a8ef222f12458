"""Live volume beside other runs: what it may end, and what ends it."""

from __future__ import annotations

import numpy as np
import pytest
from gui_scenes import blobs
from windowless import Work

from napari_anysam._napari.propagation import StackRange

PLANES = 8


@pytest.fixture
def work(loaded_model):
    """Two discs on every plane, each accepted on plane 3."""
    plane = blobs((80, 96), [(30, 30, 10), (55, 70, 10)])
    work = Work(np.stack([plane] * PLANES), name="stack")
    work.control.ahead.choose(False)
    work.control.stacks.review_along(0)
    work.viewer.dims.set_point(0, 3)
    yield work
    work.control.close()


def finish(work):
    work.wait(lambda: not work.control.stacks.runs.busy)


def planes_of(work, object_id):
    return np.flatnonzero((work.labels == object_id).any(axis=(1, 2))).tolist()


def test_a_run_of_several_objects_goes_on_when_one_of_them_is_accepted_again(work):
    work.keep((3, 30, 30))
    work.keep((3, 55, 70))
    work.control.stacks.follow_live(True)
    work.control.stacks.propagate(StackRange(0, 0, PLANES - 1))
    first = work.control.stacks.runs.propagation
    work.control.stacks.live.accepted(work.control.workspace, (1, 3))
    work.wait(lambda: work.control.stacks.runs.propagation is not first)
    assert first.done == PLANES
    finish(work)
    assert planes_of(work, 1) == planes_of(work, 2) == list(range(PLANES))


def test_cancel_ends_what_waits_too(work):
    work.keep((3, 30, 30))
    work.keep((3, 55, 70))
    live = work.control.stacks.live
    live.on = True
    for object_id in (1, 2):
        live.accepted(work.control.workspace, (object_id, 3))
    work.control.cancel()
    finish(work)
    assert planes_of(work, 2) == [3]
