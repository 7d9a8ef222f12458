"""Logits become masks as the options say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_anysam.errors import OptionsError
from napari_anysam.segmentation.candidates import NEVER
from napari_anysam.segmentation.mask_options import MaskOptions, shape_mask

LOGITS = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24),
    elements=st.floats(-20, 20, width=32),
)  # fmt: skip


def logits_of(mask, inside=4.0, outside=-4.0):
    return np.where(mask, np.float32(inside), np.float32(outside))


def square(size=40, low=10, high=30):
    mask = np.zeros((size, size), bool)
    mask[low:high, low:high] = True
    return mask


@given(logits=LOGITS, threshold=st.floats(-10, 10))
def test_without_further_options_it_is_a_threshold(logits, threshold):
    mask = shape_mask(logits, MaskOptions(threshold=threshold))
    np.testing.assert_array_equal(mask, logits - np.float32(threshold) > 0)


@given(logits=LOGITS, low=st.floats(-10, 10), high=st.floats(-10, 10))
def test_a_higher_threshold_never_adds_pixels(logits, low, high):
    low, high = sorted((low, high))
    larger = shape_mask(logits, MaskOptions(threshold=low))
    assert not (shape_mask(logits, MaskOptions(threshold=high)) & ~larger).any()


def test_holes_up_to_the_area_are_filled_and_larger_ones_and_bays_stay():
    mask = square()
    mask[14:16, 14:16] = False
    mask[20:25, 20:25] = False
    mask[10:12, 28:30] = False
    filled = shape_mask(logits_of(mask), MaskOptions(fill_holes=4))
    assert filled[14:16, 14:16].all()
    assert not filled[20:25, 20:25].any()
    assert not filled[10:12, 28:30].any()


def test_what_is_cut_off_by_the_window_is_no_hole():
    mask = np.ones((20, 20), bool)
    mask[:2, :2] = False
    assert not shape_mask(logits_of(mask), MaskOptions(fill_holes=50))[:2, :2].any()


def test_small_parts_are_dropped_and_diagonal_lines_are_one_part():
    mask = square()
    mask[2:4, 2:4] = True
    mask[np.arange(31, 39), np.arange(31, 39)] = True
    mask[30, 30] = False
    found = shape_mask(logits_of(mask), MaskOptions(smallest_area=8))
    assert not found[2:4, 2:4].any()
    assert found[35, 35]


def test_the_largest_part_is_kept_or_the_one_that_was_pointed_at():
    mask = square()
    mask[2:6, 2:6] = True
    logits, options = logits_of(mask), MaskOptions(largest_component=True)
    assert shape_mask(logits, options)[20, 20]
    assert not shape_mask(logits, options)[3, 3]
    pointed = shape_mask(logits, options, [(3.4, 2.6)])
    assert pointed[3, 3]
    assert not pointed[20, 20]
    beside = shape_mask(logits, options, [(8, 35), (-3, 90)])
    assert beside[20, 20]


@given(logits=LOGITS, area=st.integers(0, 30))
def test_parts_that_are_left_are_parts_and_large_enough(logits, area):
    before = logits > 0
    mask = shape_mask(logits, MaskOptions(smallest_area=area, largest_component=True))
    assert not (mask & ~before).any()
    _, count = ndimage.label(mask, np.ones((3, 3)))
    assert count <= 1
    assert not mask.any() or mask.sum() >= area


def test_smoothing_takes_notches_and_specks_but_keeps_thin_things():
    mask = square()
    mask[20, 29] = False
    mask[5, 5] = True
    mask[33:36] = True
    options = MaskOptions(smoothing=3)
    # A surer background than object must not swallow a line as wide as the radius.
    found = shape_mask(logits_of(mask, inside=1.5, outside=-15), options)
    assert found[20, 29]
    assert not found[5, 5]
    assert found[33:36].all()
    radius = ndimage.generate_binary_structure(2, 1)
    opened = ndimage.binary_opening(mask, radius, iterations=3)
    assert not opened[33:36].any()


@given(logits=LOGITS, smoothing=st.floats(0, 5), threshold=st.floats(-10, 5))
def test_nothing_brings_in_what_a_lasso_shut_out(logits, smoothing, threshold):
    logits[: logits.shape[0] // 2] = NEVER
    options = MaskOptions(threshold=threshold, smoothing=smoothing, fill_holes=1000)
    assert not shape_mask(logits, options)[: logits.shape[0] // 2].any()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"threshold": float("nan")}, "finite"),
        ({"threshold": -2000.0}, "logit"),
        ({"smallest_area": -1}, "smallest area"),
        ({"fill_holes": 2.5}, "whole number"),
        ({"fill_holes": float("nan")}, "whole number"),
        ({"smoothing": -0.5}, "radius"),
        ({"box_padding": 0.2}, "use 0 to 0.1"),
    ],
)
def test_options_out_of_range_are_refused(values, words):
    with pytest.raises(OptionsError, match=words):
        MaskOptions(**values)


@given(logits=LOGITS)
def test_the_logits_stay_as_they_were(logits):
    before = logits.copy()
    shape_mask(logits, MaskOptions(1.0, 5, 5, 2.0, True))
    np.testing.assert_array_equal(logits, before)
