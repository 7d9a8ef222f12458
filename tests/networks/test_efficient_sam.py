"""EfficientSAM against numbers of its public implementation, which no package index holds.

They come from yformer/EfficientSAM (commit d525f622): its ``EfficientSam.get_image_embeddings`` and
``predict_masks`` with the network of ``tensor_shapes`` filled by ``he_seeded_state``, on
``seeded_disc(90, 140)``.
"""

import numpy as np
import pytest
import torch
from conformance import Conformance
from segment_anything.modeling import MaskDecoder, TwoWayTransformer

from napari_anysam.errors import CapabilityError, CheckpointError
from napari_anysam.models.architecture import identify
from napari_anysam.networks.efficient_sam import build_efficient_sam
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.prompts import Prompt
from seeded_weights import he_seeded_state, nearest_sample, seeded_disc

WIDTH, SHAPE = 64, (90, 140)

PROMPTS = {
    "point": Prompt(points=[(30, 60)]),
    "points": Prompt(points=[(30, 60), (70, 20), (50.5, 100)]),
    "box": Prompt(box=(10, 20, 60, 100)),
    "box and point": Prompt(points=[(30, 60)], box=(10, 20, 60, 100)),
}

# fmt: off
FEATURES = [
    -0.26712, 0.402014, -1.54423, -0.448873, -1.01051, 0.248137, -1.87604, -0.438047,
    0.907838, 0.214812, -0.731509, 0.888197, -0.451601, -0.123373, 0.983194, 0.313538,
]
LOGITS = {
    "point": [
        0.0314327, 0.0799801, -0.295749, -0.777951, -0.416734, -0.814943, -0.149473, -0.1345,
        0.112059, -1.66355, -0.493819, 0.556783, 0.389831, -0.246245, 1.96614, 0.446994,
    ],
    "points": [
        0.0541595, -0.00976438, -0.670705, -0.0106955, -1.58824, 0.199118, -0.595794, -0.139603,
        0.465261, -0.123944, -0.749839, 0.0997575, 0.13268, 0.233181, 0.506042, 0.299897,
    ],
    "box": [
        -0.204998, 0.0193816, -0.380601, 0.363216, -2.51702, 0.45169, -0.337447, -0.498394,
        -0.0255865, -0.00433186, -1.19125, 0.0820688, 0.337159, -0.570814, 0.639061, -0.181236,
    ],
    "box and point": [
        -0.106104, 0.0311431, -0.149811, 0.532353, -3.41636, 0.380364, -0.211178, -0.157808,
        -0.152095, 0.301927, -0.79228, 0.143139, 0.108232, -1.11618, 0.397651, 0.0473452,
    ],
}
AT_FULL_SIZE = {
    "point": [
        -0.544795, -0.369984, -0.0158986, 0.357742, 0.0876289, -0.962743, -1.76507, -0.496905,
        -0.0979473, -1.12052, -0.72961, 0.445456, -0.610967, 0.299254, 0.502488, 0.680715,
    ],
    "points": [
        -0.528782, -0.860965, -0.187272, 0.429799, 0.258986, -0.95746, -2.60056, -0.759208,
        -0.509822, -1.80391, -0.371803, 0.284526, -0.47916, 0.299061, 0.212335, 0.376438,
    ],
    "box": [
        -0.697678, -1.30362, -0.497235, 0.0755831, -0.148412, -1.15581, -1.98677, -0.397374,
        -0.140309, -1.98256, -0.629265, 0.491516, 0.297991, 0.184226, 0.115277, 0.553313,
    ],
    "box and point": [
        -0.59636, -1.43493, -0.553384, 0.10266, -0.117703, -0.88678, -1.87587, -0.357767,
        0.0463409, -1.52791, -0.588542, 0.370295, 0.322132, 0.17749, 0.0840089, 0.685554,
    ],
}
SCORES = {
    "point": [0.536939, 0.069605, -0.486385],
    "points": [0.379354, -0.104608, -0.544937],
    "box": [1.262911, -0.294635, -0.368533],
    "box and point": [1.076191, -0.190948, -0.434486],
}
# fmt: on


def tensor_shapes(width=WIDTH, depth=1, channels=32, hidden=64, head=24):
    """Shapes of an EfficientSAM, as the official file names them."""
    return (
        encoder_shapes(width, depth, channels)
        | {
            "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix": (2, channels // 2),
            "prompt_encoder.invalid_points.weight": (1, channels),
            "prompt_encoder.point_embeddings.weight": (1, channels),
            "prompt_encoder.bbox_top_left_embeddings.weight": (1, channels),
            "prompt_encoder.bbox_bottom_right_embeddings.weight": (1, channels),
        }
        | decoder_shapes(channels, hidden, head)
    )


def linear(name, inner, outer):
    return {f"{name}.weight": (outer, inner), f"{name}.bias": (outer,)}


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def encoder_shapes(width, depth, channels):
    shapes = {
        "pos_embed": (1, 197, width),
        "patch_embed.proj.weight": (width, 3, 16, 16),
        "patch_embed.proj.bias": (width,),
        "neck.0.weight": (channels, width, 1, 1),
        **norm("neck.1", channels),
        "neck.2.weight": (channels, channels, 3, 3),
        **norm("neck.3", channels),
    }
    inner = 4 * width if depth > 1 else 2 * width
    for number in range(depth):
        block = f"blocks.{number}"
        shapes |= norm(f"{block}.norm1", width) | norm(f"{block}.norm2", width)
        shapes |= linear(f"{block}.attn.qkv", width, 3 * width)
        shapes |= linear(f"{block}.attn.proj", width, width)
        shapes |= linear(f"{block}.mlp.fc1", width, inner)
        shapes |= linear(f"{block}.mlp.fc2", inner, width)
    return {f"image_encoder.{name}": shape for name, shape in shapes.items()}


def decoder_shapes(channels, hidden, head):
    """SAM's own tensors where the names agree, and the others written down."""
    transformer = TwoWayTransformer(2, embedding_dim=channels, num_heads=8, mlp_dim=hidden)
    same = MaskDecoder(transformer_dim=channels, transformer=transformer).state_dict()
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in same.items()
        if name.startswith(("iou_token", "mask_tokens", "transformer")) and ".mlp." not in name
    }
    for number in range(2):
        mlp = f"transformer.layers.{number}.mlp"
        shapes |= linear(f"{mlp}.layers.0.0", channels, hidden)
        shapes |= linear(f"{mlp}.fc", hidden, channels)
    upper, lower = channels // 4, channels // 8
    for number in range(4):
        mlp = f"output_hypernetworks_mlps.{number}"
        shapes |= linear(f"{mlp}.layers.0.0", channels, channels)
        shapes |= linear(f"{mlp}.layers.1.0", channels, channels)
        shapes |= linear(f"{mlp}.fc", channels, lower)
    shapes |= linear("iou_prediction_head.layers.0.0", channels, head)
    shapes |= linear("iou_prediction_head.layers.1.0", head, head)
    shapes |= linear("iou_prediction_head.fc", head, 4)
    shapes |= norm("final_output_upscaling_layers.0.1", upper)
    shapes |= {
        "final_output_upscaling_layers.0.0.weight": (channels, upper, 2, 2),
        "final_output_upscaling_layers.0.0.bias": (upper,),
        "final_output_upscaling_layers.1.0.weight": (upper, lower, 2, 2),
        "final_output_upscaling_layers.1.0.bias": (lower,),
    }
    return {f"mask_decoder.{name}": shape for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def official():
    return TestEfficientSam.built(he_seeded_state(tensor_shapes()))


@pytest.fixture(scope="module")
def encoded(official):
    return official.encode(seeded_disc(*SHAPE))


def near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


class TestTheOfficialNumbers:
    def test_image_features(self, encoded):
        near(nearest_sample(encoded.tensors["features"]), FEATURES)

    @pytest.mark.parametrize("kind", PROMPTS)
    def test_logits_and_scores(self, official, encoded, kind):
        masks = official.decode(encoded, [PROMPTS[kind]])
        near(nearest_sample(masks.logits), LOGITS[kind])
        near(masks.scores[0], SCORES[kind])
        near(nearest_sample(official.upscale(masks.logits, SHAPE)), AT_FULL_SIZE[kind])


@pytest.mark.parametrize(("width", "size"), [(192, "vit_t"), (384, "vit_s")])
def test_the_published_sizes_fit_their_networks(width, size):
    shapes = tensor_shapes(width, depth=12, channels=256, hidden=2048, head=256)
    assert len(shapes) == 278  # as many as the official file has
    assert str(identify(shapes)) == f"efficient_sam/{size}"
    zeros = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
    assert TestEfficientSam.built(zeros).image_size == 1024


class TestEfficientSam(Conformance):
    family, architecture, image_size = "efficient_sam", "efficient_sam/vit_64x2", 1024
    build = build_efficient_sam
    layout = tensor_shapes(depth=2)
    prompts = tuple(PROMPTS.values())

    def test_every_prompt_gets_three_candidates(self, model, embedding):
        for prompt in self.prompts:
            assert model.decode(embedding, [prompt]).scores.shape == (1, 3)

    @pytest.mark.parametrize(
        ("prompt", "message"),
        [
            (Prompt(points=[(1, 2), (3, 4)], polarity=[True, False]), "takes no negative clicks"),
            (Prompt(points=[(1, 2)] * 7), "at most 6 clicks, not 7; remove some"),
            (Prompt(points=[(1, 2)] * 5, box=(1, 2, 9, 9)), "at most 4 clicks beside a box, not 5"),
            (Prompt(mask=np.ones(SHAPE, bool)), "takes points and boxes but no masks"),
        ],
        ids=["negative", "seven", "five and a box", "mask"],
    )
    def test_what_it_was_not_made_for_is_refused(self, model, embedding, prompt, message):
        with pytest.raises(CapabilityError, match=message):
            model.decode(embedding, [prompt])

    def test_six_clicks_are_taken(self, model, embedding):
        assert model.decode(embedding, [Prompt(points=[(1, 2)] * 6)]).logits.isfinite().all()

    def test_a_further_click_is_answered_with_all_clicks_and_without_the_earlier_mask(self, model):
        image = seeded_disc(*SHAPE)
        predictor = PlanePredictor(model)
        first, second = (PROMPTS[kind] for kind in ("point", "points"))
        asked = {"region": "plane", "plane_key": "a", "plane_shape": SHAPE}
        before = predictor.predict(lambda: image, prompt=first, **asked)
        fresh = predictor.predict(lambda: image, prompt=second, **asked)
        refined = predictor.predict(lambda: image, prompt=second, previous=before, **asked)
        np.testing.assert_array_equal(refined.best.logits, fresh.best.logits)

    def test_positions_without_a_class_token_are_refused(self, tensors):
        cut = tensors["image_encoder.pos_embed"][:, 1:]
        with pytest.raises(CheckpointError, match=r"pos_embed \(1, 196, 64\) instead of"):
            self.built({**tensors, "image_encoder.pos_embed": cut})
