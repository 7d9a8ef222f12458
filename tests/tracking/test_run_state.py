"""A run that was ended goes on at the plane it had reached, and gives what it would have given."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from comparison import AS_IT_IS
from discs import make_discs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_anysam import Prompt
from napari_anysam.errors import RunError
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.continuing import same_prompts, visits_of
from napari_anysam.segmentation.journal import record_of
from napari_anysam.segmentation.recent_states import RecentStates
from napari_anysam.segmentation.regions import Region
from napari_anysam.segmentation.run_request import RunRequest, StackReference
from napari_anysam.segmentation.state_values import Flattening, unflattened
from napari_anysam.segmentation.tracking import Tracker
from napari_anysam.segmentation.tracking_end import EndRule
from napari_anysam.segmentation.tracking_plan import make_plan
from napari_anysam.segmentation.tracking_results import Answer
from napari_anysam.segmentation.tracking_state import RunKeeper
from random_networks import random_model

COUNT = 9
TYPES = {"Answer": Answer, "Region": Region}


@pytest.fixture(scope="module")
def scene():
    """Return planes, and prompts of three kinds whose passes meet between two anchors."""
    stack, labels = make_discs(COUNT)
    masks = [labels[plane] == number for number, plane in ((1, 2), (1, 7))]
    prompts = (
        Prompt(1, 2, mask=masks[0]),
        Prompt(2, 4, points=[(77, 98)]),
        Prompt(1, 7, mask=masks[1]),
        Prompt(3, 0, box=(20, 112, 41, 133)),
    )
    return stack, prompts


@pytest.fixture(params=["auto", "plane"])
def region(request):
    return request.param


def request_of(model, scene, region="auto", ending=None):
    stack, prompts = scene
    return RunRequest(
        stack=StackReference.of(stack, path="stack.tif", at=((0, 3),)),
        prompts=prompts,
        axis=0,
        direction="both",
        start=0,
        stop=COUNT,
        region=region,
        memory="full",
        conditioning=AS_IT_IS,
        model=record_of(model),
        ending=ending,
    )


def results_of(model, scene, region, keeper=None, ending=None):
    stack, prompts = scene
    rule = None if ending is None else EndRule(ending)
    tracker = Tracker(model, Planes(stack), AS_IT_IS, region=region, ending=rule)
    return tracker.run(prompts, keeper=keeper)


def assert_same(some, others):
    assert [one.index for one in some] == [one.index for one in others]
    for one, other in zip(some, others, strict=True):
        assert one.object_ids == other.object_ids
        for name in ("labels", "masks", "scores", "object_logits"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)


def test_a_run_goes_on_from_every_plane(nano, scene, region, tmp_path):
    whole = list(results_of(nano, scene, region))
    assert len({one.index for one in whole}) == COUNT < len(whole)
    path = tmp_path / "state"
    request = request_of(nano, scene, region)
    # Each run takes two results, is closed, and leaves the next one its state behind the first.
    taken = []
    for _ in range(len(whole)):
        results = results_of(nano, scene, region, RunKeeper(path, request, seconds=0))
        part = list(islice(results, 2))
        results.close()
        taken.append(part[0])
        if len(part) == 1:
            break
    assert_same(taken, whole)


def test_objects_that_have_ended_stay_so_when_the_run_goes_on(nano, scene, tmp_path):
    ending = 1000.0  # every object, on the first plane behind its last prompt
    whole = list(results_of(nano, scene, "auto", ending=ending))
    assert not whole[COUNT - 1].masks.any()
    keeper = RunKeeper(tmp_path / "state", request_of(nano, scene, ending=ending), seconds=0)
    results = results_of(nano, scene, "auto", keeper, ending)
    part = [next(results) for _ in range(COUNT - 2)]
    results.close()
    assert not part[2].masks[part[2].object_ids.index(3)].any()
    assert_same([*part[:-1], *results_of(nano, scene, "auto", keeper, ending)], whole)


def test_a_network_with_random_weights_goes_on_too(scene, tmp_path):
    model, *_ = random_model("2.1", 64)
    whole = list(results_of(model, scene, "auto"))
    keeper = RunKeeper(tmp_path / "state", request_of(model, scene), seconds=0)
    results = results_of(model, scene, "auto", keeper)
    half = [next(results) for _ in range(len(whole) // 2)]
    results.close()
    rest = list(results_of(model, scene, "auto", keeper))
    assert_same([*half[:-1], *rest], whole)


@pytest.mark.parametrize("direction", ["both", "forward", "backward"])
def test_the_planes_of_all_results_are_known_before(scene, direction):
    stack, prompts = scene
    model, *_ = random_model("2.1", 64)
    tracker = Tracker(model, Planes(stack), AS_IT_IS)
    results = tracker.run(prompts, direction=direction)
    plan = make_plan(prompts, stack.shape[1:], COUNT, direction)
    assert visits_of(plan) == tuple(one.index for one in results)


@given(ahead=st.integers(0, 12), after=st.integers(1, 20))
def test_recent_states_are_never_ahead_of_what_was_taken(ahead, after):
    states = RecentStates()
    results = states.counting(iter(range(after + ahead)))
    for number, _ in enumerate(results, 1):
        states.save_if_due(lambda number=number: number)
    found = states.behind(after)
    if ahead < 8:
        assert (found.results, found.kept) == (after, after)
    else:  # too far behind to be held
        assert found is None


def test_the_same_prompts_are_known_in_any_order_however_their_masks_are_cut(scene):
    _, (first, second, *_) = scene
    rows, columns = (slice(low.min(), low.max() + 1) for low in np.nonzero(first.mask))
    cut = Prompt(1, 2, mask=first.mask[rows, columns], mask_origin=(rows.start, columns.start))
    assert same_prompts([first, second], [second, cut])
    moved = Prompt(1, 2, mask=cut.mask, mask_origin=(rows.start + 1, columns.start))
    assert not same_prompts([first, second], [second, moved])
    assert not same_prompts([first], [first, second])


def test_a_finished_run_has_nothing_left(nano, scene, tmp_path):
    keeper = RunKeeper(tmp_path / "state", request_of(nano, scene), seconds=0)
    assert list(results_of(nano, scene, "auto", keeper))
    assert not list(results_of(nano, scene, "auto", keeper))


def test_a_state_is_written_only_when_it_is_due(nano, scene, tmp_path):
    keeper = RunKeeper(tmp_path / "state", request_of(nano, scene), seconds=3600)
    results = results_of(nano, scene, "auto", keeper)
    for _ in range(3):
        next(results)
    assert not keeper.path.exists()


@pytest.fixture
def stopped(nano, scene, tmp_path):
    """Return a keeper whose run was ended after some planes."""
    keeper = RunKeeper(tmp_path / "state", request_of(nano, scene), seconds=0)
    results = results_of(nano, scene, "auto", keeper)
    for _ in range(3):
        next(results)
    results.close()
    return keeper


def test_a_damaged_state_is_refused(nano, stopped):
    content = bytearray(stopped.path.read_bytes())
    content[-100] ^= 1
    stopped.path.write_bytes(content)
    with pytest.raises(RunError, match="damaged; begin the run anew"):
        stopped.load(nano)
    stopped.path.write_bytes(content[:50])
    with pytest.raises(RunError, match="damaged, or no state"):
        stopped.load(nano)


def test_a_state_of_another_request_is_refused(nano, scene, stopped):
    request = request_of(nano, scene)
    changes = {
        "prompts": scene[1][:2],
        "direction": "forward",
        "stop": COUNT - 1,
        "ending": 2.0,
    }
    for name, value in changes.items():
        other = replace(request, **{name: value})
        assert request.differences(other) == (name,)
        with pytest.raises(RunError, match="belongs to another run"):
            RunKeeper(stopped.path, other).load(nano)


def test_a_state_of_other_weights_is_refused(scene, stopped):
    model, *_ = random_model("2.1", 64)
    with pytest.raises(RunError, match="was not written with random-"):
        RunKeeper(stopped.path, request_of(model, scene)).load(model)


def test_a_full_disk_ends_the_run_with_one_error(nano, scene, tmp_path):
    keeper = RunKeeper(tmp_path / "gone" / "state", request_of(nano, scene), seconds=0)
    results = results_of(nano, scene, "auto", keeper)
    next(results)
    with pytest.raises(RunError, match="make room, then let the run go on"):
        next(results)


@pytest.mark.parametrize("ending", [None, 0.0, 2.5])
def test_a_request_comes_back_from_json(nano, scene, ending):
    request = request_of(nano, scene, ending=ending)
    again = RunRequest.from_dict(json.loads(json.dumps(request.to_dict())))
    assert again.to_dict() == request.to_dict()
    assert again.stack == request.stack
    assert again.model == request.model
    assert again.ending == ending
    assert again.digest == request.digest
    np.testing.assert_array_equal(again.prompts[0].mask, request.prompts[0].mask)


def test_a_request_knows_its_stack_wherever_it_lies(nano, scene):
    request = request_of(nano, scene)
    elsewhere = replace(request, stack=replace(request.stack, path="/elsewhere"))
    assert not request.differences(elsewhere)
    other = StackReference.of(scene[0] + 1, at=((0, 3),))
    assert request.differences(replace(request, stack=other)) == ("stack",)


@pytest.mark.parametrize(
    "change", [{"version": 2}, {"axis": "z"}, {"model": {}}, {"extra": 1}, {"ending": -1.0}]
)
def test_what_is_no_request_is_refused(nano, scene, change):
    values = request_of(nano, scene).to_dict()
    with pytest.raises(RunError, match="begin the run anew"):
        RunRequest.from_dict(values | change)


ARRAYS = st.sampled_from(
    [
        np.arange(6, dtype=np.float16).reshape(2, 3),
        np.eye(3, dtype=bool)[:, :2],
        torch.arange(4.0).to(torch.bfloat16)[1:],
        torch.arange(6).reshape(2, 3).T,
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers() | st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES, ARRAYS, st.integers(0, 9), st.floats(0, 1))
def test_values_come_back_as_they_were(value, array, row, score):
    answer = Answer(Region(row, 0, 2, 3), np.full((2, 3), score, np.float32), score, -score)
    flattening = Flattening(TYPES)
    said = flattening.plain([value, array, answer, {1: (answer, array)}])
    said = json.loads(json.dumps(said))
    again, tensor, one, rest = unflattened(said, flattening.tensors, TYPES, torch.device("cpu"))
    assert again == value
    assert type(tensor) is type(array)
    assert tensor.dtype == array.dtype
    assert tensor.tolist() == array.tolist()
    assert (one.region, one.score, one.object_logit) == (answer.region, score, -score)
    np.testing.assert_array_equal(one.logits, answer.logits)
    assert rest[1][0] is one
    assert rest[1][1] is tensor


def test_a_value_of_an_unknown_type_is_not_forgotten():
    with pytest.raises(TypeError, match="a set is no part"):
        Flattening({}).plain({"a": {1, 2}})
