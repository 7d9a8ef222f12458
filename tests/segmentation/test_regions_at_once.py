"""A click is answered in all of its regions at once, with the masks that each alone gives."""

import numpy as np
import pytest
import torch

from faults import no_room_for
from napari_anysam.networks.device import one_torch_thread
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.prompts import Prompt
from seeded_weights import seeded_image

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (300, 400)
CLICKS = [Prompt(n, points=[(60 * n, 80 * n)]) for n in (1, 2, 3)]


class OneByOne:
    """A network that answers one image at a time."""

    def __init__(self, model):
        self._model = model

    def __getattr__(self, name):
        if name == "decode_each":
            raise AttributeError(name)
        return getattr(self._model, name)


@pytest.fixture(scope="module")
def plane():
    return seeded_image(*SHAPE)


def answer(model, plane, prompts, **options):
    return PlanePredictor(model).predict_many(lambda: plane, "key", SHAPE, prompts, **options)


def test_a_click_is_answered_as_region_by_region(nano, plane):
    for found, expected in zip(
        answer(nano, plane, CLICKS), answer(OneByOne(nano), plane, CLICKS), strict=True
    ):
        assert len(found.candidates) > 1
        for one, other in zip(found.candidates, expected.candidates, strict=True):
            assert one.region == other.region
            np.testing.assert_allclose(one.logits, other.logits, atol=1e-4)


def test_a_click_among_others_is_answered_as_alone_to_the_bit(nano, plane):
    for prompt, found in zip(CLICKS, answer(nano, plane, CLICKS), strict=True):
        (alone,) = answer(nano, plane, [prompt])
        for one, other in zip(found.candidates, alone.candidates, strict=True):
            np.testing.assert_array_equal(one.logits, other.logits)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_fewer_candidates_are_the_first_of_all(nano, plane, most):
    (whole,), (some,) = (answer(nano, plane, CLICKS[:1], most=count) for count in (None, most))
    assert len(some.candidates) == min(most, len(whole.candidates))
    for one, other in zip(some.candidates, whole.candidates, strict=False):
        np.testing.assert_array_equal(one.logits, other.logits)


def test_regions_that_do_not_fit_together_are_halved(nano, plane):
    (expected,) = answer(nano, plane, CLICKS[:1])
    with no_room_for(nano.network.sam_mask_decoder, more_than=2) as refused:
        (found,) = answer(nano, plane, CLICKS[:1])
    assert refused
    assert max(refused) > 2
    np.testing.assert_allclose(found.best.logits, expected.best.logits, atol=1e-4)


def fail_on_one_thread():
    with one_torch_thread():
        assert torch.get_num_threads() == 1
        raise ValueError("on purpose")


def test_torch_has_its_threads_back_after_a_failure():
    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError, match="on purpose"):
            fail_on_one_thread()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
