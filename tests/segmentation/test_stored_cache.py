"""A click on what was encoded before: from memory, from disk, and with the same mask."""

import warnings

import numpy as np
import pytest
import torch

from napari_anysam import Prompt, load_model
from napari_anysam.errors import AnySAMWarning, SettingsError
from napari_anysam.networks.protocol import Embedding
from napari_anysam.segmentation.embedding_store import EmbeddingStore
from napari_anysam.segmentation.embeddings import EmbeddingCache, Statistics
from napari_anysam.segmentation.half_embeddings import MOST, halved, widened
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.stored_cache import StoredCache, user_cache
from seeded_weights import seeded_image

SHAPE = (96, 128)
PROMPT = Prompt(points=[(40, 50)])


@pytest.fixture(scope="module")
def plane():
    return seeded_image(*SHAPE)


@pytest.fixture
def store(tmp_path):
    return EmbeddingStore(tmp_path / "embeddings", 10**8)


def logits(model, cache, plane, key="plane", prompt=PROMPT):
    found = PlanePredictor(model, cache).predict(lambda: plane, key, SHAPE, prompt)
    return [candidate.logits for candidate in found.candidates]


def equal(one, other):
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def unread():
    raise AssertionError("pixels were read")


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_encoded_memory_and_disk_give_bit_equal_masks(precision, store, plane):
    nano = load_model("anysam-nano", device="cpu", precision=precision)
    cache = StoredCache(store=store)
    fresh = logits(nano, cache, plane)
    regions = cache.statistics.encoded
    assert regions > 1
    assert cache.statistics == Statistics(encoded=regions)
    assert equal(fresh, logits(nano, cache, plane))
    assert cache.statistics == Statistics(memory=regions, encoded=regions)
    later = StoredCache(store=store)
    assert equal(fresh, logits(nano, later, plane))
    assert later.statistics == Statistics(disk=regions)


def test_a_hit_in_memory_reads_no_pixels(nano, store, plane):
    predictor = PlanePredictor(nano, StoredCache(store=store))
    predictor.predict(lambda: plane, "plane", SHAPE, PROMPT)
    assert predictor.predict(unread, "plane", SHAPE, PROMPT).candidates


def test_equal_pixels_under_another_key_are_found_on_disk(nano, store, plane):
    cache = StoredCache(store=store)
    logits(nano, cache, plane, "layer 1")
    encoded = cache.statistics.encoded
    logits(nano, cache, plane.copy(), "layer 2")
    assert cache.statistics == Statistics(disk=encoded, encoded=encoded)


def test_a_damaged_file_is_encoded_again_with_the_same_mask(nano, store, plane):
    fresh = logits(nano, StoredCache(store=store), plane)
    files = sorted(store.folder.iterdir())
    files[0].write_bytes(files[0].read_bytes()[:-3])
    cache = StoredCache(store=store)
    assert equal(fresh, logits(nano, cache, plane))
    assert cache.statistics == Statistics(disk=len(files) - 1, encoded=1)
    assert files[0].exists()


def test_rounding_changes_hardly_a_pixel(nano, plane):
    rounded = logits(nano, StoredCache(), plane)
    exact = logits(nano, EmbeddingCache(), plane)
    assert not equal(rounded, exact)
    for one, other in zip(rounded[:1], exact[:1], strict=True):
        assert ((one > 0) != (other > 0)).mean() < 1e-3


def test_memory_and_disk_hold_16_bits(nano, store, plane):
    cache = StoredCache(store=store)
    exact = EmbeddingCache()
    for one in (cache, exact):
        logits(nano, one, plane)
    assert cache.nbytes == exact.nbytes / 2
    assert store.nbytes < 1.05 * cache.nbytes


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_what_has_16_bits_already_stays_as_it_is(precision, plane):
    model = load_model("anysam-nano", device="cpu", precision=precision)
    embedding = model.encode(plane)
    assert halved(embedding, model) is embedding
    assert widened(embedding, model) is embedding


@pytest.mark.parametrize("value", [MOST + 1.3, 1e6, float("inf"), float("nan")])
def test_values_that_16_bits_would_spoil_keep_32(nano, value):
    tensors = {"boxes": torch.tensor([value, 0.1]), "image": torch.tensor([0.1])}
    found = halved(Embedding(tensors, (8, 8), nano.key), nano)
    assert found.tensors["boxes"].dtype is torch.float32
    assert found.tensors["image"].dtype is torch.float16
    wide = widened(found, nano)
    assert torch.equal(wide.tensors["boxes"].view(torch.int32), tensors["boxes"].view(torch.int32))
    assert wide.tensors["image"].dtype is torch.float32


def test_a_disk_that_refuses_is_warned_of_once_and_does_not_stop_clicks(nano, tmp_path, plane):
    (tmp_path / "file").write_text("in the way")
    cache = StoredCache(store=EmbeddingStore(tmp_path / "file", 10**8))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        answered = logits(nano, cache, plane)
    assert equal(answered, logits(nano, StoredCache(), plane))
    assert [str(one.message).count("embedding_disk_gb") for one in said] == [1]
    assert issubclass(said[0].category, AnySAMWarning)


class TestSettings:
    def test_budgets_and_folder(self, monkeypatch, tmp_path):
        monkeypatch.setenv("ANYSAM_CACHE", str(tmp_path))
        monkeypatch.setenv("ANYSAM_EMBEDDING_MEMORY_GB", "0.5")
        monkeypatch.setenv("ANYSAM_EMBEDDING_DISK_GB", "2")
        cache = user_cache()
        assert cache.max_bytes == 5 * 10**8
        assert cache.store.max_bytes == 2 * 10**9
        assert cache.store.folder == tmp_path / "embeddings"

    def test_no_room_on_disk_keeps_nothing_there(self, monkeypatch):
        monkeypatch.setenv("ANYSAM_EMBEDDING_DISK_GB", "0")
        assert user_cache().store is None

    def test_a_negative_budget_is_refused(self, monkeypatch):
        monkeypatch.setenv("ANYSAM_EMBEDDING_DISK_GB", "-1")
        with pytest.raises(SettingsError, match="embedding_disk_gb"):
            user_cache()
