"""A label array becomes prompts, one per object, ids kept."""

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import io

import napari_anysam as anysam
from napari_anysam.errors import PromptError
from napari_anysam.segmentation import labels as label_arrays
from napari_anysam.segmentation.label_prompts import (
    prompts_from_labels,
    prompts_on_largest_planes,
)
from napari_anysam.segmentation.prompt_files import prompt_to_dict
from napari_anysam.segmentation.regions import Region, mask_in

LABELS = hnp.arrays(
    st.sampled_from([np.uint8, np.int32, np.uint16]),
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=20),
    elements=st.integers(0, 5),
).filter(np.any)
STACKS = hnp.arrays(
    np.uint16, hnp.array_shapes(min_dims=3, max_dims=3, max_side=8), elements=st.integers(0, 4)
).filter(np.any)


@given(labels=LABELS)
def test_masks_put_together_are_the_labels(labels):
    prompts = prompts_from_labels(labels, "mask")
    again = np.zeros_like(labels)
    for prompt in prompts:
        prompt.check_inside(labels.shape)
        again[mask_in(prompt, Region.whole(labels.shape))] = prompt.object_id
    np.testing.assert_array_equal(again, labels)
    assert [prompt.object_id for prompt in prompts] == [n for n in np.unique(labels) if n]


@given(labels=LABELS)
def test_boxes_are_the_smallest_and_points_lie_inside(labels):
    for prompt in prompts_from_labels(labels, "box"):
        rows, columns = np.nonzero(labels == prompt.object_id)
        assert prompt.box == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
    for prompt in prompts_from_labels(labels, "points"):
        assert all(labels[int(y), int(x)] == prompt.object_id for y, x in prompt.points)


@given(stack=STACKS, axis=st.integers(0, 2))
def test_in_a_stack_every_object_is_prompted_where_it_is_largest(stack, axis):
    planes = np.moveaxis(stack, axis, 0)
    prompts = prompts_from_labels(stack, "mask", axis=axis)
    assert [prompt.object_id for prompt in prompts] == [n for n in np.unique(stack) if n]
    for prompt in prompts:
        truth = planes[prompt.plane] == prompt.object_id
        np.testing.assert_array_equal(mask_in(prompt, Region.whole(truth.shape)), truth)
        assert truth.sum() == (planes == prompt.object_id).sum(axis=(1, 2)).max()


@given(stack=STACKS, every=st.integers(1, 4))
def test_every_so_many_planes_is_prompted(stack, every):
    prompts = prompts_from_labels(stack, "box", every=every)
    for object_id in np.unique(stack[stack > 0]):
        planes = [one.plane for one in prompts if one.object_id == object_id]
        present = np.flatnonzero((stack == object_id).any(axis=(1, 2)))
        wanted = [plane for plane in present if plane % every == 0]
        assert planes == wanted or (not wanted and len(planes) == 1 and planes[0] in present)


def test_one_plane_of_a_stack_and_the_plane_of_2d_labels_are_named():
    stack = np.zeros((3, 6, 6), int)
    stack[1, 2:4, 2:4] = 7
    stack[2, 1:5, 1:5] = 7
    assert prompts_from_labels(stack, plane=1)[0].plane == 1
    assert prompts_from_labels(stack, plane=1)[0].box == (2, 2, 4, 4)
    assert prompts_from_labels(stack[1], plane=1)[0].plane == 1
    assert prompts_from_labels(stack[1])[0].plane is None


@pytest.mark.parametrize("lowest", [0, 3])
def test_ids_may_be_as_large_as_they_like(lowest):
    labels = np.full((5, 6), lowest, np.uint32)
    labels[1:3, 1:4] = 2**31 - 1
    ids = [prompt.object_id for prompt in prompts_from_labels(labels)]
    assert ids == ([3] if lowest else []) + [2**31 - 1]


def test_five_thousand_objects_take_little_time_and_memory():
    tile = np.zeros((20, 20), np.int32)
    tile[4:16, 4:16] = 1
    ids = np.arange(1, 5001).reshape(50, 100)
    labels = np.kron(ids, tile).astype(np.int32)
    for kind in ("box", "mask", "points"):
        tracemalloc.start()
        start = time.process_time()
        prompts = prompts_from_labels(labels, kind)
        seconds = time.process_time() - start
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(prompts) == 5000
        assert seconds < 20
        assert peak < 30e6  # a full-size mask each would be 10 GB


@pytest.mark.parametrize(
    ("labels", "arguments", "words"),
    [
        (np.zeros((4, 4), int), {}, "at least one id"),
        (np.ones((4, 4)), {}, "whole numbers"),
        (np.full((4, 4), -1), {}, "negative"),
        (np.ones((2, 2, 4, 4), int), {}, "4 dimensions"),
        (np.ones((4, 4), int), {"kind": "outline"}, "'box', 'mask' or 'points'"),
        (np.ones((3, 4, 4), int), {"every": 0}, "every plane"),
        (np.ones((3, 4, 4), int), {"plane": 3}, "use 0 to 2"),
    ],
)
def test_what_is_no_label_array_is_refused(labels, arguments, words):
    with pytest.raises(PromptError, match=words):
        prompts_from_labels(labels, **arguments)


def iou(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


@pytest.mark.parametrize(("kind", "least"), [("box", 0.75), ("mask", 0.7), ("points", 0.7)])
def test_nuclei_are_refined_from_their_labels(nano, real_data, kind, least):
    folder = real_data / "stardist_nuclei2d"
    image, truth = io.imread(folder / "img2d.tif"), io.imread(folder / "mask2d.tif")
    window = np.s_[:200, :200]
    image, truth = image[window], truth[window].astype(np.int32)
    labels = anysam.segment(image, prompts_from_labels(truth, kind), model=nano)
    ids = [number for number in np.unique(truth) if (truth == number).sum() > 100 and number]
    assert set(np.unique(labels)) <= set(np.unique(truth))
    assert np.mean([iou(labels == number, truth == number) for number in ids]) > least


@pytest.mark.parametrize("kind", ["box", "mask", "points"])
@pytest.mark.parametrize("shape", [(60, 70), (3, 60, 70)])
def test_labels_read_by_strips_give_the_same_prompts(kind, shape, monkeypatch):
    labels = np.random.default_rng(4).integers(0, 9, (*shape[:-2], 6, 7)).repeat(10, -1)
    labels = labels.repeat(10, -2)
    expected = prompts_from_labels(labels, kind)
    monkeypatch.setattr(label_arrays, "STRIP_PIXELS", 70 * 13)
    found = prompts_on_largest_planes(labels, kind)
    assert [prompt_to_dict(one) for one in found] == [prompt_to_dict(one) for one in expected]


def test_labels_without_an_object_or_with_negative_ids_are_refused_by_strips_too():
    for labels, words in (
        (np.zeros((4, 5), int), "no object"),
        (-np.ones((4, 5), int), "negative"),
    ):
        with pytest.raises(PromptError, match=words):
            prompts_on_largest_planes(labels)
