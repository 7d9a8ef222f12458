"""The cache keeps what was used last, within its budget."""

import torch

from napari_anysam.networks.protocol import Embedding
from napari_anysam.segmentation.embeddings import EmbeddingCache


def embedding(kilobytes=1):
    return Embedding({"features": torch.zeros(kilobytes * 256)}, (8, 8), "model")


def test_least_recently_used_goes_first():
    cache = EmbeddingCache(max_bytes=2 * 1024)
    cache.put("a", embedding())
    cache.put("b", embedding())
    assert cache.get("a") is not None
    cache.put("c", embedding())
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert cache.nbytes == 2 * 1024


def test_replacing_an_entry_counts_it_once():
    cache = EmbeddingCache(max_bytes=4 * 1024)
    cache.put("a", embedding(1))
    cache.put("a", embedding(2))
    assert (len(cache), cache.nbytes) == (1, 2 * 1024)


def test_what_is_larger_than_the_budget_is_not_kept():
    cache = EmbeddingCache(max_bytes=1024)
    cache.put("a", embedding(2))
    assert (len(cache), cache.nbytes) == (0, 0)


def test_clearing_lets_go_of_everything():
    cache = EmbeddingCache()
    cache.put("a", embedding())
    cache.clear()
    assert cache.get("a") is None
    assert cache.nbytes == 0
