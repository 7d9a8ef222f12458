"""What a run reads, keeps and yields, and how it ends."""

from __future__ import annotations

import gc
from collections import Counter

import dask.array
import numpy as np
import pytest
import torch
import zarr
from comparison import AS_IT_IS
from discs import make_discs

from napari_anysam import Prompt, load_model, propagate
from napari_anysam.errors import CapabilityError, ImageError, PromptError
from napari_anysam.images.planes import Planes
from napari_anysam.networks import out_of_memory
from napari_anysam.networks.sam import SamModel
from napari_anysam.segmentation import reading_ahead
from napari_anysam.segmentation.embedding_store import EmbeddingStore
from napari_anysam.segmentation.embeddings import EmbeddingCache
from napari_anysam.segmentation.precompute import precompute
from napari_anysam.segmentation.tracking import Tracker
from tiny_sam import tiny_sam


class CountingStack:
    """A stack that notes which plane is read when."""

    def __init__(self, stack):
        self._stack = stack
        self.shape, self.ndim, self.dtype = stack.shape, stack.ndim, stack.dtype
        self.reads = []

    def __getitem__(self, key):
        self.reads.append(key[0])
        return self._stack[key]


@pytest.fixture
def tracker(nano, moving_discs):
    return Tracker(nano, Planes(moving_discs[0][:8]), AS_IT_IS, region="plane")


def box_of(labels, object_id, plane):
    rows, columns = np.nonzero(labels[plane] == object_id)
    box = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
    return Prompt(object_id, plane, box=box)


def mask_of(labels, object_id, plane):
    return Prompt(object_id, plane, mask=labels[plane] == object_id)


def iou(one, other):
    return (one & other).sum() / max(1, (one | other).sum())


def test_one_object_yields_every_plane_once_forward_first(tracker, moving_discs):
    results = list(tracker.run([box_of(moving_discs[1], 1, 3)]))
    assert [result.index for result in results] == [3, 4, 5, 6, 7, 2, 1, 0]


def test_a_result_says_what_it_promises(tracker, moving_discs):
    labels = moving_discs[1]
    prompts = [box_of(labels, 2, 0), mask_of(labels, 1, 0)]
    for result in tracker.run(prompts):
        assert result.object_ids == (1, 2)
        assert result.masks.shape == (2, 120, 150)
        assert result.masks.dtype == bool
        assert result.labels.shape == (120, 150)
        assert np.issubdtype(result.labels.dtype, np.integer)
        assert result.scores.shape == result.object_logits.shape == (2,)
        assert set(np.unique(result.labels)) <= {0, 1, 2}
        assert ((result.labels > 0) == result.masks.any(axis=0)).all()


def test_a_mask_plane_returns_its_mask_unchanged(nano, moving_discs):
    stack, labels = moving_discs
    prompt = mask_of(labels, 1, 2)
    for region in ("plane", "auto"):
        tracker = Tracker(nano, Planes(stack[:4]), AS_IT_IS, region=region)
        first = next(tracker.run([prompt]))
        assert first.index == 2
        assert (first.masks[0] == prompt.mask).all()


def test_where_objects_overlap_one_of_them_has_the_pixel(nano):
    stack = np.full((2, 40, 40), 90, np.uint8)
    masks = np.zeros((2, 40, 40), bool)
    masks[0, 5:25, 5:25] = masks[1, 15:35, 15:35] = True
    tracker = Tracker(nano, Planes(stack), AS_IT_IS)
    prompts = [Prompt(number + 1, 0, mask=mask) for number, mask in enumerate(masks)]
    first = next(tracker.run(prompts))
    assert (first.masks == masks).all()
    assert (first.labels[15:25, 15:25] > 0).all()


def test_each_plane_is_read_at_most_once_per_pass(nano, moving_discs):
    stack, labels = moving_discs
    counting = CountingStack(stack[:10])
    prompts = [box_of(labels, 1, 3), box_of(labels, 2, 3), mask_of(labels, 3, 3)]
    list(Tracker(nano, Planes(counting), AS_IT_IS, region="plane").run(prompts))
    assert Counter(counting.reads) == Counter(range(10))


def test_planes_are_read_as_results_are_asked_for(nano, moving_discs, monkeypatch):
    monkeypatch.setattr(reading_ahead, "SLOW", 1.0)  # a busy computer may stop us for a while
    stack, labels = moving_discs
    counting = CountingStack(stack)
    results = Tracker(nano, Planes(counting), AS_IT_IS).run([box_of(labels, 1, 0)])
    assert not counting.reads
    next(results)
    next(results)
    assert set(counting.reads) == {0, 1}


def test_planes_visited_in_both_directions_are_encoded_once(nano, moving_discs):
    stack, labels = moving_discs
    encoded = []
    encode = nano.encode
    nano.encode = lambda image, **more: encoded.append(image.shape) or encode(image, **more)
    try:
        prompts = [mask_of(labels, 1, 1), mask_of(labels, 2, 6)]
        list(Tracker(nano, Planes(stack[:8]), AS_IT_IS, region="plane").run(prompts))
    finally:
        del nano.encode
    assert len(encoded) == 8


def test_corrections_encode_nothing_again_with_a_cache(nano, moving_discs):
    stack, labels = moving_discs
    counting = CountingStack(stack[:5])
    cache = EmbeddingCache()
    tracker = Tracker(nano, Planes(counting), AS_IT_IS, region="plane", cache=cache)
    list(tracker.run([box_of(labels, 1, 0)]))
    before = len(counting.reads)
    list(tracker.run([box_of(labels, 1, 0), box_of(labels, 1, 4)]))
    assert len(counting.reads) == before


@pytest.mark.parametrize(("precision", "encoded"), [("bf16", 0), ("fp32", 5)])
def test_planes_on_disk_are_not_encoded_unless_they_are_rounded_there(
    moving_discs, tmp_path, precision, encoded
):
    model = load_model("anysam-nano", device="cpu", precision=precision)
    planes, prompts = Planes(moving_discs[0][:5]), [box_of(moving_discs[1], 1, 0)]
    store = EmbeddingStore(tmp_path, 10**9)
    list(precompute(model, planes, AS_IT_IS, store))
    expected = list(Tracker(model, planes, AS_IT_IS, region="plane").run(prompts))
    calls = []
    encode = model.encode
    model.encode = lambda image, **more: calls.append(image.shape) or encode(image, **more)
    found = list(Tracker(model, planes, AS_IT_IS, region="plane", store=store).run(prompts))
    assert len(calls) == encoded
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.labels, other.labels)
        assert np.array_equal(one.scores, other.scores)


def test_what_a_run_holds_does_not_grow_with_the_stack(nano):
    def held_after(count):
        stack, labels = make_discs(count)
        tracker = Tracker(nano, Planes(stack), AS_IT_IS, region="plane")
        results = tracker.run([mask_of(labels, 1, 0)])
        for result in results:
            if result.index == count - 2:
                gc.collect()
                return tensor_bytes()
        raise AssertionError

    def tensor_bytes():
        return sum(
            one.numel() * one.element_size()
            for one in gc.get_objects()
            if type(one) is torch.Tensor
        )

    held_after(4)  # what is computed once and kept
    assert held_after(24) <= held_after(16) + 50_000


def test_cancelling_keeps_what_was_yielded_and_raises_nothing(tracker, moving_discs):
    asked = []
    results = tracker.run([box_of(moving_discs[1], 1, 0)], cancelled=lambda: bool(asked))
    seen = [next(results).index for _ in range(3)]
    asked.append("stop")
    assert seen == [0, 1, 2]
    assert list(results) == []


def test_cancelling_while_a_plane_is_encoded_ends_the_run(nano, moving_discs):
    stack, labels = moving_discs
    asked = []
    tracker = Tracker(nano, Planes(stack), AS_IT_IS)
    results = tracker.run(
        [box_of(labels, 1, 0)], cancelled=lambda: asked.append(1) or len(asked) > 3
    )
    assert list(results) == []


def test_a_plane_with_many_objects_is_given_up_between_them(nano, moving_discs, monkeypatch):
    followed = []

    def anchor(*args):
        followed.append(1)
        return real(*args)

    real = out_of_memory.anchor
    monkeypatch.setattr(out_of_memory, "anchor", anchor)
    mask = np.ones((4, 4), bool)
    prompts = [Prompt(one, 0, mask=mask, mask_origin=(one * 5, 40)) for one in range(1, 13)]
    tracker = Tracker(nano, Planes(moving_discs[0]), AS_IT_IS)
    assert list(tracker.run(prompts, cancelled=lambda: len(followed) > 1)) == []
    assert len(followed) == 2


def test_a_later_result_holds_what_an_earlier_one_said(nano, moving_discs):
    stack, labels = moving_discs
    prompts = [mask_of(labels, 1, 1), mask_of(labels, 2, 4)]
    by_plane = {}
    for result in Tracker(nano, Planes(stack[:6]), AS_IT_IS).run(prompts):
        by_plane.setdefault(result.index, []).append(result)
    twice = {plane for plane, results in by_plane.items() if len(results) == 2}
    assert twice == {1, 2, 3}
    for plane in twice:
        first, second = by_plane[plane]
        assert first.object_ids == (1,)
        assert second.object_ids == (1, 2)
        assert (second.masks[0] == first.masks[0]).all()
        assert second.object_logits[0] == first.object_logits[0]
    assert by_plane[5][-1].object_ids == by_plane[0][-1].object_ids == (1, 2)


def test_between_two_anchors_both_are_remembered(nano, moving_discs):
    stack, labels = moving_discs
    prompts = [mask_of(labels, 1, 0), mask_of(labels, 1, 5)]
    last = {r.index: r for r in Tracker(nano, Planes(stack[:6]), AS_IT_IS).run(prompts)}
    assert (last[0].masks[0] == prompts[0].mask).all()
    assert (last[5].masks[0] == prompts[1].mask).all()
    for direction, nearer in (("forward", (1, 2)), ("backward", (3, 4))):
        alone = Tracker(nano, Planes(stack[:6]), AS_IT_IS).run(prompts, direction=direction)
        found = {result.index: result.masks for result in alone}
        assert all((last[plane].masks == found[plane]).all() for plane in nearer)


def test_three_objects_with_different_anchors(nano, moving_discs):
    stack, labels = moving_discs
    prompts = [mask_of(labels, 1, 1), box_of(labels, 2, 2), mask_of(labels, 3, 4)]
    last = {r.index: r for r in Tracker(nano, Planes(stack[:6]), AS_IT_IS).run(prompts)}
    assert sorted(last) == list(range(6))
    assert all(result.object_ids == (1, 2, 3) for result in last.values())


@pytest.mark.parametrize("kind", ["dask", "zarr"])
def test_lazy_stacks_give_the_same(kind, nano, moving_discs):
    stack, labels = moving_discs
    lazy = {"dask": dask.array.from_array, "zarr": zarr.array}[kind](stack[:4])
    prompts = [mask_of(labels, 1, 1)]
    expected = propagate(stack[:4], prompts, nano)
    for one, other in zip(propagate(lazy, prompts, nano), expected, strict=True):
        assert (one.labels == other.labels).all()


def test_another_axis_and_an_rgb_stack(nano, moving_discs):
    stack, labels = moving_discs
    rgb = np.repeat(stack[:3, None], 3, axis=1)
    prompts = [mask_of(labels, 1, 1)]
    expected = [result.labels for result in propagate(stack[:3], prompts, nano, contrast=(0, 255))]
    turned = propagate(np.moveaxis(stack[:3], 0, 2), prompts, nano, axis=2, contrast=(0, 255))
    coloured = propagate(rgb, prompts, nano, channel_axis=1, contrast=(0, 255))
    for one, two, three in zip(expected, turned, coloured, strict=True):
        assert (one == two.labels).all()
        assert (one == three.labels).all()


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_planes_without_content_do_not_stop_a_run(value, nano, moving_discs):
    stack = moving_discs[0][:5].astype(np.float32)
    stack[2] = value
    results = list(propagate(stack, [mask_of(moving_discs[1], 1, 0)], nano))
    assert [result.index for result in results] == [0, 1, 2, 3, 4]


def test_bad_requests_are_refused_before_the_first_result(nano, moving_discs):
    stack = moving_discs[0]
    with pytest.raises(PromptError, match="outside the stack"):
        propagate(stack, [Prompt(1, 99, points=[(5, 5)])], nano)
    with pytest.raises(PromptError, match="outside the image"):
        propagate(stack, [Prompt(1, 0, points=[(500, 5)])], nano)
    with pytest.raises(PromptError, match="no prompt"):
        propagate(stack, [], nano)
    with pytest.raises(PromptError, match="direction"):
        propagate(stack, [Prompt(1, 0, points=[(5, 5)])], nano, direction="sideways")
    with pytest.raises(ImageError, match="empty"):
        propagate(np.zeros((0, 5, 5)), [Prompt(1, 0, points=[(1, 1)])], nano)


def test_an_image_model_cannot_track(nano, moving_discs):
    model = SamModel(tiny_sam(), name="vit-b", key="vit-b", precision="fp32")
    with pytest.raises(CapabilityError, match="choose a SAM 2 model"):
        propagate(moving_discs[0], [Prompt(1, 0, points=[(5, 5)])], model)


def test_moving_discs_are_followed(nano, moving_discs):
    stack, labels = moving_discs
    labels = labels[4:14]
    prompts = [box_of(labels, 1, 5), box_of(labels, 2, 5)]
    for region in ("plane", "auto"):
        found = [
            iou(result.masks[place], labels[result.index] == object_id)
            for result in propagate(stack[4:14], prompts, nano, region=region)
            for place, object_id in enumerate(result.object_ids)
        ]
        assert np.mean(found) >= 0.9
