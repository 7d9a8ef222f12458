"""A run is the same whatever holds the planes, along whichever axis, over whichever range."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_anysam import Prompt, propagate

COUNT, HEIGHT, WIDTH = 5, 40, 48


def made():
    """A square that moves to the right, and its masks."""
    stack = np.random.default_rng(0).integers(40, 70, (COUNT, HEIGHT, WIDTH)).astype(np.uint16)
    masks = np.zeros(stack.shape, bool)
    for plane in range(COUNT):
        masks[plane, 12:28, 10 + 2 * plane : 26 + 2 * plane] = True
    stack[masks] += 2000
    return stack, masks


STACK, MASKS = made()
HOLDERS = {
    "numpy": lambda array: array,
    "not contiguous": lambda array: np.asfortranarray(array)[..., ::-1][..., ::-1],
    "big-endian": lambda array: array.astype(">u2"),
    "dask": lambda array: dask.array.from_array(array, chunks=7),
    "zarr": lambda array: zarr.array(array, chunks=(7, 7, 7)),
    "multiscale": lambda array: [array, array[::2, ::2, ::2]],
    "multiscale dask": lambda array: [
        dask.array.from_array(array, chunks=9),
        dask.array.from_array(array[::2, ::2, ::2]),
    ],
}


@pytest.fixture(scope="module")
def plain(nano):
    """Runs of the plain array along its first axis, each computed once."""
    known = {}

    def run(plane, direction, start, stop):
        request = plane, direction, start, stop
        if request not in known:
            known[request] = list(follow(STACK, 0, nano, *request))
        return known[request]

    return run


def follow(array, axis, model, plane, direction, start, stop):
    prompts = [Prompt(1, plane, mask=MASKS[plane])]
    return propagate(
        array,
        prompts,
        model,
        axis=axis,
        direction=direction,
        start=start,
        stop=stop,
        region="plane",
        contrast=(0, 2500),
    )


def answered(plane, direction, start, stop):
    """Return the planes that are answered, in their order."""
    forward = [] if direction == "backward" else list(range(max(plane, start), stop))
    backward = [] if direction == "forward" else list(range(min(plane, stop - 1), start - 1, -1))
    return forward + [one for one in backward if one not in forward]


@st.composite
def ranges(draw):
    direction = draw(st.sampled_from(["both", "forward", "backward"]))
    plane = draw(st.integers(0, COUNT - 1))
    start = draw(st.integers(0, plane if direction == "backward" else COUNT - 1))
    lowest = max(start, plane if direction == "forward" else 0)
    return plane, direction, start, draw(st.integers(lowest + 1, COUNT))


@settings(max_examples=12, deadline=None)
@given(holder=st.sampled_from(sorted(HOLDERS)), axis=st.integers(-3, 2), request=ranges())
def test_every_array_axis_and_range_gives_what_numpy_gives(holder, axis, request, nano, plain):
    array = HOLDERS[holder](np.moveaxis(STACK, 0, axis))
    found = list(follow(array, axis, nano, *request))
    assert [result.index for result in found] == answered(*request)
    for one, other in zip(found, plain(*request), strict=True):
        assert (one.labels == other.labels).all()
        assert one.assessments[0].score == other.assessments[0].score
