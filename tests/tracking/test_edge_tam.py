"""EdgeTAM against numbers of its public implementation, which no package index holds.

They come from facebookresearch/EdgeTAM (commit 9cc44bfe): its image and video predictors with
``sam2/configs/edgetam.yaml`` at 256 pixels, filled by ``he_seeded_state`` (gain 0.5, the object
always there) on ``planes(12)``, with the settings that its builder adds. Leaving out the rotation
of keys, the perceiver's positions, or the order of its tokens changes the logits by more than 0.02.
"""

import numpy as np
import pytest
import torch
from comparison import AS_IT_IS, noting_answers
from hydra.utils import instantiate

import napari_anysam as anysam
from napari_anysam import Prompt
from napari_anysam.errors import Cancelled, CheckpointError
from napari_anysam.images.planes import Planes
from napari_anysam.models.architecture import Architecture, identify
from napari_anysam.networks.edge_tam import build_edge_tam, edge_tam_configuration
from napari_anysam.networks.tracking_protocol import TrackingModel
from napari_anysam.segmentation.tracking import Tracker
from seeded_weights import he_seeded_state, nearest_sample, seeded_disc

pytestmark = pytest.mark.usefixtures("one_thread")  # as the official numbers were made

SIZE, SHAPE = 256, (90, 140)
COUNT = 12  # more planes than are remembered

PROMPTS = {"point": Prompt(points=[(30, 60)]), "box": Prompt(box=(10, 20, 60, 100))}

# fmt: off
FEATURES = [
    -0.711752, 0.459408, 1.684362, -0.293677, -0.932032, 0.110061, 1.735381, 0.734614,
    0.686421, -2.214791, 1.296924, -0.726413, -1.997523, -0.580842, 0.722600, -0.274535,
]
LOGITS = {
    "point": [
        0.209494, -0.230298, 0.654955, 0.124749, 0.062088, 0.240689, 0.241700, -0.293024,
        0.430557, 0.102895, 0.090814, -0.211275, 0.388616, 0.329561, 0.151198, 0.131936,
    ],
    "box": [
        0.029577, 0.108559, 0.045944, -0.324017, 0.386644, 0.118839, 0.898089, 0.424639,
        0.206324, 0.170015, 0.138153, -0.010808, 0.218874, 0.129300, 0.028193, 0.047534,
    ],
}
SCORES = {
    "point": [0.538071, 0.484488, 0.523777],
    "box": [0.532423],
}
TRACKED = {
    1: [
        0.421377, -0.077295, 0.170956, -0.353941, 0.254281, 0.137702, 0.429838, 0.328884,
        0.338008, 0.121421, 0.458074, 0.065396, -0.043281, -0.022540, -0.068990, 0.161524,
    ],
    8: [
        0.472091, -0.031067, 0.051353, -0.194313, 0.279940, 0.311484, 0.324373, 0.372450,
        0.313048, 0.156540, 0.397110, 0.031625, -0.021593, -0.115287, -0.042214, 0.161279,
    ],
    11: [
        0.465973, 0.012331, 0.092589, -0.321879, 0.237036, 0.207677, 0.353522, 0.436348,
        0.330681, 0.142323, 0.293016, 0.064871, -0.022813, -0.043044, -0.103462, 0.130118,
    ],
}
# fmt: on


def planes(count):
    """A disc and stripes that move to the right, uint8 (count, 90, 140, 3)."""
    return np.stack([np.roll(seeded_disc(*SHAPE), 4 * number, axis=1) for number in range(count)])


@pytest.fixture(scope="module")
def tensors():
    with torch.device("meta"):  # only the shapes are asked for
        shapes = instantiate(edge_tam_configuration().model, _recursive_=True).state_dict()
    tensors = he_seeded_state(shapes, gain=0.5)
    tensors["sam_mask_decoder.pred_obj_score_head.layers.2.bias"].fill_(10.0)
    return tensors


@pytest.fixture(scope="module")
def model(tensors):
    return build(tensors)


@pytest.fixture(scope="module")
def image():
    return seeded_disc(*SHAPE)


@pytest.fixture(scope="module")
def embedding(model, image):
    return model.encode(image)


def build(tensors, precision="fp32"):
    configuration = edge_tam_configuration(SIZE)
    return build_edge_tam(tensors, configuration, name="small", key="k", precision=precision)


def near(found, expected, within=2e-5):
    np.testing.assert_allclose(found, expected, rtol=0, atol=within)


def tracked(model, prompts, count=4):
    """Follow objects through the planes: their logits by plane, (objects, 1, h, w)."""
    order = list(range(1, count))
    tracker = Tracker(model, Planes(planes(count), channel_axis=3), AS_IT_IS, region="plane")
    with noting_answers(model, order) as noted:
        list(tracker.run(prompts, direction="forward"))
    return noted


class TestTheOfficialNumbers:
    def test_image_features(self, embedding):
        near(nearest_sample(embedding.tensors["image"]), FEATURES)

    @pytest.mark.parametrize(("kind", "multimask"), [("point", True), ("box", False)])
    def test_logits_and_scores(self, model, embedding, kind, multimask):
        masks = model.decode(embedding, [PROMPTS[kind]], multimask=multimask)
        near(nearest_sample(masks.logits), LOGITS[kind])
        near(masks.scores[0], SCORES[kind])

    def test_tracking(self, model):
        found = tracked(model, [Prompt(1, 0, points=[(30, 60)])], COUNT)
        assert len(found) == COUNT - 1
        for plane, expected in TRACKED.items():
            near(nearest_sample(found[plane]), expected)


class TestTracking:
    def test_objects_of_one_batch_equal_one_by_one(self, model):
        prompts = [Prompt(1, 0, points=[(30, 60)]), Prompt(2, 0, points=[(70, 20)])]
        together = tracked(model, prompts)
        for place, prompt in enumerate(prompts):
            alone = tracked(model, [prompt])
            for plane in alone:
                near(together[plane][place], alone[plane][0])
        assert (together[1][0] - together[1][1]).abs().max() > 1e-3

    def test_a_memory_is_512_tokens(self, model, embedding):
        answer = model.anchor(embedding, [PROMPTS["point"], PROMPTS["box"]])
        for memory in model.remember(embedding, answer, anchored=True):
            assert memory.shape == (512, 64)
            assert memory.dtype == torch.bfloat16

    def test_in_bf16_it_tracks_nearly_the_same(self, model, tensors):
        prompts = [Prompt(1, 0, points=[(30, 60)])]
        exact, rough = tracked(model, prompts), tracked(build(tensors, "bf16"), prompts)
        error = max(float((rough[plane] - exact[plane]).abs().max()) for plane in exact)
        assert 0 < error < 0.1 * max(float(one.abs().max()) for one in exact.values())


def test_a_file_is_known_by_its_perceiver(tensors, tmp_path):
    assert len(tensors) == 982  # as many as the official file has
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert identify(shapes) == Architecture("edge_tam", "repvit_m1")
    torch.save({"model": tensors}, tmp_path / "any.pt")
    model = anysam.load_model(tmp_path / "any.pt", device="cpu", precision="fp32")
    assert isinstance(model, TrackingModel)
    assert (model.name, model.family, model.image_size) == ("any", "edge_tam", 1024)
    assert model.capabilities.tracking


def test_a_batch_of_prompts_equals_one_by_one(model, embedding):
    prompts = [*PROMPTS.values(), Prompt(points=[(70, 20)])]
    together = model.decode(embedding, prompts, multimask=True)
    for place, prompt in enumerate(prompts):
        near(together.logits[place], model.decode(embedding, [prompt], multimask=True).logits[0])


def test_encoding_can_be_cancelled_between_blocks(model, image):
    asked = []

    def cancelled():
        asked.append(True)
        return len(asked) == 9

    with pytest.raises(Cancelled):
        model.encode(image, cancelled=cancelled)
    assert len(asked) == 9


def test_the_same_image_gives_the_same_features(model, image, embedding):
    assert torch.equal(model.encode(image).tensors["image"], embedding.tensors["image"])


@pytest.mark.parametrize(
    "name", ["spatial_perceiver.latents_2d", "image_encoder.neck.convs.0.conv.bias"]
)
def test_a_missing_tensor_is_refused(tensors, name):
    with pytest.raises(CheckpointError, match="1 missing"):
        build({key: value for key, value in tensors.items() if key != name})


def test_an_unexpected_tensor_is_refused(tensors):
    with pytest.raises(CheckpointError, match=r"1 unexpected \(extra\)"):
        build({**tensors, "extra": torch.ones(1)})
