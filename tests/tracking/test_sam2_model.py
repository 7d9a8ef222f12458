"""Building, precision, cancelling: what ``Sam2Model`` promises beyond the official arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_anysam import Prompt, propagate
from napari_anysam.errors import Cancelled, CapabilityError, CheckpointError
from napari_anysam.models.store import builtin_folder
from napari_anysam.networks.protocol import PromptableModel
from napari_anysam.networks.sam2 import build_sam2, official_configuration
from napari_anysam.networks.tracking_protocol import TrackingModel
from random_networks import random_tensors, small_configuration


@pytest.fixture(scope="module")
def configuration():
    return small_configuration("2.1", 128)


@pytest.fixture(scope="module")
def tensors(configuration):
    return random_tensors(configuration)


@pytest.fixture(scope="module")
def half(nano):
    """The shipped model in bfloat16."""
    return build_sam2(
        nano.network.state_dict(),
        builtin_folder() / "anysam-nano.yaml",
        name="anysam-nano",
        key="shipped",
        precision="bf16",
    )


def build(tensors, configuration):
    return build_sam2(tensors, configuration, name="mine", key="mine")


def test_it_serves_both_protocols(nano):
    assert isinstance(nano, PromptableModel)
    assert isinstance(nano, TrackingModel)
    assert nano.capabilities.tracking
    assert nano.family == "sam2"


@pytest.mark.parametrize("version", ["2", "2.1"])
@pytest.mark.parametrize("size", ["tiny", "small", "base_plus", "large"])
def test_every_published_network_has_its_configuration(version, size):
    model = official_configuration(version, size).model
    assert model.image_size == 1024
    assert ("proj_tpos_enc_in_obj_ptrs" in model) == (version == "2.1")


def test_an_unpublished_network_is_named(configuration):
    with pytest.raises(CheckpointError, match="sizes tiny, small"):
        official_configuration("2.1", "huge")


def test_tensors_that_do_not_fit_are_listed(tensors, configuration):
    broken = dict(tensors)
    broken["extra.weight"] = broken.pop("no_mem_embed")
    broken["no_mem_pos_enc"] = torch.zeros(1, 1, 3)
    with pytest.raises(CheckpointError) as caught:
        build(broken, configuration)
    message = str(caught.value)
    for part in ("no_mem_embed", "extra.weight", "no_mem_pos_enc (1, 1, 3) instead of"):
        assert part in message


def test_half_precision_weights_are_taken(tensors, configuration):
    small = {name: tensor.half() for name, tensor in tensors.items()}
    network = build(small, configuration).network
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())


def test_an_embedding_of_another_model_is_refused(nano, tensors, configuration):
    embedding = nano.encode(np.zeros((40, 50, 3), np.uint8))
    with pytest.raises(CapabilityError, match="encode the image again"):
        build(tensors, configuration).decode(embedding, [Prompt(points=[(3, 3)])])


def test_encoding_can_be_cancelled_between_blocks(nano):
    asked = []
    with pytest.raises(Cancelled):
        nano.encode(
            np.zeros((40, 50, 3), np.uint8), cancelled=lambda: asked.append(1) or len(asked) == 3
        )
    assert len(asked) == 3
    assert nano.encode(np.zeros((40, 50, 3), np.uint8)).image_shape == (40, 50)
    assert len(asked) == 3


def test_a_read_only_plane_is_taken(nano):
    plane = np.zeros((40, 50, 3), np.uint8)
    plane.setflags(write=False)
    assert nano.encode(plane).nbytes > 0


def test_bfloat16_gives_nearly_the_same_masks(nano, half, moving_discs):
    stack, labels = moving_discs
    prompts = [Prompt(number, 0, mask=labels[0] == number) for number in (1, 2)]
    pairs = zip(
        propagate(stack[:4], prompts, nano, region="plane"),
        propagate(stack[:4], prompts, half, region="plane"),
        strict=True,
    )
    for exact, rounded in pairs:
        assert np.mean(exact.labels != rounded.labels) < 0.01


def test_bfloat16_keeps_small_embeddings(nano, half):
    image = np.zeros((40, 50, 3), np.uint8)
    assert half.encode(image).nbytes * 2 == nano.encode(image).nbytes
    assert half.key != nano.key


def test_no_mode_of_a_step_leaks_into_the_caller(half, moving_discs):
    results = propagate(moving_discs[0][:3], [Prompt(1, 0, points=[(40, 50)])], half)
    next(results)
    next(results)
    assert not torch.is_inference_mode_enabled()
    assert not torch.is_autocast_enabled("cpu")
    results.close()
    assert not torch.is_inference_mode_enabled()


def test_a_mask_prompt_is_refined_to_a_mask_of_that_place(nano, moving_discs):
    stack, labels = moving_discs
    embedding = nano.encode(np.repeat(stack[0][..., None], 3, axis=-1))
    masks = nano.decode(embedding, [Prompt(mask=labels[0] == 2)])
    mask = nano.upscale(masks.logits, stack.shape[1:])[0, 0].numpy() > 0
    assert masks.scores.shape == (1, 1)
    assert (mask & (labels[0] == 2)).sum() > 0
