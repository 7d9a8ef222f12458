"""Both published designs, with random weights, against the official predictors.

With random weights memories hardly change an answer, so the agreement asked for is much closer than
with trained ones.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comparison import Oracle
from sam2.sam2_image_predictor import SAM2ImagePredictor

from napari_anysam import Prompt
from random_networks import random_model

CLOSE = 2e-6
SIZE = 128


@pytest.fixture(scope="module", params=["2", "2.1"])
def networks(request):
    return random_model(request.param, SIZE)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).integers(0, 256, (90, 140, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def image_predictor(networks, image):
    predictor = SAM2ImagePredictor(networks[0].network)
    # The package has the feature sizes of 1024-pixel networks written down.
    predictor._bb_feat_sizes = [(SIZE // step, SIZE // step) for step in (4, 8, 16)]
    predictor.set_image(image)
    return predictor


def test_tracking_agrees(networks, official, moving_discs):
    model, tensors, configuration = networks
    stack = moving_discs[0][:22]
    prompts = [Prompt(1, 0, points=[(40, 50)])]
    predictor = official.build_official(tensors, configuration)
    oracle = Oracle(model, official, predictor, stack, prompts, "forward")
    found = oracle.distance(prompts)
    assert found.planes > 20
    assert found.logits <= CLOSE


PROMPTS = {
    "click": Prompt(points=[(30, 60)]),
    "clicks": Prompt(points=[(30, 60), (70, 20)], polarity=[True, False]),
    "box": Prompt(box=(10, 20, 60, 100)),
    "box and click": Prompt(box=(10, 20, 60, 100), points=[(30, 60)]),
}


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("kind", PROMPTS)
def test_images_agree(kind, multimask, networks, image, image_predictor):
    model, prompt = networks[0], PROMPTS[kind]
    masks = model.decode(model.encode(image), [prompt], multimask=multimask)
    box = prompt.box
    logits, scores, low = image_predictor.predict(
        point_coords=np.array([(x, y) for y, x in prompt.points]) if prompt.points else None,
        point_labels=np.array(prompt.polarity, int) if prompt.points else None,
        box=None if box is None else np.array([box[1], box[0], box[3], box[2]]),
        multimask_output=multimask,
        return_logits=True,
    )
    np.testing.assert_allclose(masks.logits[0], low, atol=CLOSE)
    np.testing.assert_allclose(masks.scores[0], scores, atol=CLOSE)
    upscaled = model.upscale(masks.logits, image.shape[:2])[0]
    np.testing.assert_allclose(upscaled, logits, atol=CLOSE)


def test_previous_logits_are_the_official_mask_input(networks, image, image_predictor):
    model, prompt = networks[0], PROMPTS["click"]
    embedding = model.encode(image)
    before = model.decode(embedding, [prompt], multimask=False).logits * 1e3
    refined = model.decode(embedding, [prompt], previous_logits=before, multimask=False)
    _, _, low = image_predictor.predict(
        point_coords=np.array([(60, 30)]),
        point_labels=np.array([1]),
        mask_input=before[0].clamp(-32, 32).numpy(),
        multimask_output=False,
    )
    np.testing.assert_allclose(refined.logits[0], low, atol=CLOSE)


def test_objects_of_unequal_layout_are_answered_in_order(networks, image):
    model = networks[0]
    embedding = model.encode(image)
    order = ["box", "click", "clicks", "click", "box and click"]
    together = model.decode(embedding, [PROMPTS[kind] for kind in order], multimask=True)
    for place, kind in enumerate(order):
        alone = model.decode(embedding, [PROMPTS[kind]], multimask=True)
        torch.testing.assert_close(together.logits[place], alone.logits[0], atol=CLOSE, rtol=0)


def test_only_a_single_click_gets_three_candidates(networks, image):
    model = networks[0]
    embedding = model.encode(image)
    assert model.decode(embedding, [PROMPTS["click"]]).scores.shape == (1, 3)
    assert model.decode(embedding, [PROMPTS["box"]]).scores.shape == (1, 1)
    mixed = model.decode(embedding, [PROMPTS["box"], PROMPTS["click"]])
    assert mixed.scores.shape == (2, 3)
    assert (mixed.scores[0] == mixed.scores[0, 0]).all()
