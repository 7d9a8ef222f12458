"""Stacks encoded before the first click: to the end, in parts, and giving way."""

import numpy as np
import pytest

from napari_anysam import Prompt
from napari_anysam.errors import EmbeddingError, ImageError
from napari_anysam.images.conditioning import Conditioning
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.embedding_store import EmbeddingStore
from napari_anysam.segmentation.embeddings import Statistics
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.precompute import Progress, precompute
from napari_anysam.segmentation.stored_cache import StoredCache

CONDITIONING = Conditioning(((0, 1000),))


@pytest.fixture(scope="module")
def stack():
    return np.random.default_rng(0).integers(0, 1000, (4, 40, 50)).astype(np.uint16)


@pytest.fixture
def store(tmp_path):
    return EmbeddingStore(tmp_path, 10**8)


def run(nano, stack, store, **options):
    return precompute(nano, Planes(stack), CONDITIONING, store, **options)


def test_every_plane_is_encoded_and_then_found_by_a_click(nano, stack, store):
    done = list(run(nano, stack, store))
    assert done == [Progress(number, 4, number) for number in (1, 2, 3, 4)]
    cache = StoredCache(store=store)
    for index, plane in enumerate(stack):
        PlanePredictor(nano, cache).predict(
            lambda plane=plane: CONDITIONING.apply(plane),
            index,
            (40, 50),
            Prompt(points=[(20, 20)]),
            region="plane",
        )
    assert cache.statistics == Statistics(disk=4)


def test_a_run_that_was_left_goes_on_where_it_ended(nano, stack, store):
    first = run(nano, stack, store)
    next(first)
    next(first)
    first.close()
    assert list(run(nano, stack, store))[-1] == Progress(4, 4, 2)


def test_a_range_of_planes(nano, stack, store):
    assert list(run(nano, stack, store, start=1, stop=3))[-1] == Progress(2, 2, 2)
    assert list(run(nano, stack, store))[-1] == Progress(4, 4, 2)


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (-1, 2), (2, 2), (3, 1)])
def test_a_range_that_is_not_in_the_stack_is_refused_at_once(nano, stack, store, start, stop):
    with pytest.raises(ImageError, match="use planes 0 to 3"):
        run(nano, stack, store, start=start, stop=stop)


def test_cancel_ends_it_between_two_blocks(nano, stack, store):
    asked = []

    def cancelled():
        asked.append(True)
        return len(asked) > 5  # in the middle of the first plane

    assert list(run(nano, stack, store, cancelled=cancelled)) == []
    assert store.nbytes == 0


def test_a_plane_that_gave_way_is_begun_again(nano, stack, store):
    waiting = [True]
    found = []
    for progress in run(nano, stack, store, interrupted=lambda: bool(waiting)):
        found.append(progress)
        waiting.clear()
    assert found == [Progress(0, 4, 0), *(Progress(number, 4, number) for number in (1, 2, 3, 4))]


def test_another_contrast_is_encoded_again(nano, stack, store):
    list(run(nano, stack, store))
    other = precompute(nano, Planes(stack), Conditioning(((0, 700),)), store)
    assert list(other)[-1] == Progress(4, 4, 4)


def test_a_stack_that_does_not_fit_is_refused_after_the_first_plane(nano, stack, tmp_path):
    size = EmbeddingStore(tmp_path / "measured", 10**8)
    next(run(nano, stack, size))
    store = EmbeddingStore(tmp_path / "small", 3 * size.nbytes)
    with pytest.raises(EmbeddingError, match=r"embedding_disk_gb .*, or precompute up to 2 planes"):
        list(run(nano, stack, store))
    assert store.nbytes == 0
