"""Where objects end: the rule alone, and in runs of the shipped model."""

import math

import numpy as np
import pytest
from discs import make_discs

import napari_anysam as anysam
from napari_anysam import Prompt
from napari_anysam.errors import OptionsError
from napari_anysam.images.conditioning import resolve_conditioning
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.regions import Region
from napari_anysam.segmentation.tracking import Tracker
from napari_anysam.segmentation.tracking_end import EndRule, Ends
from napari_anysam.segmentation.tracking_results import Answer

REGION = Region(3, 5, 4, 4)


@pytest.fixture(scope="module")
def model():
    return anysam.load_model("anysam-nano", precision="fp32")


@pytest.fixture(scope="module")
def stack():
    """A disc on the first five of twelve planes, in noise."""
    rows, columns = np.ogrid[:96, :96]
    planes = np.random.default_rng(0).normal(60, 8, (12, 96, 96))
    planes[:5, np.hypot(rows - 48, columns - 44) < 14] += 90
    return planes.clip(0, 255).astype(np.uint8)


def answer(object_logit, score=0.7):
    return Answer(REGION, np.ones(REGION.shape, np.float32), score, object_logit)


def followed(model, stack, prompts, **options):
    planes = Planes(stack, 0)
    tracker = Tracker(model, planes, resolve_conditioning(planes), **options)
    return {result.index: result for result in tracker.run(prompts)}


def test_an_object_ends_below_the_limit_and_stays_ended():
    ends = Ends(EndRule(2.0))
    sure = answer(2.0)
    assert ends.note(1, sure) is sure
    assert ends.known(1) is None
    ended = ends.note(1, answer(1.5))
    assert ended.window() is None
    assert (ended.score, ended.object_logit) == (0.7, -0.5)
    assert ends.known(1) is ended
    assert ends.known(2) is None


def test_where_a_poor_mask_is_predicted_the_network_has_to_be_surer():
    ends = Ends(EndRule(2.0))
    poor = answer(3.5, score=0.3)
    assert ends.note(1, poor) is poor
    ended = ends.note(1, answer(3.25, score=0.3))
    assert ended.window() is None
    assert (ended.score, ended.object_logit) == (0.3, -0.25)
    fair = answer(2.0, score=0.45)
    assert ends.note(2, fair) is fair


def test_at_0_only_what_the_network_no_longer_finds_ends():
    ends = Ends(EndRule(0.0))
    poor = answer(0.0, score=0.0)
    assert ends.note(1, poor) is poor
    assert ends.note(1, answer(-0.1, score=0.9)).window() is None


def test_an_object_exists_again_in_another_pass():
    ends = Ends(EndRule(2.0))
    ends.note(1, answer(0.0))
    ends.forget()
    assert ends.known(1) is None


def test_without_a_rule_nothing_ends():
    unsure = answer(-9.0)
    ends = Ends(None)
    assert ends.note(1, unsure) is unsure
    assert ends.known(1) is None


@pytest.mark.parametrize("limit", [-0.1, math.nan, math.inf])
def test_a_limit_that_makes_no_sense_is_refused(limit):
    with pytest.raises(OptionsError, match="from 0 up"):
        EndRule(limit)


def test_a_run_paints_nothing_beyond_the_end(model, stack):
    prompt = Prompt(1, 2, box=(33, 29, 63, 59))
    found = followed(model, stack, [prompt], ending=EndRule(2.0))
    assert sorted(found) == list(range(12))
    assert all(found[plane].masks.any() for plane in range(5))
    # The rule looks at one plane at a time: beyond the first that is empty all are.
    drawn = [bool(found[plane].masks.any()) for plane in range(2, 12)]
    assert not any(drawn[drawn.index(False) :])
    assert (found[11].object_logits < 0).all()


def test_an_object_exists_between_its_prompts_however_unsure(model):
    stack, labels = make_discs(6)
    prompts = [Prompt(1, plane, mask=labels[plane] == 1) for plane in (1, 4)]
    found = followed(model, stack, prompts, ending=EndRule(1000.0))
    assert [bool(found[plane].masks.any()) for plane in range(6)] == [
        1 <= plane <= 4 for plane in range(6)
    ]


@pytest.fixture(scope="module")
def coming_back(stack):
    """The disc again on the last four planes."""
    again = stack.copy()
    again[8:] = stack[:4]
    return again


@pytest.mark.parametrize("stops", [True, False])
def test_propagate_finds_what_comes_back_unless_it_stops_at_ends(model, coming_back, stops):
    prompt = Prompt(1, 2, box=(33, 29, 63, 59))
    found = {
        one.index: bool(one.masks.any())
        for one in anysam.propagate(coming_back, [prompt], model, stop_at_ends=stops)
    }
    assert all(found[plane] for plane in range(5))
    assert [found[plane] for plane in range(8, 12)] == [not stops] * 4
