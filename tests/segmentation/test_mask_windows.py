"""Masks in their bounding boxes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_anysam.segmentation.windows import seen_from, tight_window

masks = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(masks, st.integers(0, 5), st.integers(0, 5))
def test_a_window_is_tight_and_comes_back_whole(mask, row, column):
    window = tight_window(mask, (row, column))
    if window is None:
        assert not mask.any()
        return
    plane = np.zeros((mask.shape[0] + row, mask.shape[1] + column), bool)
    plane[row:, column:] = mask
    assert np.array_equal(window.whole(plane.shape), plane)
    assert window.area == mask.sum()
    edges = (window.mask[0], window.mask[-1], window.mask[:, 0], window.mask[:, -1])
    assert all(edge.any() for edge in edges)


@given(arrays(bool, (9, 11)), arrays(bool, (9, 11)))
def test_a_mask_seen_from_another_window(one, other):
    first, second = tight_window(one), tight_window(other)
    if first is not None and second is not None:
        assert np.array_equal(seen_from(first, second), one[second.slices])
