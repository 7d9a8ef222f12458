"""Divisions in kept masks, and when the members of a lineage live."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_anysam.segmentation.divisions import find_divisions
from napari_anysam.segmentation.lifetimes import absences, living_windows
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.seen_divisions import divisions_in, divisions_in_volumes
from napari_anysam.segmentation.session import Session
from napari_anysam.segmentation.tracking_results import PropagationResult
from napari_anysam.segmentation.windows import tight_window

SHAPE = (30, 60)


def dividing(birth, place, times=8):
    """Masks of one block that is two blocks from ``birth`` on, and drifts."""
    masks = np.zeros((times, *SHAPE), bool)
    for time in range(times):
        row, column = place[0] + time, place[1] + time
        masks[time, row : row + 6, column : column + 12] = True
        if time >= birth:
            masks[time, :, column + 5 : column + 7] = False
    return masks


@given(st.integers(1, 5), st.tuples(st.integers(0, 16), st.integers(0, 40)), st.integers(10, 20))
def test_windows_tell_the_same_as_whole_planes(birth, place, first_id):
    masks = dividing(birth, place)
    (whole,) = find_divisions((time, {3: mask}) for time, mask in enumerate(masks))
    (seen,) = divisions_in({3: {time: tight_window(mask) for time, mask in enumerate(masks)}})
    assert (seen.parent, seen.time) == (whole.parent, whole.time) == (3, birth)
    prompts, parents = seen.daughters(first_id)
    assert parents == {first_id: 3, first_id + 1: 3}
    for prompt, mask in zip(prompts, whole.daughters, strict=True):
        assert prompt.plane == birth
        assert np.array_equal(tight_window(prompt.mask, prompt.mask_origin).whole(SHAPE), mask)


def test_divisions_come_in_the_order_of_time():
    tracks = {
        number: {time: tight_window(mask) for time, mask in enumerate(dividing(birth, (2, 5)))}
        for number, birth in ((1, 5), (2, 3), (4, 3))
    }
    found = [(one.time, one.parent) for one in divisions_in({**tracks, 9: {}})]
    assert found == [(3, 2), (3, 4), (5, 1)]


def volumes_of(masks, depth, first=2):
    """Lay masks (T, H, W) on several planes, one column smaller on each, as windows."""
    tracks = {}
    for time, mask in enumerate(masks):
        tracks[time] = {}
        for plane in range(depth):
            section = mask.copy()
            section[:plane] = False
            window = tight_window(section)
            if window is not None:
                tracks[time][first + plane] = window
    return tracks


@given(st.integers(1, 5), st.tuples(st.integers(0, 12), st.integers(0, 40)), st.integers(1, 4))
def test_bodies_of_volumes_are_daughters_on_all_their_planes(birth, place, depth):
    tracks = volumes_of(dividing(birth, place), depth)
    (seen,) = divisions_in_volumes({3: tracks})
    assert (seen.parent, seen.time, seen.in_volumes) == (3, birth, True)
    prompts, parents = seen.daughters(10)
    assert parents == {10: 3, 11: 3}
    born = np.zeros((2, 2 + depth, *SHAPE), int)
    for prompt in prompts:
        window = tight_window(prompt.mask, prompt.mask_origin)
        born[prompt.object_id - 10, prompt.plane] += window.whole(SHAPE)
    together = np.zeros(born.shape[1:], int)
    for plane, window in tracks[birth].items():
        together[plane] = window.whole(SHAPE)
    assert np.array_equal(born.sum(axis=0), together)
    for one in (10, 11):
        own = [prompt for prompt in prompts if prompt.object_id == one]
        assert own[0].mask.sum() == max(prompt.mask.sum() for prompt in own)
    assert 2 <= seen.plane < 2 + depth


def test_what_hangs_together_on_any_plane_is_one_body():
    masks = dividing(3, (2, 5))
    whole = dividing(99, (2, 5))
    deep = volumes_of(masks, 3)
    for time, mask in enumerate(whole):
        deep[time][4] = tight_window(mask)
    assert divisions_in_volumes({1: deep}) == []
    assert len(divisions_in({1: {time: sections[2] for time, sections in deep.items()}})) == 1


@pytest.fixture
def family():
    """Daughters 2 and 3 of 1 are born at times 4 and 5; time t is plane 10 * t."""
    session = Session()
    for object_id, time in ((1, 0), (2, 4), (2, 6), (3, 5)):
        session.set_prompt((object_id, 10 * time), Prompt(object_id, 10 * time, points=[(1, 1)]))
    session.set_lineage({2: 1, 3: 1})
    return session


def test_daughters_begin_and_mothers_end_at_the_birth(family):
    absent = absences(family, {10 * time: time for time in range(7)})
    times = {one: sorted(plane // 10 for who, plane in absent if who == one) for one in (1, 2, 3)}
    assert times == {1: [4, 5, 6], 2: [0, 1, 2, 3], 3: [0, 1, 2, 3, 4]}


def test_who_has_no_kin_here_is_never_absent(family):
    assert not absences(family, {1: 0, 2: 1})
    family.set_lineage({})
    assert not absences(family, {10 * time: time for time in range(7)})


def test_pixels_of_an_absent_mother_are_her_daughters():
    masks = np.zeros((2, 4, 6), bool)
    masks[0, :, :4] = masks[1, :, 2:] = True
    windows = tuple(tight_window(mask) for mask in masks)
    shown = (windows[0], tight_window(masks[1] & ~masks[0]))
    ones = np.ones(2, np.float32)
    result = PropagationResult(0, (4, 6), (1, 2), windows, shown, ones, ones, ())
    assert {one: window.area for one, window in living_windows(result)} == {1: 16, 2: 8}
    ((number, window),) = living_windows(result, {1})
    assert number == 2
    assert np.array_equal(window.whole((4, 6)), masks[1])
