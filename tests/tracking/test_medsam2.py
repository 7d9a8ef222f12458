"""MedSAM2: the network of SAM 2.1 tiny for images of 512 pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comparison import Oracle
from omegaconf import OmegaConf
from sam2.build_sam import build_sam2 as build_official_network
from sam2.sam2_image_predictor import SAM2ImagePredictor

import napari_anysam as anysam
from napari_anysam import Prompt
from napari_anysam.models.catalogue import catalogue
from napari_anysam.networks.sam2_build import official_configuration, resized_configuration
from random_networks import random_tensors

SIZE = 512
CLOSE = 2e-6

# What sam2/configs/sam2.1_hiera_t512.yaml of bowang-lab/MedSAM2 (commit 332f30d4) has otherwise
# than sam2.1_hiera_t.yaml of the sam2 package.
DIFFERENCES = {
    "model.image_size": SIZE,
    "model.memory_attention.layer.self_attention.feat_sizes": [32, 32],
    "model.memory_attention.layer.cross_attention.feat_sizes": [32, 32],
}

PROMPTS = {
    "click": Prompt(points=[(30, 60)]),
    "clicks": Prompt(points=[(30, 60), (70, 20)], polarity=[True, False]),
    "box": Prompt(box=(10, 20, 60, 100)),
}


@pytest.fixture(scope="module")
def tensors():
    return random_tensors(official_configuration("2.1", "tiny"))


@pytest.fixture(scope="module")
def file(tensors, tmp_path_factory):
    file = tmp_path_factory.mktemp("medsam2") / "any.pt"
    torch.save({"model": tensors}, file)
    return file


@pytest.fixture(scope="module")
def model(file):
    return anysam.load_model(file, device="cpu", precision="fp32", variant="medsam2")


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).integers(0, 256, (90, 140, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def predictor(tensors, image):
    overrides = [f"++{key}={value}" for key, value in DIFFERENCES.items()]
    network = build_official_network(
        "configs/sam2.1/sam2.1_hiera_t.yaml", device="cpu", hydra_overrides_extra=overrides
    )
    network.load_state_dict(tensors)
    predictor = SAM2ImagePredictor(network)
    # The package has the feature sizes of 1024-pixel networks written down.
    predictor._bb_feat_sizes = [(SIZE // step, SIZE // step) for step in (4, 8, 16)]
    predictor.set_image(image)
    return predictor


def leaves(node, name=""):
    if not isinstance(node, dict):
        return {name: node}
    found = {}
    for key, value in node.items():
        found |= leaves(value, f"{name}.{key}" if name else key)
    return found


def test_the_configuration_differs_from_sam21_tiny_where_the_official_one_does():
    before = official_configuration("2.1", "tiny")
    after = resized_configuration(before, SIZE)
    before, after = (leaves(OmegaConf.to_container(one)) for one in (before, after))
    assert before.keys() == after.keys()
    assert {key: after[key] for key in after if after[key] != before[key]} == DIFFERENCES


@pytest.mark.parametrize("kind", PROMPTS)
@pytest.mark.parametrize("multimask", [True, False])
def test_images_agree_with_the_official_predictor(model, predictor, image, kind, multimask):
    prompt = PROMPTS[kind]
    masks = model.decode(model.encode(image), [prompt], multimask=multimask)
    box = prompt.box
    logits, scores, low = predictor.predict(
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


@pytest.mark.slow
def test_tracking_agrees_with_the_official_predictor(model, tensors, official, moving_discs):
    stack = moving_discs[0][:4]
    prompts = [Prompt(1, 0, points=[(40, 50)])]
    described = OmegaConf.merge(
        official_configuration("2.1", "tiny"),
        OmegaConf.from_dotlist([f"{key}={value}" for key, value in DIFFERENCES.items()]),
    )
    oracle = Oracle(
        model, official, official.build_official(tensors, described), stack, prompts, "forward"
    )
    found = oracle.distance(prompts)
    assert found.planes == 3
    assert found.logits <= CLOSE


class TestWhichMemberAFileIs:
    def test_the_caller_says_it(self, model):
        assert (model.name, model.family, model.image_size) == ("any (medsam2)", "sam2", SIZE)
        assert model.capabilities.tracking

    def test_without_a_hint_it_is_sam21_tiny(self, file, model):
        with pytest.warns(UserWarning, match="Nothing tells whether"):
            plain = anysam.load_model(file, device="cpu", precision="fp32")
        assert (plain.name, plain.image_size) == ("any", 1024)
        assert plain.key != model.key

    @pytest.mark.parametrize(
        "spec", [spec for spec in catalogue() if spec.name.startswith("medsam2")], ids=str
    )
    def test_the_six_files_of_the_series_are_known_by_name(self, file, tmp_path, monkeypatch, spec):
        monkeypatch.setenv("ANYSAM_MODELS", str(tmp_path))
        (tmp_path / spec.file).symlink_to(file)
        model = anysam.load_model(spec.name, device="cpu", precision="fp32")
        assert (model.name, model.image_size) == (spec.name, SIZE)


def test_the_series_has_six_files():
    files = {spec.file for spec in catalogue() if spec.name.startswith("medsam2")}
    assert len(files) == 6


def test_bf16_is_near_fp32(file, model, image):
    rough = anysam.load_model(file, device="cpu", precision="bf16", variant="medsam2")
    exact = model.encode(image).tensors["image"]
    error = (rough.encode(image).tensors["image"].float() - exact).abs().max()
    assert 0 < error < 0.1 * exact.abs().max()
