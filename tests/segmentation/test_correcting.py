"""What goes to the network beside a click that corrects a mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_anysam import Prompt
from napari_anysam.segmentation.correcting import corrected_mask, surroundings
from napari_anysam.segmentation.prompts import Scribble
from napari_anysam.segmentation.windows import Window, tight_window

SHAPE = (60, 80)


@st.composite
def windows(draw):
    row, column = draw(st.integers(0, 50)), draw(st.integers(0, 70))
    mask = np.zeros(SHAPE, bool)
    mask[row : row + draw(st.integers(1, 20)), column : column + draw(st.integers(1, 20))] = True
    window = tight_window(mask)
    assert window is not None
    return window


def square() -> Window:
    mask = np.zeros(SHAPE, bool)
    mask[20:30, 40:50] = True
    window = tight_window(mask)
    assert window is not None
    return window


@given(windows(), st.data())
def test_the_box_holds_the_mask_and_every_positive_click(window, data):
    rows, columns = surroundings(window, SHAPE)
    inside = st.tuples(
        st.integers(rows.start, rows.stop - 1), st.integers(columns.start, columns.stop - 1)
    )
    points = data.draw(st.lists(inside, min_size=1, max_size=4))
    polarity = data.draw(st.lists(st.booleans(), min_size=len(points), max_size=len(points)))
    beside = corrected_mask(Prompt(3, 7, points=points, polarity=polarity), window, SHAPE)
    assert beside is not None
    assert (beside.object_id, beside.plane, beside.points) == (3, 7, ())
    assert np.array_equal(beside.mask, window.mask)
    assert beside.mask_origin == window.origin
    y0, x0, y1, x1 = beside.box
    assert 0 <= y0 < y1 <= SHAPE[0]
    assert 0 <= x0 < x1 <= SHAPE[1]
    (row, column), (height, width) = window.origin, window.shape
    assert y0 <= row
    assert x0 <= column
    assert row + height <= y1
    assert column + width <= x1
    for (y, x), positive in zip(points, polarity, strict=True):
        assert not positive or (y0 <= y < y1 and x0 <= x < x1)


@pytest.mark.parametrize("point", [(2, 45), (25, 70), (57, 10)])
def test_a_positive_click_far_away_begins_anew_and_a_negative_one_does_not(point):
    assert corrected_mask(Prompt(1, 0, points=[point]), square(), SHAPE) is None
    negative = Prompt(1, 0, points=[point], polarity=[False])
    assert corrected_mask(negative, square(), SHAPE) is not None


@pytest.mark.parametrize(
    "drawn",
    [
        {"box": (20, 40, 30, 50)},
        {"lasso": [(20, 40), (20, 50), (30, 45)]},
        {"mask": np.ones(SHAPE, bool)},
    ],
)
def test_whoever_draws_the_object_begins_anew(drawn):
    assert corrected_mask(Prompt(1, 0, points=[(25, 45)], **drawn), square(), SHAPE) is None


def test_a_scribble_corrects_as_its_points_do():
    near = Prompt(1, 0, scribbles=[Scribble([(25, 45), (33, 45)])])
    far = Prompt(1, 0, scribbles=[Scribble([(25, 45), (50, 45)])])
    beside = corrected_mask(near, square(), SHAPE)
    assert beside is not None
    assert beside.box[2] >= 34
    assert corrected_mask(far, square(), SHAPE) is None
