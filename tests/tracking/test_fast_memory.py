"""``memory="fast"`` reads fewer memories, and still follows."""

from __future__ import annotations

import numpy as np
import pytest
from comparison import AS_IT_IS

from napari_anysam import Prompt, load_model, propagate
from napari_anysam.errors import CapabilityError
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.tracking import Tracker


@pytest.fixture(scope="module")
def nano():
    return load_model("anysam-nano", "cpu", "fp32")


def layouts_of_a_run(model, stack, prompts, monkeypatch, memory):
    """Numbers of memories and pointers that the network read, plane by plane."""
    layouts = []
    follow = model.follow

    def noting(embedding, recalls, *, plane_count):
        layouts.extend(recall.layout for recall in recalls)
        return follow(embedding, recalls, plane_count=plane_count)

    with monkeypatch.context() as patched:
        patched.setattr(model, "follow", noting)
        tracker = Tracker(model, Planes(stack), AS_IT_IS, region="plane", memory=memory)
        list(tracker.run(prompts, direction="forward"))
    return layouts


def test_two_recent_planes_are_read_and_pointers_stay(nano, moving_discs, monkeypatch):
    stack, labels = moving_discs
    prompts = [Prompt(1, 0, mask=labels[0] == 1)]
    full = layouts_of_a_run(nano, stack[:10], prompts, monkeypatch, "full")
    fast = layouts_of_a_run(nano, stack[:10], prompts, monkeypatch, "fast")
    assert [memories for memories, _ in full] == [1, 2, 3, 4, 5, 6, 7, 7, 7]
    assert [memories for memories, _ in fast] == [1, 2, 3, 3, 3, 3, 3, 3, 3]
    assert [pointers for _, pointers in fast] == [pointers for _, pointers in full]


def test_the_nearest_prompted_planes_are_read(nano, moving_discs, monkeypatch):
    stack, labels = moving_discs
    prompts = [Prompt(1, plane, mask=labels[plane] == 1) for plane in (0, 3, 6, 9)]
    layouts = layouts_of_a_run(nano, stack[:10], prompts, monkeypatch, "fast")
    assert layouts  # planes 1, 2, 4, 5, 7, 8: two prompted planes, up to two that were tracked
    assert max(memories for memories, _ in layouts) <= 4


@pytest.mark.parametrize("region", ["auto", "plane"])
def test_discs_are_followed_with_it(nano, moving_discs, region):
    stack, labels = moving_discs
    prompts = [Prompt(number, 0, mask=labels[0] == number) for number in (1, 2)]
    results = list(propagate(stack[:12], prompts, model=nano, region=region, memory="fast"))
    for result in results:
        for object_id, mask in zip(result.object_ids, result.masks, strict=True):
            truth = labels[result.index] == object_id
            assert np.count_nonzero(mask & truth) > 0.8 * np.count_nonzero(mask | truth)


def test_an_unknown_memory_is_refused_at_once(nano, moving_discs):
    stack, labels = moving_discs
    with pytest.raises(CapabilityError, match="'full' or 'fast'"):
        propagate(stack, [Prompt(1, 0, mask=labels[0] == 1)], model=nano, memory="most")
