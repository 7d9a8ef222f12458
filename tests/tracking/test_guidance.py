"""The second opinion of the mask before: its arithmetic, and what it is for."""

import numpy as np
import pytest
import torch

import napari_anysam as anysam
from napari_anysam.networks.tracking_protocol import Tracked
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.regions import Region
from napari_anysam.segmentation.tracking_guidance import Guide
from napari_anysam.segmentation.tracking_results import Answer

REGION = Region(10, 20, 64, 64)


@pytest.fixture(scope="module")
def model():
    return anysam.load_model("anysam-nano", precision="fp32")


@pytest.fixture(scope="module")
def embedding(model):
    image = np.random.default_rng(0).integers(0, 60, (64, 64, 3), dtype=np.uint8)
    image[20:40, 18:44] += 150
    return model.encode(image)


def tracked_of(count):
    return Tracked(
        torch.randn(count, 1, 64, 64, generator=torch.Generator().manual_seed(0)),
        torch.full((count,), 0.5),
        torch.full((count,), 3.0),
        torch.zeros(count, 8),
    )


def answer_of(rows, columns, region):
    """Answer with a rectangle of the plane, seen through a region."""
    logits = np.full(region.shape, -5, np.float32)
    logits[rows.start - region.row : rows.stop - region.row,
           columns.start - region.column : columns.stop - region.column] = 5  # fmt: skip
    return Answer(region, logits, 0.9, 3.0)


def test_logits_are_mixed_with_those_of_the_last_mask(model, embedding):
    guide = Guide(model)
    # Rows 30 to 50 and columns 38 to 64 of the plane, seen before through another region.
    guide.note(7, answer_of(slice(30, 50), slice(38, 64), Region(5, 30, 64, 64)))
    tracked = tracked_of(2)
    mixed = guide.mix(embedding, REGION, [3, 7], tracked)
    mask = np.zeros(REGION.shape, bool)
    mask[20:40, 18:44] = True
    prompt = Prompt(7, mask=mask, box=(19.0, 16.7, 41.0, 45.3))
    prompted = model.decode(embedding, [prompt], multimask=False).logits
    weight = model.guidance
    assert 0 < weight < 1
    torch.testing.assert_close(mixed.logits[0], tracked.logits[0])  # never seen before
    expected = (1 - weight) * tracked.logits[1] + weight * prompted[0]
    torch.testing.assert_close(mixed.logits[1], expected, atol=1e-4, rtol=0)
    assert mixed.object_logits is tracked.object_logits


def test_what_was_not_found_does_not_count(model, embedding):
    guide, tracked = Guide(model), tracked_of(1)
    guide.note(1, Answer(REGION, np.full(REGION.shape, -1024, np.float32), 0.1, -3.0))
    assert guide.mix(embedding, REGION, [1], tracked) is tracked
    guide.note(1, answer_of(slice(30, 50), slice(38, 64), REGION))
    guide.forget()
    assert guide.mix(embedding, REGION, [1], tracked) is tracked


def test_networks_that_were_not_trained_for_it_are_left_alone(model, embedding, monkeypatch):
    monkeypatch.setattr(model, "guidance", 0.0)
    guide, tracked = Guide(model), tracked_of(1)
    guide.note(1, answer_of(slice(30, 50), slice(38, 64), REGION))
    assert guide.mix(embedding, REGION, [1], tracked) is tracked


def ball_beside_others(planes=14, size=96):
    """Return a stack in which a ball ends half-way, among others that go on, and its truth."""
    rows, columns = np.ogrid[:size, :size]
    rng = np.random.default_rng(3)
    stack = rng.normal(30, 6, (planes, size, size))
    truth = np.zeros(stack.shape, bool)
    for plane in range(planes):
        radius = 11 * np.sqrt(max(0.0, 1 - (plane / 7) ** 2))
        truth[plane] = np.hypot(rows - 46, columns - 44) < radius
        others = [np.hypot(rows - y, columns - x) < 11 for y, x in ((46, 70), (74, 40), (18, 50))]
        stack[plane][truth[plane] | np.any(others, axis=0)] += 140
    return np.clip(stack, 0, 255).astype(np.uint8), truth


def test_less_is_painted_where_the_object_has_ended(model, monkeypatch):
    stack, truth = ball_beside_others()
    prompt = Prompt(1, plane=0, box=(35, 33, 58, 56))

    def painted():
        results = anysam.propagate(stack, [prompt], model=model)
        masks = {result.index: result.masks[0] for result in results}
        found = np.stack([masks[plane] for plane in range(len(stack))])
        overlap = (found & truth)[:6].sum() / (found | truth)[:6].sum()
        return found[8:].sum() / truth[0].sum(), overlap

    guided, overlap = painted()
    monkeypatch.setattr(model, "guidance", 0.0)
    alone, _ = painted()
    assert overlap > 0.75
    assert guided <= alone
