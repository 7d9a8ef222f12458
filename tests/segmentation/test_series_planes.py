"""Planes of a series of volumes, counted as a session counts them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.series_planes import SeriesPlanes


@st.composite
def series(draw):
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=2, max_size=4)))
    time, depth = draw(st.permutations(range(len(shape))))[:2]
    index = tuple(draw(st.integers(0, length - 1)) for length in shape)
    return SeriesPlanes(shape, index, time, depth)


@given(series(), st.data())
def test_a_number_stands_for_one_time_and_depth(planes, data):
    time = data.draw(st.integers(0, planes.hidden_shape[planes.time] - 1))
    depth = data.draw(st.integers(0, planes.hidden_shape[planes.depth] - 1))
    number = planes.number(time, depth)
    assert planes.place(number) == (time, depth)
    prompt = Prompt(3, number, points=[(1, 2)])
    ((when, (placed,)),) = planes.by_time([prompt]).items()
    assert (when, placed.plane, placed.points) == (time, depth, prompt.points)


def test_prompts_of_one_time_come_together():
    planes = SeriesPlanes((2, 3), (0, 0), 0, 1)
    told = [Prompt(one, number, points=[(0, 0)]) for one, number in ((1, 4), (2, 0), (3, 5))]
    found = planes.by_time(told)
    assert {time: [one.plane for one in own] for time, own in found.items()} == {1: [1, 2], 0: [0]}
