"""Labels that hold memory only where something was written, and edits found in their windows."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_anysam.images.label_pyramid import LabelPyramid
from napari_anysam.segmentation.hand_edits import HandEdits
from napari_anysam.segmentation.tiled_labels import TILE, TiledLabels

SHAPE = (2, 3 * TILE + 5, 2 * TILE + 9)


@st.composite
def writes(draw):
    plane = draw(st.integers(0, SHAPE[0] - 1))
    ends = [
        sorted(draw(st.tuples(st.integers(0, size), st.integers(0, size)))) for size in SHAPE[1:]
    ]
    return (plane, *(slice(*pair) for pair in ends)), draw(st.integers(0, 3)), draw(st.booleans())


def fill(array, done, seed=0):
    for number, (window, value, varied) in enumerate(done):
        size = [part.stop - part.start for part in window[1:]]
        noise = np.random.default_rng(number + seed).integers(0, 4, size)
        array[window] = noise if varied else value
    return array


@settings(max_examples=60, deadline=None)
@given(st.lists(writes(), max_size=5), writes())
def test_windows_are_written_and_read_as_in_a_whole_array(done, looked_at):
    whole = fill(np.zeros(SHAPE, np.int32), done)
    tiled = fill(TiledLabels(SHAPE), done)
    window, _, _ = looked_at
    assert np.array_equal(tiled[window], whole[window])
    read = np.zeros(SHAPE, np.int32)
    for index, rows, columns in tiled.windows():
        read[(*index, rows, columns)] = tiled[(*index, rows, columns)]
    assert np.array_equal(read, whole)


@settings(max_examples=25, deadline=None)
@given(st.lists(writes(), max_size=3), st.lists(writes(), max_size=3))
def test_edits_found_by_windows_bring_back_the_labels(first, second):
    explained = fill(TiledLabels(SHAPE), first)
    labels = fill(fill(np.zeros(SHAPE, np.int32), first), second, seed=9)
    tops, lefts = range(0, SHAPE[1], 100), range(0, SHAPE[2], 100)
    windows = [
        ((plane,), slice(top, min(top + 100, SHAPE[1])), slice(left, min(left + 100, SHAPE[2])))
        for plane in range(SHAPE[0])
        for top in tops
        for left in lefts
    ]
    edits = HandEdits.between_windows(explained, labels, windows)
    edits.apply_to_windows(explained)
    everything = [explained[plane, 0 : SHAPE[1], 0 : SHAPE[2]] for plane in range(SHAPE[0])]
    assert np.array_equal(everything, labels)


def test_nothing_is_held_where_nothing_was_written():
    tiled = TiledLabels((10**5, 10**5))
    tiled[0:1000, 0:1000] = 0
    tiled[50_000:50_010, 70_000:70_010] = 4
    assert [(rows.start, columns.start) for _, rows, columns in tiled.windows()] == [(49920, 69888)]


def test_a_store_is_named_by_what_it_holds(tmp_path):
    store = LabelPyramid.create(tmp_path / "labels.zarr", (600, 700))
    empty = store.digest()
    store[10:20, 10:20] = 3
    written = store.digest()
    assert written != empty
    assert LabelPyramid(tmp_path / "labels.zarr").digest() == written
    store[10:20, 10:20] = 4
    assert store.digest() != written
    store[10:20, 10:20] = 3
    assert store.digest() == written
