"""With region="plane" the tracker says what the official ``SAM2VideoPredictor`` says.

Same weights, same planes, float32. The comparison is of the masks and of the logits before the
object score gates them; every known way to go wrong is put in once on purpose and must be found.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from comparison import Oracle

from napari_anysam import Prompt
from napari_anysam.models.store import builtin_folder
from napari_anysam.networks import sam2_tracking
from napari_anysam.networks.sam2_attention import MemoryReader
from napari_anysam.networks.sam2_build import read_configuration
from napari_anysam.segmentation.memory import MemoryBank
from napari_anysam.segmentation.tracking_pass import Follower

TOLERANCE = 3e-3  # logits up to some tens; float32 sums in another order
STANDS_OUT = 5.0
"""Where rounding is far below the tolerance, so much above rounding is too far already."""


def prompts_on(labels, plane):
    return {
        "points": Prompt(1, plane, points=[(40, 50), (20, 20)], polarity=[True, False]),
        "box": Prompt(2, plane, box=(62, 82, 98, 118)),
        "mask": Prompt(3, plane, mask=labels[plane] == 3),
    }


@pytest.fixture(scope="module")
def predictor(nano, official):
    configuration = read_configuration(builtin_folder() / "anysam-nano.yaml")
    return official.build_official(nano.network.state_dict(), configuration)


@pytest.fixture(scope="module")
def forward(nano, predictor, official, moving_discs):
    """All kinds of prompts on the first plane, and what the official predictor makes of them."""
    stack, labels = moving_discs
    prompts = prompts_on(labels, 0)
    return prompts, Oracle(nano, official, predictor, stack, prompts.values(), "forward")


@pytest.fixture(scope="module")
def both(nano, predictor, official, moving_discs):
    """Three objects, most planes ahead so that memories and pointers fill up, and some behind."""
    stack, labels = moving_discs
    click = Prompt(1, 6, points=[(45, 56)])
    prompts = [click, *list(prompts_on(labels, 6).values())[1:]]
    return prompts, Oracle(nano, official, predictor, stack, prompts, "both")


@pytest.fixture(scope="module")
def rounding(both):
    prompts, oracle = both
    return oracle.distance(prompts)


@pytest.mark.parametrize("kind", ["points", "box", "mask"])
def test_one_object_forward(kind, forward):
    prompts, oracle = forward
    found = oracle.distance([prompts[kind]])
    assert found.planes >= 24
    assert found.iou >= 0.999
    assert found.logits <= TOLERANCE


def test_three_objects_forward(forward):
    prompts, oracle = forward
    found = oracle.distance(list(prompts.values()))
    assert found.planes >= 24
    assert found.iou >= 0.999
    assert found.logits <= TOLERANCE


def test_three_objects_in_both_directions(rounding):
    assert rounding.planes >= 24
    assert rounding.iou >= 0.999
    assert rounding.logits <= TOLERANCE


def unrounded(monkeypatch, nano):
    """Memories without the rounding to bfloat16."""
    monkeypatch.setattr(sam2_tracking, "STORED", sam2_tracking.torch.float32)


def seven_pointers(monkeypatch, nano):
    monkeypatch.setattr(nano._memory, "span", replace(nano.memory_span, pointers=8))


def five_memories(monkeypatch, nano):
    monkeypatch.setattr(nano._memory, "span", replace(nano.memory_span, recent=5))


def no_reset(monkeypatch, nano):
    """The second direction goes on with the memories of the first."""
    turn = Follower.turn

    def keeping(self, step):
        if not self._banks:
            turn(self, step)
        self._step = step
        for bank in self._banks.values():
            bank._step = step

    monkeypatch.setattr(Follower, "turn", keeping)


def ages_reversed(monkeypatch, nano):
    """The nearest memory gets the temporal encoding of the oldest."""
    right = MemoryReader._spatial_positions
    monkeypatch.setattr(
        MemoryReader,
        "_spatial_positions",
        lambda self, ages: right(self, [7 - age if age else 0 for age in ages]),
    )


def anchors_aged(monkeypatch, nano):
    """An anchor gets a temporal encoding of a recent plane."""
    right = MemoryReader._spatial_positions
    monkeypatch.setattr(
        MemoryReader,
        "_spatial_positions",
        lambda self, ages: right(self, [age or 6 for age in ages]),
    )


def pointers_reversed(monkeypatch, nano):
    """The nearest pointer gets the distance of the farthest."""
    right = MemoryReader._pointer_positions
    monkeypatch.setattr(
        MemoryReader,
        "_pointer_positions",
        lambda self, distances, count: right(self, [16 - one for one in distances], count),
    )


def range_for_stack(monkeypatch, nano):
    """Pointer distances scaled by another number of planes than the stack's."""
    recall = MemoryBank.recall
    right = MemoryReader._pointer_positions
    monkeypatch.setattr(MemoryBank, "recall", lambda self, plane, _: recall(self, plane, 12))
    monkeypatch.setattr(
        MemoryReader, "_pointer_positions", lambda self, distances, _: right(self, distances, 12)
    )


def soft_anchor(monkeypatch, nano):
    """The prompted mask is remembered soft, not as the user saw it."""
    monkeypatch.setattr(nano.network, "binarize_mask_from_pts_for_mem_enc", False)


TRAPS = [
    unrounded,
    seven_pointers,
    five_memories,
    no_reset,
    ages_reversed,
    anchors_aged,
    pointers_reversed,
    range_for_stack,
    soft_anchor,
]


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.__name__)
def test_each_trap_is_found(trap, nano, both, rounding, monkeypatch):
    prompts, oracle = both
    trap(monkeypatch, nano)
    limit = min(TOLERANCE, STANDS_OUT * rounding.logits)
    assert oracle.distance(prompts[:1]).logits > limit
