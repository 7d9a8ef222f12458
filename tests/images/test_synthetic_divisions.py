"""Cells that divide."""

import numpy as np

from napari_anysam.images.synthetic import synthetic_divisions, synthetic_volume_divisions

SHAPE = (12, 160, 160)


def times(labels, number):
    return np.flatnonzero((labels == number).any(axis=(1, 2)))


def test_mothers_end_where_their_two_daughters_begin():
    image, labels, parents = synthetic_divisions(0, SHAPE, divisions=2)
    assert image.shape == labels.shape == SHAPE
    mothers = sorted(parents.values())
    assert mothers == [1, 1, 2, 2]
    for child, mother in parents.items():
        assert times(labels, child)[0] == times(labels, mother)[-1] + 1
        assert 0.3 < (labels == child).sum(axis=(1, 2))[-1] / (labels[0] == mother).sum() < 0.7


def test_numbers_have_no_gaps_and_the_seed_decides():
    first, again = (synthetic_divisions(3, SHAPE) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    assert first[2] == again[2]
    np.testing.assert_array_equal(np.unique(first[1]), np.arange(first[1].max() + 1))


def test_daughters_do_not_touch_for_long():
    _, labels, parents = synthetic_divisions(0, SHAPE, divisions=1)
    one, two = parents
    grown = np.pad(labels[-1] == one, 1)
    near = grown[2:, 1:-1] | grown[:-2, 1:-1] | grown[1:-1, 2:] | grown[1:-1, :-2]
    assert not (near & (labels[-1] == two)).any()


def test_cells_of_volumes_divide_in_all_their_planes():
    shape = (8, 6, 96, 96)
    image, labels, parents = synthetic_volume_divisions(0, shape, divisions=1)
    assert image.shape == labels.shape == shape
    assert set(parents.values()) == {1}
    (birth,) = {int(np.flatnonzero((labels == one).any(axis=(1, 2, 3)))[0]) for one in parents}
    assert birth == 2
    assert not (labels[birth:] == 1).any()
    for one in parents:
        assert (labels[birth] == one).any(axis=(1, 2)).sum() >= 3
    np.testing.assert_array_equal(labels, synthetic_volume_divisions(0, shape, divisions=1)[1])
