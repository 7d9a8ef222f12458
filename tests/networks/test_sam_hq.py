"""SAM-HQ.

The numbers were made with segment-anything-hq 0.3, its modules and its ``SamPredictor``, after
``eval()`` with the weights in place.
"""

from functools import partial

import numpy as np
import pytest
import torch
from conformance import CPU, PROMPTS, Conformance, close, like
from segment_anything import sam_model_registry

from napari_anysam.models.architecture import identify
from napari_anysam.networks.sam_hq import build_sam_hq
from napari_anysam.segmentation.prompts import Prompt
from official_layouts import (
    TINY_VIT_HEAD,
    narrow_decoders,
    narrow_tiny_vit,
    sam_decoders,
    sam_hq_extras,
    tiny_vit,
)
from seeded_weights import sample, seeded_image, seeded_state
from tiny_sam import tiny_sam

pytestmark = pytest.mark.usefixtures("one_thread")  # as the official numbers were made

# fmt: off
POINT_LOGITS = [0.21246, -0.86028, 0.51288, -2.0985, -2.815, 2.598, -0.68026, 0.29465,
                -0.37694, 2.2432, 3.8212, 0.59849, 1.1349, -0.89744, -3.2252, -0.78128]
POINT_SCORES = [1.2426]
BOX_LOGITS = [0.13768, -0.66238, 1.4638, -2.0943, -2.264, 2.9178, -0.71855, 1.6206,
              -1.0819, 1.6295, 3.6063, 1.0294, 1.1409, -0.75789, -3.3113, -1.189]
BOX_SCORES = [-1.2532]
TINY_POINT_LOGITS = [0.12731, 1.5831, -6.2421, -0.25854, -1.8747, 1.1681, -6.8093, -0.30676,
                     -1.6173, 0.95463, -6.8021, -0.38238, -1.1896, 1.1937, -6.1818, 0.62995]
TINY_POINT_SCORES = [0.34832]
# fmt: on

NARROW = {name: tuple(tensor.shape) for name, tensor in tiny_sam().state_dict().items()}
LAYOUT = {**NARROW, **sam_hq_extras(48, 32)}
TINY_LAYOUT = {**narrow_tiny_vit(), **narrow_decoders(), **sam_hq_extras(20, 32)}


def built(layout):
    state = seeded_state(layout)
    return build_sam_hq(state, name="m", key="k", device=CPU, precision="fp32")


class TestOfficialNumbers:
    def test_of_a_narrow_vit(self):
        model = built(LAYOUT)
        embedding = model.encode(seeded_image(120, 200))
        point = model.decode(embedding, [Prompt(points=[(40, 90)])])
        like(sample(point.logits), POINT_LOGITS)
        like(sample(point.scores, 1), POINT_SCORES)
        box = model.decode(embedding, [Prompt(box=(10, 20, 100, 150))])
        like(sample(box.logits), BOX_LOGITS)
        like(sample(box.scores, 1), BOX_SCORES)

    def test_of_the_whole_tiny_vit(self):
        layout = {**tiny_vit(), **sam_decoders(), **sam_hq_extras(160)}
        assert len(layout) == 464
        model = built(layout)
        point = model.decode(model.encode(seeded_image(120, 200)), [Prompt(points=[(40, 90)])])
        like(sample(point.logits), TINY_POINT_LOGITS)
        like(sample(point.scores, 1), TINY_POINT_SCORES)


class TestParityWithThePackage:
    @pytest.fixture(scope="class")
    @classmethod
    def predictor(cls):
        package = pytest.importorskip("segment_anything_hq")
        network = narrow_official(package.modeling)
        assert {name: tuple(t.shape) for name, t in network.state_dict().items()} == LAYOUT
        network.load_state_dict(seeded_state(LAYOUT))
        return package.SamPredictor(network.eval())

    @pytest.mark.parametrize("shape", [(90, 200), (200, 90)], ids=str)
    @pytest.mark.parametrize("multimask", [True, False])
    @pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: str(prompt.object_id))
    def test_masks_and_scores(self, predictor, shape, multimask, prompt):
        image = seeded_image(*shape)
        predictor.set_image(image)
        full, scores, low = predictor.predict(
            point_coords=np.array(prompt.points)[:, ::-1] if prompt.points else None,
            point_labels=np.array(prompt.polarity, dtype=int) if prompt.points else None,
            box=None if prompt.box is None else np.array(prompt.box)[[1, 0, 3, 2]],
            multimask_output=multimask,
            return_logits=True,
        )
        model = built(LAYOUT)
        masks = model.decode(model.encode(image), [prompt], multimask=multimask)
        close(masks.logits[0], low)
        close(masks.scores[0], scores)
        close(model.upscale(masks.logits, shape)[0], full)

    def test_refining_an_earlier_answer(self, predictor):
        image, before = seeded_image(90, 200), seeded_image(32, 32)[..., 0] / 16.0 - 8
        predictor.set_image(image)
        low = predictor.predict(
            np.array([[30, 20]]),
            np.array([1]),
            mask_input=before[None].astype(np.float32),
            multimask_output=False,
        )[2]
        model = built(LAYOUT)
        found = model.decode(
            model.encode(image),
            [Prompt(points=[(20, 30)])],
            previous_logits=torch.from_numpy(before)[None, None],
        )
        close(found.logits[0], low)


def narrow_official(modeling):
    """Return a network of the package's own classes with the sizes of ``tiny_sam``."""
    return modeling.Sam(
        image_encoder=modeling.ImageEncoderViT(
            img_size=128,
            patch_size=16,
            embed_dim=48,
            depth=4,
            num_heads=3,
            mlp_ratio=2,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=3,
            global_attn_indexes=(1, 3),
            out_chans=32,
        ),
        prompt_encoder=modeling.PromptEncoder(32, (8, 8), (128, 128), 16),
        mask_decoder=modeling.MaskDecoderHQ(
            transformer_dim=32,
            transformer=modeling.TwoWayTransformer(2, 32, 8, 64),
            iou_head_hidden_dim=24,
            vit_dim=48,
        ),
    )


@pytest.mark.parametrize(("size", "width"), [("vit_b", 768), ("vit_l", 1024), ("vit_h", 1280)])
def test_the_official_sizes_are_told_apart(size, width):
    with torch.device("meta"):
        network = sam_model_registry[size](checkpoint=None)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert str(identify({**shapes, **sam_hq_extras(width)})) == f"sam_hq/{size}"


class TestSamHq(Conformance):
    family, architecture, image_size = "sam_hq", "sam_hq/vit_48x4", 128
    build = build_sam_hq
    layout = LAYOUT

    def test_always_answers_with_one_candidate(self, model, embedding):
        for multimask in (None, True, False):
            masks = model.decode(embedding, PROMPTS, multimask=multimask)
            assert masks.scores.shape == (len(PROMPTS), 1)

    def test_a_single_point_gets_the_best_of_three(self, model, embedding):
        (point, *_) = PROMPTS
        best = model.decode(embedding, [point], multimask=True)
        assert model.decode(embedding, [point]).logits.equal(best.logits)
        first = model.decode(embedding, [point], multimask=False)
        assert (first.logits - best.logits).abs().max() > 1e-2

    @pytest.mark.parametrize("name", ["compress_vit_feat.0.weight", "hf_token.weight"])
    def test_the_fine_mask_counts(self, model, tensors, embedding, name):
        name = f"mask_decoder.{name}"
        other = self.built({**tensors, name: 0 * tensors[name]})
        plain = other.decode(other.encode(seeded_image(90, 150)), PROMPTS).logits
        assert (plain - model.decode(embedding, PROMPTS).logits).abs().max() > 1e-2


class TestSamHqTiny(Conformance):
    family, architecture, image_size = "sam_hq", "sam_hq/vit_tiny", 1024
    build = build_sam_hq
    layout = TINY_LAYOUT
    unused = TINY_VIT_HEAD
