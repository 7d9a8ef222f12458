"""Objects in regions of their own share batches, and each gets the answer it would get alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comparison import AS_IT_IS
from hypothesis import given
from hypothesis import strategies as st

from napari_anysam import Prompt, load_model
from napari_anysam.images.planes import Planes
from napari_anysam.networks import out_of_memory
from napari_anysam.networks.batches import join_embeddings
from napari_anysam.networks.sam2 import Sam2Model
from napari_anysam.networks.tracking_protocol import Recall
from napari_anysam.segmentation import tracking_pass
from napari_anysam.segmentation.regions import Region
from napari_anysam.segmentation.tracking import Tracker
from napari_anysam.segmentation.tracking_batches import batches_of, most_together

PLANES, SHAPE = 5, (260, 380)
CENTRES = ((60, 60), (70, 200), (190, 100), (180, 300))


@pytest.fixture(scope="module")
def nano():
    return load_model("anysam-nano", "cpu", "fp32")


def disc(number, plane):
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    row, column = CENTRES[number]
    return (rows - row - plane) ** 2 + (columns - column - 2 * plane) ** 2 < 13**2


@pytest.fixture(scope="module")
def stack():
    """Four discs, too far apart to share a region."""
    planes = np.random.default_rng(0).normal(60, 6, (PLANES, *SHAPE))
    for plane in range(PLANES):
        for number in range(len(CENTRES)):
            planes[plane][disc(number, plane)] += 80
    return planes.clip(0, 255).astype(np.uint8)


def run(model, stack):
    # The last disc is prompted later: it has fewer memories, so another layout.
    prompts = [Prompt(n + 1, plane, mask=disc(n, plane)) for n, plane in enumerate((0, 0, 0, 1))]
    return list(Tracker(model, Planes(stack), AS_IT_IS).run(prompts, direction="forward"))


@pytest.fixture(scope="module")
def recalls(nano, stack):
    """Embeddings of four regions, and what the disc in each of them remembers."""
    embeddings, remembered = [], []
    for number, (row, column) in enumerate(CENTRES):
        window = slice(row - 40, row + 40), slice(column - 40, column + 40)
        before, after = (nano.encode(AS_IT_IS.apply(stack[plane][window])) for plane in (0, 1))
        answer = nano.anchor(before, [Prompt(1, mask=disc(number, 0)[window])])
        features = nano.remember(before, answer, anchored=True)
        remembered.append(Recall(features, (0,), (answer.pointers[0],), (1,)))
        embeddings.append(after)
    return embeddings, remembered


def test_every_object_is_answered_as_if_it_were_alone(nano, stack, monkeypatch):
    sizes = []
    follow = nano.follow

    def noting(embedding, recalls, *, plane_count):
        sizes.append(len(recalls))
        return follow(embedding, recalls, plane_count=plane_count)

    monkeypatch.setattr(nano, "follow", noting)
    together = run(nano, stack)
    assert max(sizes) == len(CENTRES)
    sizes.clear()
    monkeypatch.setattr(tracking_pass, "most_together", lambda _: 1)
    alone = run(nano, stack)
    assert set(sizes) == {1}
    for one, other in zip(together, alone, strict=True):
        assert one.masks.any(axis=(1, 2)).all()
        assert (one.masks == other.masks).mean() > 0.9999
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
        np.testing.assert_allclose(one.object_logits, other.object_logits, atol=1e-3)


def test_the_network_follows_in_rows_as_it_does_one_by_one(nano, recalls):
    embeddings, remembered = recalls
    joined = join_embeddings(embeddings)
    together = nano.follow(joined, remembered, plane_count=PLANES)
    for row, (embedding, recall) in enumerate(zip(embeddings, remembered, strict=True)):
        alone = nano.follow(embedding, [recall], plane_count=PLANES)
        torch.testing.assert_close(together.logits[row], alone.logits[0], atol=1e-3, rtol=0)
        torch.testing.assert_close(together.pointers[row], alone.pointers[0], atol=1e-4, rtol=0)


def test_the_network_decodes_in_rows_as_it_does_one_by_one(nano, recalls):
    embeddings, _ = recalls
    # Prompts of two layouts, mixed: their rows must not be.
    prompts = [
        Prompt(1, points=[(40, 40)]),
        Prompt(2, box=(25, 25, 56, 56)),
        Prompt(3, points=[(41, 41)]),
        Prompt(4, box=(24, 24, 57, 57)),
    ]
    together = nano.decode(join_embeddings(embeddings), prompts, multimask=False)
    for row, (embedding, prompt) in enumerate(zip(embeddings, prompts, strict=True)):
        alone = nano.decode(embedding, [prompt], multimask=False)
        torch.testing.assert_close(together.logits[row], alone.logits[0], atol=1e-3, rtol=0)


def test_rows_are_halved_where_memory_runs_out(nano, recalls, monkeypatch):
    embeddings, remembered = recalls
    joined = join_embeddings(embeddings)
    expected = nano.follow(joined, remembered, plane_count=PLANES)
    follow = Sam2Model.follow

    def small(model, embedding, recalls, *, plane_count):
        if len(recalls) > 1:
            raise MemoryError
        return follow(model, embedding, recalls, plane_count=plane_count)

    monkeypatch.setattr(Sam2Model, "follow", small)
    found = out_of_memory.follow(nano, joined, remembered, plane_count=PLANES)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-3, rtol=0)


def test_one_embedding_for_all_is_not_copied(recalls):
    embeddings, _ = recalls
    assert join_embeddings([embeddings[0]] * 3) is embeddings[0]


def test_larger_inputs_make_smaller_batches():
    assert [most_together(size) for size in (256, 512, 1024, 2048)] == [16, 4, 1, 1]


regions = st.builds(
    Region, st.integers(0, 9), st.integers(0, 9), st.sampled_from([8, 16]), st.just(8)
)


@given(st.dictionaries(regions, st.integers(1, 5), min_size=1), st.integers(1, 6))
def test_batches_hold_every_object_once_in_regions_of_one_shape(counts, most):
    numbers = iter(range(1000))
    by_region = {region: [next(numbers) for _ in range(count)] for region, count in counts.items()}
    batches = list(batches_of(by_region, most))
    found = [pair for batch in batches for pair in batch]
    wanted = [(region, number) for region, group in by_region.items() for number in group]
    assert sorted(found, key=lambda pair: pair[1]) == wanted
    for batch in batches:
        assert len({region.shape for region, _ in batch}) == 1
        assert len(batch) <= most or len({region for region, _ in batch}) == 1
    for region in by_region:
        assert sum(any(one == region for one, _ in batch) for batch in batches) == 1
