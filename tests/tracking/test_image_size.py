"""Networks made for 1024 pixels that see 512, against the official code built with that size."""

from __future__ import annotations

import numpy as np
import pytest
from comparison import Oracle
from omegaconf import OmegaConf
from sam2.sam2_image_predictor import SAM2ImagePredictor

from napari_anysam import Prompt
from napari_anysam.networks.sam2 import build_sam2
from napari_anysam.networks.sam2_build import resized_configuration
from random_networks import random_tensors, small_configuration

MADE_FOR, SIZE = 1024, 512
CLOSE = 2e-6


@pytest.fixture(scope="module", params=["2", "2.1"])
def networks(request, official):
    """Our model, and the official one as ``++model.image_size=512`` makes it, of one state."""
    configuration = small_configuration(request.param, MADE_FOR)
    tensors = random_tensors(configuration)
    resized = resized_configuration(configuration, SIZE)
    model = build_sam2(tensors, resized, name="thin", key="thin")
    described = OmegaConf.merge(configuration, {"model": {"image_size": SIZE}})
    return model, official.build_official(tensors, described)


def test_following_agrees(networks, official, moving_discs):
    model, predictor = networks
    stack = moving_discs[0][:9]  # the memory is full on the eighth
    prompts = [Prompt(1, 0, points=[(40, 50)])]
    oracle = Oracle(model, official, predictor, stack, prompts, "forward")
    found = oracle.distance(prompts)
    assert found.planes == 8
    assert found.logits <= CLOSE


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(points=[(30, 60)]),
        Prompt(points=[(30, 60), (70, 20)], polarity=[True, False]),
        Prompt(box=(10, 20, 60, 100)),
    ],
    ids=["click", "clicks", "box"],
)
def test_images_agree(networks, prompt):
    model, network = networks
    image = np.random.default_rng(1).integers(0, 256, (90, 140, 3), dtype=np.uint8)
    predictor = SAM2ImagePredictor(network)
    # The package has the feature sizes of 1024-pixel networks written down.
    predictor._bb_feat_sizes = [(SIZE // step, SIZE // step) for step in (4, 8, 16)]
    predictor.set_image(image)
    embedding = model.encode(image)
    assert embedding.tensors["image"].shape[-2:] == (32, 32)
    box = prompt.box
    asked = {
        "point_coords": np.array([(x, y) for y, x in prompt.points]) if prompt.points else None,
        "point_labels": np.array(prompt.polarity, int) if prompt.points else None,
        "box": None if box is None else np.array([box[1], box[0], box[3], box[2]]),
    }
    masks = model.decode(embedding, [prompt], multimask=True)
    _, scores, low = predictor.predict(**asked, multimask_output=True)
    np.testing.assert_allclose(masks.logits[0], low, atol=CLOSE)
    np.testing.assert_allclose(masks.scores[0], scores, atol=CLOSE)
    before = masks.logits[:, :1] * 1e3
    refined = model.decode(embedding, [prompt], previous_logits=before, multimask=False)
    mask = before[0].clamp(-32, 32).numpy()
    _, _, low = predictor.predict(**asked, mask_input=mask, multimask_output=False)
    np.testing.assert_allclose(refined.logits[0], low, atol=CLOSE)
