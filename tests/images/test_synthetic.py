import itertools

import numpy as np
import pytest
from scipy import ndimage as ndi

from napari_anysam.images.synthetic import synthetic_series, synthetic_stack

SMALL = {synthetic_stack: (12, 96, 128), synthetic_series: (10, 96, 128)}

pytestmark = pytest.mark.parametrize("make", SMALL, ids=lambda make: make.__name__)


def test_has_the_shape_and_type_it_promises(make):
    image, labels = make(shape=SMALL[make])
    assert image.shape == labels.shape == SMALL[make]
    assert image.dtype == labels.dtype == np.uint16


def test_the_same_seed_gives_the_same_pixels(make):
    first, again, other = (make(seed=seed, shape=SMALL[make]) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()


def test_labels_run_from_one_without_gaps(make):
    labels = make(shape=SMALL[make])[1]
    np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))


def test_objects_are_brighter_than_what_surrounds_them(make):
    image, labels = make(shape=SMALL[make])
    background = np.median(image[labels == 0])
    for number in range(1, labels.max() + 1):
        assert np.median(image[labels == number]) > 1.3 * background


def test_nothing_is_saturated_and_nothing_is_flat(make):
    image = make(shape=SMALL[make])[0]
    assert image.max() < 4095
    assert all(plane.std() > 5 for plane in image)


def test_an_object_is_one_piece_on_every_plane(make):
    labels = make(shape=SMALL[make])[1]
    whole = 0
    for plane in labels:
        for number in np.unique(plane[plane > 0]):
            pieces, count = ndi.label(plane == number)
            sizes = np.bincount(pieces.ravel())[1:]
            whole += 1
            # A neighbour may cut off a sliver, no more.
            assert sizes.max() >= 0.9 * sizes.sum(), f"{count} pieces"
    assert whole > 10


def test_neighbouring_planes_show_the_same_objects(make):
    labels = make(shape=SMALL[make])[1]
    for before, after in itertools.pairwise(labels):
        common = (before > 0) & (after > 0)
        assert (before == after)[common].mean() > 0.95


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 40, 90)], ids=str)
def test_small_shapes_hold_at_least_one_object(make, shape):
    image, labels = make(shape=shape)
    assert image.shape == shape
    assert labels.any()
