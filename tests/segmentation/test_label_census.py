"""Objects counted in labels that somebody else made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_anysam.images.label_pyramid import LabelPyramid
from napari_anysam.segmentation.label_census import LabelCensus


def counted(labels):
    census = LabelCensus(labels)
    for _ in census.count():
        pass
    return census


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(
        np.int32,
        arrays.array_shapes(min_dims=2, max_dims=4, max_side=6),
        elements=st.sampled_from([0, 0, 1, 2, 7, 2**30]),
    )
)
def test_every_object_is_found_with_its_planes_and_area(labels):
    found = counted(labels).found()
    planes = labels.reshape(-1, *labels.shape[-2:])
    assert set(found) == set(np.unique(labels).tolist()) - {0}
    for object_id, one in found.items():
        assert one.area == (labels == object_id).sum()
        on = [number for number, plane in enumerate(planes) if (plane == object_id).any()]
        assert list(one.planes) == ([] if labels.ndim == 2 else on)


def test_a_plane_is_counted_anew_and_the_others_are_not_read():
    labels = np.zeros((4, 10, 10), np.uint16)
    labels[:, 2:4, 2:4] = 5
    census = counted(labels)
    labels[2, 2:4, 2:4] = 0
    labels[3] = 9  # nobody says so, so nobody looks
    assert list(census.count([(2,)])) == [100]
    assert census.found()[5].planes == (0, 1, 3)
    assert 9 not in census.found()


def test_signed_labels_below_zero_are_no_objects():
    assert set(counted(np.array([[-3, 0], [4, 4]])).found()) == {4}


@pytest.fixture
def store(tmp_path):
    return LabelPyramid.create(tmp_path / "labels.zarr", (3, 1300, 1500))


def test_a_store_is_read_where_it_was_written_and_only_once(store):
    store[0, 510:520, 510:520] = 3  # four chunks
    store[2, 1200:1210, 0:10] = 4
    census = LabelCensus(store)
    assert sum(1 for _ in census.count()) == 5
    assert census.found()[3].area == 100
    assert census.found()[4].planes == (2,)
    assert list(census.count()) == []
    store[2, 1200:1210, 0:10] = 0
    assert list(census.count()) == []  # a chunk that is empty again has no file
    assert set(census.found()) == {3}
    store[0, 510:511, 510:511] = 8
    assert len(list(census.count())) == 1
    assert census.found()[3].area == 99


def test_an_object_is_looked_for_where_it_was_counted(store):
    store[0, 510:520, 510:520] = 3
    store[2, 1200:1210, 1400:1410] = 4
    census = counted(store)
    assert census.region_of(3, (0,)) == (slice(0, 1024), slice(0, 1024))
    assert census.region_of(4, (2,)) == (slice(1024, 1300), slice(1024, 1500))
    assert census.region_of(4, (0,)) is None


def test_a_large_plane_is_counted_in_strips(monkeypatch):
    monkeypatch.setattr("napari_anysam.segmentation.labels.STRIP_PIXELS", 50)
    labels = np.repeat([[1, 2, 2, 0, 0]], 40, axis=0)
    census = LabelCensus(labels)
    assert sum(1 for _ in census.count()) == 4
    assert census.found()[2].area == 80
