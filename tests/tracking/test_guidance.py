"""The second opinion of the mask before: its arithmetic, and what it is for."""

import numpy as np
import pytest
import torch
from scipy import ndimage

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
    mixed = guide.mix(embedding, [REGION, REGION], [3, 7], tracked)
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
    assert guide.mix(embedding, [REGION], [1], tracked) is tracked
    guide.note(1, answer_of(slice(30, 50), slice(38, 64), REGION))
    guide.forget()
    assert guide.mix(embedding, [REGION], [1], tracked) is tracked


def test_networks_that_were_not_trained_for_it_are_left_alone(model, embedding, monkeypatch):
    monkeypatch.setattr(model, "guidance", 0.0)
    guide, tracked = Guide(model), tracked_of(1)
    guide.note(1, answer_of(slice(30, 50), slice(38, 64), REGION))
    assert guide.mix(embedding, [REGION], [1], tracked) is tracked


def faint_ball_among_others(seed, planes=16, size=96):
    """Return a stack whose faint, blurred ball ends half-way as others begin, and its truth."""
    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[:size, :size]
    stack, truth = np.zeros((planes, size, size)), np.zeros((planes, size, size), bool)
    others = ((46, 66, 9), (70, 50, 10), (24, 46, 9), (50, 22, 10))
    for plane in range(planes):
        for row, column, middle in ((46, 44, 0), *others):
            radius = 12 * np.sqrt(max(0.0, 1 - ((plane - middle) / 7) ** 2))
            ball = np.hypot(rows - row, columns - column) < radius
            stack[plane][ball] += 40
            truth[plane] |= ball & (middle == 0)
    stack = 40 + ndimage.gaussian_filter(stack, (1, 2, 2)) + rng.normal(0, 14, stack.shape)
    return np.clip(stack, 0, 255).astype(np.uint8), truth


@pytest.mark.parametrize("seed", [0, 2])
def test_nothing_is_painted_where_a_faint_object_has_ended(model, monkeypatch, seed):
    stack, truth = faint_ball_among_others(seed)
    prompt = Prompt(1, plane=0, box=(34, 32, 59, 57))

    def followed():
        results = anysam.propagate(stack, [prompt], model=model)
        masks = {result.index: result.masks[0] for result in results}
        found = np.stack([masks[plane] for plane in range(len(stack))])
        overlap = (found & truth)[:6].sum() / (found | truth)[:6].sum()
        return overlap, found[8:].sum() / truth[0].sum()

    overlap, painted = followed()
    monkeypatch.setattr(model, "guidance", 0.0)
    overlap_alone, painted_alone = followed()
    assert overlap > max(0.7, overlap_alone)
    assert painted < 0.5 < painted_alone
