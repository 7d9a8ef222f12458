"""MedSAM: SAM's network, other pixels; the oracle does as bowang-lab/MedSAM MedSAM_Inference.py."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from segment_anything import sam_model_registry
from skimage import transform

import napari_anysam as anysam
from napari_anysam.errors import CapabilityError
from napari_anysam.models.catalogue import find_model
from napari_anysam.networks import load
from napari_anysam.networks.preprocessing import MEDSAM
from napari_anysam.networks.protocol import Capabilities
from napari_anysam.networks.sam import build_sam
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.prompts import Prompt
from tiny_sam import IMAGE_SIZE, tiny_sam

CPU = torch.device("cpu")
BOXES = [(3, 5, 25, 40), (10.5, 0, 31, 60)]
SHAPES = [(90, 200), (200, 90), (128, 128), (64, 50), (1, 40)]


@pytest.fixture(scope="module")
def official():
    network = tiny_sam()
    # As trained weights do, give logits of both signs, small and large.
    last = network.mask_decoder.output_hypernetworks_mlps[0].layers[-1]
    with torch.no_grad():
        last.weight.mul_(300)
        last.bias.mul_(300)
    return network


@pytest.fixture(scope="module")
def model(official):
    return build(official)


def build(network, precision="fp32"):
    return build_sam(
        network.state_dict(),
        name="tiny",
        key="weights",
        device=CPU,
        precision=precision,
        preprocessing=MEDSAM,
        capabilities=Capabilities(points=False, masks=False),
    )


def image_of(shape, low=20, high=180):
    return np.random.default_rng(0).integers(low, high, (*shape, 3), dtype=np.uint8)


@torch.no_grad()
def official_embedding(network, image):
    size = (IMAGE_SIZE, IMAGE_SIZE)
    resized = transform.resize(
        image, size, order=3, preserve_range=True, anti_aliasing=True
    ).astype(np.uint8)
    span = np.clip(resized.max() - resized.min(), a_min=1e-8, a_max=None)
    pixels = torch.tensor((resized - resized.min()) / span).float()
    return network.image_encoder(pixels.permute(2, 0, 1)[None])


@torch.no_grad()
def official_probabilities(network, embedding, box, shape):
    height, width = shape
    y0, x0, y1, x1 = box
    scaled = np.array([[x0, y0, x1, y1]]) / np.array([width, height, width, height]) * IMAGE_SIZE
    sparse, dense = network.prompt_encoder(
        points=None, boxes=torch.as_tensor(scaled, dtype=torch.float)[:, None, :], masks=None
    )
    logits, scores = network.mask_decoder(
        image_embeddings=embedding,
        image_pe=network.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=False,
    )
    large = F.interpolate(logits.sigmoid(), size=shape, mode="bilinear", align_corners=False)
    return logits[0], scores[0], large[0]


def close(found, expected):
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_image_features_are_the_official_ones(official, model, shape):
    found = model.encode(image_of(shape)).tensors["features"]
    close(found, official_embedding(official, image_of(shape)))


@pytest.mark.parametrize("shape", [(90, 200), (200, 90)], ids=str)
@pytest.mark.parametrize("box", BOXES, ids=str)
def test_masks_and_scores_are_the_official_ones(official, model, shape, box):
    embedding = official_embedding(official, image_of(shape))
    logits, scores, probabilities = official_probabilities(official, embedding, box, shape)
    masks = model.decode(model.encode(image_of(shape)), [Prompt(box=box)])
    np.testing.assert_allclose(masks.logits[0], logits, rtol=1e-4, atol=1e-4)
    close(masks.scores[0], scores)
    found = model.upscale(masks.logits, shape)[0]
    close(found.sigmoid(), probabilities)
    assert torch.equal(found > 0, probabilities > 0.5)
    assert 0.02 < (found > 0).float().mean() < 0.98


def test_an_even_image_is_no_division_by_zero(model):
    features = model.encode(np.full((40, 50, 3), 7, np.uint8)).tensors["features"]
    assert features.isfinite().all()


def test_brightness_and_contrast_do_not_count(model):
    image = image_of((IMAGE_SIZE, IMAGE_SIZE), 0, 100)
    close(model.encode(image).tensors["features"], model.encode(image * 2 + 3).tensors["features"])


def test_a_certain_mask_stays_finite(model):
    logits = torch.tensor([[[[-300.0, 300.0]]]])
    assert model.upscale(logits, (4, 8)).isfinite().all()


def test_a_batch_of_boxes_equals_one_by_one(model):
    embedding = model.encode(image_of((90, 200)))
    together = model.decode(embedding, [Prompt(box=box) for box in BOXES * 9])
    for place, box in enumerate(BOXES * 9):
        alone = model.decode(embedding, [Prompt(box=box)])
        np.testing.assert_allclose(together.logits[place], alone.logits[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Prompt(points=[(3, 4)]), "takes boxes but no points; prompt it with boxes"),
        (Prompt(points=[(3, 4)], box=BOXES[0]), "no points"),
        (Prompt(mask=np.ones((64, 64), bool)), "no masks"),
    ],
    ids=["point", "point and box", "mask"],
)
def test_only_boxes_are_taken(model, prompt, message):
    embedding = model.encode(image_of((64, 64)))
    with pytest.raises(CapabilityError, match=message):
        model.decode(embedding, [prompt])


def test_an_earlier_answer_cannot_be_refined(model):
    embedding = model.encode(image_of((64, 64)))
    before = model.decode(embedding, [Prompt(box=BOXES[0])]).logits
    with pytest.raises(CapabilityError, match="no masks"):
        model.decode(embedding, [Prompt(box=BOXES[0])], previous_logits=before)


def test_a_corrected_box_is_answered_anew(model):
    image = image_of((64, 64))
    predictor = PlanePredictor(model)
    first = predictor.predict(lambda: image, "a", (64, 64), Prompt(box=BOXES[0]), region="plane")
    asked = {"region": "plane", "prompt": Prompt(box=BOXES[1])}
    fresh = predictor.predict(lambda: image, "a", (64, 64), **asked)
    corrected = predictor.predict(lambda: image, "a", (64, 64), previous=first, **asked)
    np.testing.assert_array_equal(corrected.best.logits, fresh.best.logits)


def test_bf16_is_near_fp32(official, model):
    rough = build(official, "bf16")
    exact = model.encode(image_of((90, 200))).tensors["features"]
    error = (rough.encode(image_of((90, 200))).tensors["features"].float() - exact).abs().max()
    assert 0 < error < 0.1 * exact.abs().max()


def test_an_embedding_of_sam_with_the_same_weights_is_another_one(official, model):
    sam = build_sam(official.state_dict(), name="tiny", key="weights", device=CPU, precision="fp32")
    with pytest.raises(CapabilityError, match="encode the image again"):
        model.decode(sam.encode(image_of((64, 64))), [Prompt(box=BOXES[0])])


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The official layout in full size; each tensor is one zero, repeated."""
    with torch.device("meta"):
        shapes = sam_model_registry["vit_b"]().state_dict()
    zeros = {name: torch.zeros(()).expand(tensor.shape) for name, tensor in shapes.items()}
    file = tmp_path_factory.mktemp("medsam") / "any.pth"
    torch.save(zeros, file)
    return file


class TestWhichMemberAFileIs:
    def test_without_a_hint_it_is_sam(self, file):
        with pytest.warns(UserWarning, match="Nothing tells whether"):
            model = anysam.load_model(file, precision="fp32")
        assert (model.name, model.capabilities) == ("any", Capabilities())
        assert model.key.endswith(":sam")

    def test_the_caller_can_say_medsam(self, file):
        model = anysam.load_model(file, precision="fp32", variant="medsam")
        assert (model.name, model.family, model.image_size) == ("any (medsam)", "sam", 1024)
        assert model.capabilities == Capabilities(points=False, masks=False)
        assert model.key.endswith(":medsam")

    def test_the_hash_of_the_official_file_tells(self, file, monkeypatch):
        monkeypatch.setattr(load, "file_sha256", lambda path: find_model("medsam").sha256)
        model = anysam.load_model(file, precision="fp32")
        assert (model.name, model.capabilities.points) == ("medsam", False)
