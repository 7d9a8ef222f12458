"""The ring of memories chooses as ``SAM2Base._prepare_memory_conditioned_features`` does."""

from __future__ import annotations

import torch
from sam2.modeling.sam2_utils import select_closest_cond_frames

from napari_anysam.networks.tracking_protocol import MemorySpan, Tracked
from napari_anysam.segmentation.memory import Memory, MemoryBank, nearest_anchors
from napari_anysam.segmentation.regions import Region

SPAN = MemorySpan(recent=6, pointers=16, anchors=3, past_pointers_only=True, signed_distances=True)
WHOLE = Region(0, 0, 8, 8)
NOTHING = Tracked(*(torch.zeros(1, 1),) * 4)


def memory(plane):
    """A memory whose tensors say which plane it is of."""
    named = torch.tensor([float(plane)])
    return Memory(plane, named, named, WHOLE, NOTHING, WHOLE, anchored=False)


def bank(anchors, tracked, step=1, span=SPAN):
    found = MemoryBank(span, {plane: memory(plane) for plane in anchors}, step)
    for plane in tracked:
        found.add(memory(plane))
    return found


def planes(tensors):
    return [int(tensor) for tensor in tensors]


def test_six_recent_memories_and_fifteen_recent_pointers():
    recall = bank([0], range(1, 40)).recall(40, 100)
    assert planes(recall.features) == [0, 34, 35, 36, 37, 38, 39]
    assert recall.ages == (0, 6, 5, 4, 3, 2, 1)
    assert planes(recall.pointers) == [0, *range(39, 24, -1)]
    assert recall.distances == (40, *range(1, 16))


def test_backward_ages_count_the_other_way():
    recall = bank([20], range(19, 10, -1), step=-1).recall(10, 100)
    assert recall.ages == (0, 6, 5, 4, 3, 2, 1)
    assert recall.distances[:3] == (10, 1, 2)


def test_a_short_stack_limits_the_pointers():
    recall = bank([0], range(1, 9)).recall(9, 10)
    assert recall.distances == (9, 1, 2, 3, 4, 5, 6, 7, 8)
    assert bank([0], range(1, 6)).recall(6, 5).distances == (6, 1, 2, 3, 4)


def test_an_anchor_ahead_is_remembered_but_does_not_point():
    recall = bank([0, 9], [1, 2]).recall(3, 100)
    assert planes(recall.features) == [0, 9, 1, 2]
    assert planes(recall.pointers) == [0, 2, 1]


def test_an_anchor_ahead_points_where_the_network_wants_it():
    span = MemorySpan(6, 16, 3, past_pointers_only=False, signed_distances=True)
    assert bank([0, 9], [1], span=span).recall(2, 100).distances == (2, -7, 1)


def test_anchors_beyond_the_limit_are_chosen_by_nearness_as_the_package_does():
    anchors = [2, 5, 11, 30, 31, 60]
    for plane in range(70):
        chosen, _ = select_closest_cond_frames(plane, dict.fromkeys(anchors), 4)
        assert nearest_anchors(plane, anchors, 4) == tuple(chosen)


def test_an_anchor_that_was_not_chosen_counts_as_a_recent_plane():
    recall = bank([1, 2, 3, 4, 5], []).recall(6, 100)
    assert planes(recall.features) == [5, 4, 3, 1, 2]
    assert recall.ages == (0, 0, 0, 5, 4)
    assert planes(recall.pointers) == [5, 4, 3, 2, 1]
