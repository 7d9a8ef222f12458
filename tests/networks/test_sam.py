import numpy as np
import pytest
import torch
from segment_anything import SamPredictor, build_sam_vit_b

from napari_anysam.errors import Cancelled, CapabilityError, CheckpointError, ImageError
from napari_anysam.networks.protocol import PromptableModel
from napari_anysam.networks.sam import build_sam
from napari_anysam.segmentation.prompts import Prompt
from tiny_sam import IMAGE_SIZE, give_positions, tiny_sam

CPU = torch.device("cpu")

# Wide, tall, square, larger and smaller than the input, and one pixel high.
SHAPES = [(90, 200), (200, 90), (128, 128), (64, 50), (31, 77), (1, 40)]

PROMPTS = {
    "point": {"points": [(20, 30)]},
    "points": {"points": [(20, 30), (5.5, 8)], "polarity": [True, False]},
    "box": {"box": (3, 5, 25, 40)},
    "point and box": {"points": [(20, 30)], "box": (3, 5, 25, 40)},
    "negative point and box": {
        "points": [(20, 30)],
        "polarity": [False],
        "box": (3.5, 5, 25, 40),
    },
}


def image_of(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def official():
    return tiny_sam()


@pytest.fixture(scope="module")
def model(official):
    return build(official)


def build(network, precision="fp32"):
    return build_sam(
        network.state_dict(), name="tiny", key="weights", device=CPU, precision=precision
    )


def official_answer(network, image, prompt, multimask, previous=None):
    """Ask the official predictor: (logits at full size, scores, low-resolution logits)."""
    predictor = SamPredictor(network)
    predictor.set_image(image)
    box = None if prompt.box is None else np.array(prompt.box)[[1, 0, 3, 2]]
    return predictor.predict(
        point_coords=np.array(prompt.points)[:, ::-1] if prompt.points else None,
        point_labels=np.array(prompt.polarity, dtype=int) if prompt.points else None,
        box=box,
        mask_input=previous,
        multimask_output=multimask,
        return_logits=True,
    )


def close(found, expected):
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-5)


class TestParityWithTheOfficialPredictor:
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_image_features(self, official, model, shape):
        predictor = SamPredictor(official)
        predictor.set_image(image_of(shape))
        close(model.encode(image_of(shape)).tensors["features"], predictor.features)

    @pytest.mark.parametrize("shape", [(90, 200), (200, 90)], ids=str)
    @pytest.mark.parametrize("multimask", [True, False])
    @pytest.mark.parametrize("kind", PROMPTS)
    def test_masks_and_scores(self, official, model, shape, multimask, kind):
        image, prompt = image_of(shape), Prompt(**PROMPTS[kind])
        full, scores, low = official_answer(official, image, prompt, multimask)
        masks = model.decode(model.encode(image), [prompt], multimask=multimask)
        close(masks.logits[0], low)
        close(masks.scores[0], scores)
        close(model.upscale(masks.logits, shape)[0], full)

    def test_refining_an_earlier_answer(self, official, model):
        image, prompt = image_of((90, 200)), Prompt(points=[(20, 30)])
        before = official_answer(official, image, prompt, multimask=False)[2]
        expected = official_answer(official, image, prompt, multimask=False, previous=before)[2]
        found = model.decode(
            model.encode(image),
            [prompt],
            previous_logits=torch.from_numpy(before)[None],
            multimask=False,
        )
        close(found.logits[0], expected)
        assert np.abs(expected - before).max() > 1e-3

    def test_the_comparison_would_notice_a_shift_of_one_pixel(self, official, model):
        image = image_of((90, 200))
        embedding = model.encode(image)
        here = model.decode(embedding, [Prompt(points=[(20, 30)])]).logits
        there = model.decode(embedding, [Prompt(points=[(20, 31)])]).logits
        assert (here - there).abs().max() > 1e-4

    @pytest.mark.slow
    def test_full_size(self):
        torch.manual_seed(0)
        network = build_sam_vit_b().eval()
        give_positions(network)
        image, prompt = image_of((300, 401)), Prompt(points=[(50, 70)])
        full, scores, low = official_answer(network, image, prompt, multimask=True)
        found = build(network)
        masks = found.decode(found.encode(image), [prompt])
        close(masks.logits[0], low)
        close(masks.scores[0], scores)
        close(found.upscale(masks.logits, (300, 401))[0], full)


class TestMaskPrompts:
    def test_a_mask_becomes_certain_logits_with_padding_outside(self, official, model):
        image, side = image_of((64, 128)), 4 * IMAGE_SIZE // 16
        logits = np.full((1, side, side), -10, np.float32)
        logits[:, : side // 2] = 10  # the image fills the upper half of the square
        asked = Prompt(points=[(30, 60)], mask=np.ones((64, 128), bool))
        expected = official_answer(official, image, Prompt(points=[(30, 60)]), False, logits)[2]
        close(model.decode(model.encode(image), [asked]).logits[0], expected)

    def test_a_mask_keeps_its_place(self, model):
        embedding = model.encode(image_of((64, 128)))
        upper, lower = np.zeros((2, 64, 128), bool)
        upper[:32] = lower[32:] = True
        point = {"points": [(30, 60)]}
        masks = model.decode(embedding, [Prompt(**point, mask=m) for m in (upper, lower)])
        assert (masks.logits[0] - masks.logits[1]).abs().max() > 1e-3

    def test_a_mask_alone_brings_its_bounding_box(self, model):
        mask = np.zeros((90, 200), bool)
        mask[10:30, 40:90] = True
        embedding = model.encode(image_of((90, 200)))
        alone = model.decode(embedding, [Prompt(mask=mask)])
        boxed = model.decode(embedding, [Prompt(mask=mask, box=(10, 40, 30, 90))])
        close(alone.logits, boxed.logits)

    def test_previous_logits_take_the_place_of_a_mask(self, model):
        mask = np.ones((90, 200), bool)
        embedding = model.encode(image_of((90, 200)))
        before = model.decode(embedding, [Prompt(points=[(9, 9)])], multimask=False).logits
        with_mask = Prompt(points=[(9, 9)], mask=mask)
        found = model.decode(embedding, [with_mask], previous_logits=before)
        expected = model.decode(embedding, [Prompt(points=[(9, 9)])], previous_logits=before)
        close(found.logits, expected.logits)


class TestBatches:
    def test_many_objects_of_different_layouts_equal_one_by_one(self, model):
        embedding = model.encode(image_of((90, 200)))
        prompts = [
            Prompt(object_id=i + 1, **{**kind, "plane": None})
            for i, kind in enumerate(list(PROMPTS.values()) * 8)
        ]
        together = model.decode(embedding, prompts, multimask=True)
        for index, prompt in enumerate(prompts):
            alone = model.decode(embedding, [prompt], multimask=True)
            close(together.logits[index], alone.logits[0])
            close(together.scores[index], alone.scores[0])

    def test_previous_logits_stay_with_their_objects(self, model):
        embedding = model.encode(image_of((90, 200)))
        prompts = [Prompt(points=[(9, 9)]), Prompt(box=(1, 2, 30, 40)), Prompt(points=[(50, 99)])]
        before = model.decode(embedding, prompts, multimask=False).logits
        together = model.decode(embedding, prompts, previous_logits=before)
        for index, prompt in enumerate(prompts):
            some = before[index : index + 1]
            alone = model.decode(embedding, [prompt], previous_logits=some)
            close(together.logits[index], alone.logits[0])

    def test_a_single_point_gets_three_candidates_and_anything_else_one(self, model):
        embedding = model.encode(image_of((90, 200)))
        counts = {
            kind: model.decode(embedding, [Prompt(**PROMPTS[kind])]).scores.shape[1]
            for kind in PROMPTS
        }
        assert counts.pop("point") == 3
        assert set(counts.values()) == {1}

    def test_in_a_mixed_batch_the_one_candidate_is_repeated(self, model):
        embedding = model.encode(image_of((90, 200)))
        point, box = Prompt(points=[(9, 9)]), Prompt(box=(1, 2, 30, 40))
        masks = model.decode(embedding, [point, box])
        close(masks.logits[0], model.decode(embedding, [point]).logits[0])
        close(masks.logits[1], model.decode(embedding, [box]).logits[0].expand(3, -1, -1))


class TestBehaviour:
    def test_serves_the_protocol(self, model):
        assert isinstance(model, PromptableModel)
        assert (model.name, model.family, model.image_size) == ("tiny", "sam", IMAGE_SIZE)
        assert not model.capabilities.tracking

    def test_encoding_can_be_cancelled_before_every_block(self, model):
        asked = []

        def cancelled():
            asked.append(True)
            return len(asked) == 3

        with pytest.raises(Cancelled):
            model.encode(image_of((64, 64)), cancelled=cancelled)
        assert len(asked) == 3

    def test_a_cancelled_encoding_leaves_nothing_behind(self, model):
        before = model.encode(image_of((64, 64)))
        with pytest.raises(Cancelled):
            model.encode(image_of((64, 64)), cancelled=lambda: True)
        after = model.encode(image_of((64, 64)))
        assert torch.equal(before.tensors["features"], after.tensors["features"])

    def test_an_embedding_of_another_network_is_refused(self, official, model):
        other = build(official, precision="bf16")
        with pytest.raises(CapabilityError, match="encode the image again"):
            other.decode(model.encode(image_of((64, 64))), [Prompt(points=[(1, 1)])])

    def test_bf16_is_near_fp32(self, official, model):
        image, prompt = image_of((90, 200)), Prompt(points=[(20, 30)])
        rough = build(official, precision="bf16")
        exact = model.decode(model.encode(image), [prompt]).logits
        found = rough.decode(rough.encode(image), [prompt]).logits
        assert found.dtype == torch.float32
        error = (found - exact).abs().max()
        assert 0 < error < 0.1 * exact.abs().max()

    def test_no_gradient_and_no_training_mode_is_left(self, model):
        embedding = model.encode(image_of((64, 64)))
        assert not embedding.tensors["features"].requires_grad
        assert embedding.image_shape == (64, 64)


class TestNarrowImages:
    """Of which SAM's own resizing leaves nothing."""

    @pytest.mark.parametrize("shape", [(1, 300), (300, 1)], ids=str)
    def test_are_refused(self, model, shape):
        with pytest.raises(ImageError, match=f"{shape[0]} x {shape[1]} pixels .* crop"):
            model.encode(image_of(shape))

    def test_the_narrowest_that_is_seen_is_answered(self, model):
        shape = (1, 2 * IMAGE_SIZE)
        masks = model.decode(model.encode(image_of(shape)), [Prompt(points=[(0, 30)])])
        assert model.upscale(masks.logits, shape).isfinite().all()

    def test_a_mask_is_refused_where_nothing_of_it_is_left(self, model):
        embedding = model.encode(image_of((1, 100)))
        with pytest.raises(ImageError, match="crop the long side"):
            model.decode(embedding, [Prompt(mask=np.ones((1, 100), bool))])


class TestWrongTensors:
    def test_missing(self, official):
        tensors = official.state_dict()
        del tensors["mask_decoder.iou_token.weight"]
        with pytest.raises(CheckpointError, match=r"1 missing \(mask_decoder\.iou_token\.weight\)"):
            build_tensors(tensors)

    def test_unexpected(self, official):
        extra = {f"head.{i}": torch.ones(1) for i in range(5)}
        with pytest.raises(CheckpointError, match=r"5 unexpected \(head\.0, .*, and 2 more\)"):
            build_tensors({**official.state_dict(), **extra})

    def test_of_a_wrong_shape(self, official):
        tensors = {**official.state_dict(), "mask_decoder.iou_token.weight": torch.ones(2, 3)}
        with pytest.raises(CheckpointError, match=r"\(2, 3\) instead of \(1, 32\)"):
            build_tensors(tensors)

    @pytest.mark.parametrize(
        "name",
        [
            "image_encoder.pos_embed",
            "image_encoder.patch_embed.proj.weight",
            "image_encoder.blocks.0.attn.rel_pos_h",
            "mask_decoder.mask_tokens.weight",
        ],
    )
    @pytest.mark.parametrize("shape", [(), (0,), (0, 0, 0, 0)], ids=str)
    def test_that_describe_no_network(self, official, name, shape):
        with pytest.raises(CheckpointError, match="get the complete file"):
            build_tensors({**official.state_dict(), name: torch.ones(shape)})


def build_tensors(tensors):
    return build_sam(tensors, name="x", key="k", device=CPU, precision="fp32")
