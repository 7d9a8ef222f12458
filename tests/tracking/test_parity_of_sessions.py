"""Parity beyond a single run from one plane: several prompted planes, corrections, later objects.

Same weights, same planes, float32, ``region="plane"``. The official predictor keeps a state, and a
session goes on in it; ours runs anew with all prompts of the objects that are asked for.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comparison import AS_IT_IS

from napari_anysam import Prompt
from napari_anysam.images.planes import Planes
from napari_anysam.models.store import builtin_folder
from napari_anysam.networks.sam2_build import read_configuration
from napari_anysam.segmentation.embeddings import EmbeddingCache
from napari_anysam.segmentation.tracking import Tracker

COUNT = 22
CLOSE = 0.999


class Session:
    """The official predictor, with a state that goes on."""

    def __init__(self, official, nano, stack):
        configuration = read_configuration(builtin_folder() / "anysam-nano.yaml")
        self.predictor = official.build_official(nano.network.state_dict(), configuration)
        # Else a run overwrites the planes that were corrected after an earlier one.
        self.predictor.add_all_frames_to_correct_as_cond = True
        self._official = official
        images = torch.cat([nano._input(AS_IT_IS.apply(plane)) for plane in stack])
        self._state = official.start_state(images, stack.shape[1:])

    def add(self, *prompts):
        for prompt in prompts:
            self._official.add_prompt(self.predictor, self._state, prompt)

    def run(self, start, *, reverse=False):
        """Return masks by (object id, plane)."""
        planes = self.predictor.propagate_in_video(
            self._state, start_frame_idx=start, reverse=reverse
        )
        return {
            (object_id, plane): (one[0] > 0).numpy()
            for plane, ids, logits in planes
            for object_id, one in zip(ids, logits, strict=True)
        }


@pytest.fixture(scope="module")
def scene(moving_discs):
    return tuple(array[:COUNT] for array in moving_discs)


@pytest.fixture(scope="module")
def tracker(nano, scene):
    cache = EmbeddingCache()
    return Tracker(nano, Planes(scene[0]), AS_IT_IS, region="plane", cache=cache)


@pytest.fixture
def session(official, nano, scene):
    return Session(official, nano, scene[0])


def mask_of(labels, object_id, plane):
    return Prompt(object_id, plane, mask=labels[plane] == object_id)


def box_of(labels, object_id, plane):
    rows, columns = np.nonzero(labels[plane] == object_id)
    return Prompt(
        object_id, plane, box=(rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
    )


def least_agreement(tracker, prompts, direction, official):
    """Return the lowest IoU with the official masks, and how many masks were compared.

    Prompted planes are left out: there a mask is returned as it was given, not resampled twice.
    """
    overlaps = []
    prompted = {prompt.plane for prompt in prompts}
    for result in tracker.run(prompts, direction=direction):
        if result.index in prompted:
            continue
        for place, object_id in enumerate(result.object_ids):
            ours, theirs = result.masks[place], official[object_id, result.index]
            union = (ours | theirs).sum()
            overlaps.append((ours & theirs).sum() / union if union else 1.0)
    return min(overlaps), len(overlaps)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_several_prompted_planes(direction, session, tracker, scene):
    labels = scene[1]
    prompts = [box_of(labels, 2, 2), mask_of(labels, 2, 9), mask_of(labels, 2, 19)]
    session.add(*prompts)
    forward = direction == "forward"
    official = session.run(2 if forward else 19, reverse=not forward)
    iou, compared = least_agreement(tracker, prompts, direction, official)
    assert compared == 17
    assert iou >= CLOSE


def test_a_prompted_plane_that_is_left_out_is_noticed(session, tracker, scene):
    labels = scene[1]
    prompts = [mask_of(labels, 1, 0), Prompt(1, 9, mask=labels[9] == 3)]
    session.add(*prompts)
    official = session.run(0)
    assert least_agreement(tracker, prompts, "forward", official)[0] >= CLOSE
    assert least_agreement(tracker, prompts[:1], "forward", official)[0] < 0.9


def test_a_correction_after_a_run(session, tracker, scene):
    labels = scene[1]
    first, correction = box_of(labels, 2, 0), Prompt(2, 8, mask=labels[8] == 1)
    session.add(first)
    session.run(0)
    session.add(correction)
    official = session.run(0)
    iou, compared = least_agreement(tracker, [first, correction], "forward", official)
    assert compared == COUNT - 2
    assert iou >= CLOSE


def test_an_object_added_after_a_run(session, tracker, scene):
    labels = scene[1]
    early, late = mask_of(labels, 1, 0), box_of(labels, 2, 5)
    session.add(early)
    session.run(0)
    session.add(late)
    official = session.run(5)
    iou, compared = least_agreement(tracker, [late], "forward", official)
    assert compared == COUNT - 6
    assert iou >= CLOSE


@pytest.mark.parametrize("region", ["plane", "auto"])
def test_an_object_added_later_is_as_if_it_had_been_there_from_the_start(region, nano, scene):
    """In regions too, as long as the objects do not share one."""
    stack, labels = scene[0][:10], scene[1]
    early, late = mask_of(labels, 1, 0), box_of(labels, 3, 4)
    tracker = Tracker(nano, Planes(stack), AS_IT_IS, region=region)
    together = {result.index: result for result in tracker.run([early, late])}
    for result in tracker.run([late]):
        before = together[result.index]
        place = before.object_ids.index(3)
        ours, theirs = result.masks[0], before.masks[place]
        assert (ours & theirs).sum() / (ours | theirs).sum() >= CLOSE
        np.testing.assert_allclose(result.scores[0], before.scores[place], atol=1e-3)
