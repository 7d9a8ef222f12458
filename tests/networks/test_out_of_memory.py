"""What a user gets when memory runs out: the same masks, later, and a word about it."""

import warnings

import numpy as np
import pytest
import torch

import napari_anysam as anysam
from faults import CARD, CPU, no_room_for, no_room_on_the_card
from napari_anysam import Prompt
from napari_anysam.errors import AnySAMWarning, NotEnoughMemoryError
from napari_anysam.models.catalogue import DEFAULT_MODEL, find_model
from napari_anysam.models.checkpoint import read_checkpoint
from napari_anysam.models.store import builtin_folder, default_store
from napari_anysam.networks import load, out_of_memory
from napari_anysam.networks.sam2 import build_sam2
from seeded_weights import seeded_disc

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (90, 140)
OBJECTS = [
    Prompt(1, box=(10, 60, 60, 110)),
    Prompt(2, box=(40, 5, 80, 50)),
    Prompt(3, box=(0, 100, 40, 139)),
]


@pytest.fixture
def on_card():
    """The shipped model on what it takes for a graphics card."""
    return build_sam2(
        read_checkpoint(default_store().locate(find_model(DEFAULT_MODEL))).tensors,
        builtin_folder() / "anysam-nano.yaml",
        name="nano",
        key="nano",
        device=CARD,
    )


@pytest.fixture(scope="module")
def image():
    return seeded_disc(*SHAPE)


@pytest.fixture(scope="module")
def stack(image):
    return np.stack([np.roll(image, 2 * plane, axis=1) for plane in range(4)])


def propagated(stack, model, region):
    prompts = [Prompt(one.object_id, 1, box=one.box) for one in OBJECTS]
    return list(anysam.propagate(stack, prompts, model, channel_axis=3, region=region))


def assert_same(found, expected):
    assert [one.index for one in found] == [one.index for one in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)


class TestABatchThatDoesNotFit:
    def test_is_segmented_in_parts(self, nano, image):
        expected = anysam.segment(image, OBJECTS, nano, region="plane")
        with no_room_for(nano.network.sam_mask_decoder, more_than=2) as refused:
            found = anysam.segment(image, OBJECTS, nano, region="plane")
        assert refused == [3]
        np.testing.assert_array_equal(found, expected)

    def test_is_followed_in_parts(self, nano, stack):
        expected = propagated(stack, nano, "plane")
        with no_room_for(nano.network.sam_mask_decoder, more_than=1) as refused:
            found = propagated(stack, nano, "plane")
        assert set(refused) == {2, 3}
        assert_same(found, expected)

    def test_of_mixed_prompts_keeps_as_many_candidates(self, nano, image):
        embedding = nano.encode(image)
        prompts = [*OBJECTS, Prompt(4, points=[(30, 84)])]
        expected = nano.decode(embedding, prompts)
        # The four do not fit, nor do the first two: only the last ones' answer has a click's three.
        with no_room_for(nano.network.sam_mask_decoder, more_than=1):
            found = out_of_memory.decode(nano, embedding, prompts)
        torch.testing.assert_close(found.logits, expected.logits, rtol=0, atol=1e-5)
        torch.testing.assert_close(found.object_logits, expected.object_logits, rtol=0, atol=1e-5)

    def test_is_refined_each_object_from_its_own_mask(self, nano, image):
        embedding = nano.encode(image)
        before = nano.decode(embedding, OBJECTS, multimask=False).logits
        expected = nano.decode(embedding, OBJECTS, previous_logits=before)
        with no_room_for(nano.network.sam_mask_decoder, more_than=1):
            found = out_of_memory.decode(nano, embedding, OBJECTS, previous_logits=before)
        torch.testing.assert_close(found.logits, expected.logits, rtol=0, atol=1e-5)

    def test_does_not_move_the_model(self, on_card, image):
        with no_room_for(on_card.network.sam_mask_decoder, more_than=1), warnings.catch_warnings():
            warnings.simplefilter("error")
            anysam.segment(image, OBJECTS, on_card, region="plane")
        assert on_card.device == CARD


class TestACardThatIsTooSmall:
    def test_hands_the_image_over_to_the_cpu(self, on_card, nano, image):
        expected = anysam.segment(image, OBJECTS, nano)
        with (
            no_room_on_the_card(on_card, on_card.network.image_encoder),
            pytest.warns(AnySAMWarning, match="nano needs more memory than cpu:0 has left") as told,
        ):
            found = anysam.segment(image, OBJECTS, on_card)
        assert len(told) == 1
        assert on_card.device == CPU
        np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize("region", ["plane", "auto"])
    @pytest.mark.parametrize("part", ["image_encoder", "sam_mask_decoder", "memory_encoder"])
    def test_hands_a_propagation_over_in_the_middle(self, on_card, nano, stack, region, part):
        expected = propagated(stack, nano, region)
        module = getattr(on_card.network, part)
        with (
            no_room_on_the_card(on_card, module, after=3) as calls,
            pytest.warns(AnySAMWarning, match="goes on on the CPU") as told,
        ):
            found = propagated(stack, on_card, region)
        assert len(told) == 1
        assert {CARD, CPU} == set(calls)
        assert_same(found, expected)


class TestAComputerThatIsTooSmall:
    def test_says_so_in_one_error(self, nano, image):
        def allocate(*_):
            torch.empty(10**15)

        hook = nano.network.image_encoder.register_forward_pre_hook(allocate)
        try:
            with pytest.raises(NotEnoughMemoryError, match="choose a smaller model"):
                anysam.segment(image, OBJECTS, nano)
        finally:
            hook.remove()

    def test_says_so_of_a_plane_that_is_too_large(self, nano):
        with pytest.raises(NotEnoughMemoryError, match="a smaller part of the image"):
            out_of_memory.upscale(nano, torch.zeros(1, 1, 8, 8), (2**24, 2**24))

    def test_says_so_when_a_model_is_loaded(self):
        def build(_device):
            torch.empty(10**15)

        with pytest.raises(NotEnoughMemoryError, match="There is not enough memory for huge"):
            load._build_where_it_fits(build, "huge", CPU)

    def test_other_faults_are_not_hidden(self, nano, image):
        def fail(*_):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

        hook = nano.network.image_encoder.register_forward_pre_hook(fail)
        try:
            with pytest.raises(RuntimeError, match="cannot be multiplied"):
                anysam.segment(image, OBJECTS, nano)
        finally:
            hook.remove()


def test_a_model_that_does_not_fit_on_the_card_is_loaded_on_the_cpu():
    asked = []

    def build(device):
        asked.append(device.type)
        if device.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return "the model"

    with pytest.warns(AnySAMWarning, match="large needs more memory than cuda has left"):
        assert load._build_where_it_fits(build, "large", torch.device("cuda")) == "the model"
    assert asked == ["cuda", "cpu"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA graphics card")
def test_a_real_card_that_is_too_small_hands_over_to_the_cpu(image):
    expected = anysam.segment(image, OBJECTS, anysam.load_model(device="cpu", precision="fp32"))
    model = anysam.load_model(device="cuda", precision="fp32")
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_reserved() / total)
    try:
        with pytest.warns(AnySAMWarning, match="goes on on the CPU"):
            found = anysam.segment(image, OBJECTS, model)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert model.device == CPU
    np.testing.assert_array_equal(found, expected)
