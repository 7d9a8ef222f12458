"""SAM-Med2D against numbers of its public implementation, which no package index holds.

They come from OpenGVLab/SAM-Med2D (commit bfd2b93b): its ``SammedPredictor`` with the network of
``tensor_shapes`` filled by ``he_seeded_state``, on ``seeded_disc(90, 140)``.
"""

from functools import partial

import numpy as np
import pytest
import torch
from conformance import Conformance, close
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

import napari_anysam as anysam
from napari_anysam.errors import CheckpointError
from napari_anysam.networks.preprocessing import SAM_MED2D
from napari_anysam.networks.sam_med2d import build_sam_med2d
from napari_anysam.segmentation.prompts import Prompt
from seeded_weights import he_seeded_state, nearest_sample, seeded_disc

SIDE, WIDTH, DEPTH = 64, 48, 3
SHAPE = (90, 140)

PROMPTS = {
    "point": Prompt(points=[(30, 60)]),
    "points": Prompt(points=[(30, 60), (70, 20)], polarity=[True, False]),
    "box": Prompt(box=(10, 20, 60, 100)),
}

# fmt: off
FEATURES = [
    -1.532969, -1.217885, -0.119384, 0.116096, -0.904588, 1.429102, -1.842534, 1.851411,
    0.373403, 0.40071, -1.805459, -0.397849, 0.346385, -1.36763, -0.915107, -0.55312,
]
LOGITS = {
    "point": [
        1.728995, -0.327356, -2.475501, 2.81375, 0.512286, -0.569933, 0.110065, 0.527084,
        2.055051, -0.739558, 1.197958, 0.771524, 0.635079, 1.727043, -0.328174, 2.301861,
    ],
    "points": [
        3.204342, 1.691974, 0.723645, 0.933147, 0.692574, -0.697839, 1.176985, -0.325718,
        2.634402, -1.07613, 2.184519, -0.408799, 0.394511, -0.192478, -0.317335, 1.477566,
    ],
    "box": [
        -1.139334, 1.0985, -2.600823, 3.455876, -0.00077, 0.058398, -0.061889, 0.295749,
        0.11556, 0.055105, -0.038602, -0.949939, 0.818536, 0.2403, 1.188974, 1.686397,
    ],
}
SCORES = {
    "point": [2.2506, -1.7033, 0.6627],
    "points": [2.3963, -0.1391, 0.9166],
    "box": [0.4848, -5.0696, 0.5545],
}
# Part of the plane that the best of the three masks covers at full size.
COVERED = {"point": 0.756429, "points": 0.773889, "box": 0.765317}
# fmt: on


def tensor_shapes():
    """Shapes of a small SAM-Med2D: SAM's, and the adapters as the official file names them."""
    grid = (SIDE // 16, SIDE // 16)
    with torch.device("meta"):
        network = Sam(
            ImageEncoderViT(
                img_size=SIDE,
                embed_dim=WIDTH,
                depth=DEPTH,
                num_heads=3,
                mlp_ratio=2,
                out_chans=32,
                norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
                use_rel_pos=True,
                window_size=3,
                global_attn_indexes=(2,),
            ),
            PromptEncoder(32, grid, (SIDE, SIDE), 16),
            MaskDecoder(
                transformer_dim=32,
                transformer=TwoWayTransformer(2, embedding_dim=32, num_heads=8, mlp_dim=64),
                iou_head_hidden_dim=24,
            ),
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for number in range(DEPTH):
        adapter = f"image_encoder.blocks.{number}.Adapter"
        shapes |= {
            f"{adapter}.norm.weight": (WIDTH,),
            f"{adapter}.norm.bias": (WIDTH,),
            f"{adapter}.channel.0.weight": (WIDTH // 4, WIDTH),
            f"{adapter}.channel.2.weight": (WIDTH, WIDTH // 4),
            f"{adapter}.spatial.0.weight": (WIDTH, WIDTH, 3, 3),
            f"{adapter}.spatial.2.weight": (WIDTH, WIDTH, 4, 4),
        }
    return shapes


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """What ``train.py`` writes, but for its optimiser: plain numbers instead of an object."""
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    file = tmp_path_factory.mktemp("sam_med2d") / "any.pth"
    tensors = he_seeded_state(tensor_shapes())
    torch.save({"model": tensors, "optimizer": optimizer.state_dict(), "epoch": 3}, file)
    return file


@pytest.fixture(scope="module")
def official(file):
    return anysam.load_model(file, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def encoded(official):
    return official.encode(seeded_disc(*SHAPE))


class TestTheOfficialNumbers:
    def test_image_features(self, encoded):
        found = nearest_sample(encoded.tensors["features"])
        np.testing.assert_allclose(found, FEATURES, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("kind", PROMPTS)
    def test_logits_and_scores(self, official, encoded, kind):
        masks = official.decode(encoded, [PROMPTS[kind]])
        np.testing.assert_allclose(nearest_sample(masks.logits), LOGITS[kind], rtol=0, atol=1e-4)
        np.testing.assert_allclose(masks.scores[0], SCORES[kind], rtol=0, atol=1e-4)

    @pytest.mark.parametrize("kind", PROMPTS)
    def test_the_best_mask_at_full_size(self, official, encoded, kind):
        masks = official.decode(encoded, [PROMPTS[kind]])
        best = official.upscale(masks.logits, SHAPE)[0, masks.scores[0].argmax()]
        assert (best > 0).float().mean().item() == pytest.approx(COVERED[kind], abs=2e-4)


class TestSamMed2d(Conformance):
    family, architecture, image_size = "sam_med2d", "sam_med2d/vit_48x3", SIDE
    build = build_sam_med2d
    layout = tensor_shapes()

    def test_every_prompt_gets_the_three_candidates_it_was_trained_for(self, model, embedding):
        for prompt in self.prompts:
            assert model.decode(embedding, [prompt]).scores.shape == (1, 3)
        one = model.decode(embedding, self.prompts[:1], multimask=False)
        assert one.scores.shape == (1, 1)

    def test_a_mask_fills_the_whole_square(self, model, embedding):
        """The image has no aspect in the square, so nothing of a full mask is padding."""
        full = Prompt(points=[(30, 60)], mask=np.ones(embedding.image_shape, bool))
        low = torch.full((1, 1, SIDE // 4, SIDE // 4), 10.0)
        point = Prompt(points=[(30, 60)])
        expected = model.decode(embedding, [point], previous_logits=low)
        close(model.decode(embedding, [full]).logits, expected.logits)

    def test_adapters_in_some_blocks_only_are_refused(self, tensors):
        some = {key: value for key, value in tensors.items() if "blocks.2.Adapter" not in key}
        with pytest.raises(CheckpointError, match="get the complete file"):
            self.built(some)


def test_pixels_are_picked_as_opencv_picks_them():
    """Of 186 rows, row 128 of 256 is number 92 (by exact arithmetic 93): asked of OpenCV 5.0."""
    image = np.broadcast_to(np.arange(186, dtype=np.uint8)[:, None, None], (186, 2, 3))
    found = SAM_MED2D.resize(image, (256, 256))
    assert found.shape == (256, 256, 3)
    assert found[[0, 1, 2, 64, 127, 128, 129, 255], 0, 0].tolist() == [0, 0, 1, 46, 92, 92, 93, 185]
