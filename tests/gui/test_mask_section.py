"""How logits become masks: the Mask section, the write policy, and walking through candidates."""

from __future__ import annotations

import numpy as np
import pytest
from gui_scenes import blobs
from qtpy.QtCore import Qt

from napari_anysam._napari.padding_outline import OUTLINE_NAME
from napari_anysam._napari.status import Stage

pytestmark = pytest.mark.gui

PLANE = (96, 128)
FIRST, SECOND = (40, 40), (60, 95)


@pytest.fixture
def coins(desk):
    return desk.add(blobs(), name="discs")


def outline(desk):
    return [layer for layer in desk.viewer.layers if layer.name == OUTLINE_NAME]


def area(desk):
    return np.count_nonzero(desk.preview.data)


def test_the_threshold_reshapes_the_preview_without_asking_the_network(desk, coins, monkeypatch):
    desk.click(coins, FIRST)
    desk.wait_for(Stage.PREVIEW)
    asked = []
    monkeypatch.setattr(desk.control._inference, "ask", lambda *_, **__: asked.append(1))
    areas = []
    for threshold in (-4.0, 0.0, 4.0):
        desk.widget.mask.threshold.setValue(threshold)
        areas.append(area(desk))
    assert areas == sorted(areas, reverse=True)
    assert len(set(areas)) == 3
    assert not asked
    shown = np.count_nonzero(desk.preview.data)
    desk.key(Qt.Key.Key_Return)
    assert np.count_nonzero(desk.labels) == shown


def test_a_smallest_area_beyond_the_object_leaves_nothing(desk, coins):
    desk.click(coins, FIRST)
    desk.wait_for(Stage.PREVIEW)
    desk.widget.mask.smallest_area.setValue(5000)
    desk.settle()
    assert desk.status.stage is Stage.NOTHING_FOUND
    desk.widget.mask.smallest_area.setValue(0)
    desk.settle()
    assert desk.status.stage is Stage.PREVIEW


def test_box_padding_asks_anew_with_a_larger_box(desk, coins, loaded_model, monkeypatch):
    desk.press(desk.widget.box_button)
    desk.drag(coins, (26, 26), (54, 54))
    desk.wait_for(Stage.PREVIEW)
    seen = []
    decode = type(loaded_model).decode
    monkeypatch.setattr(
        type(loaded_model),
        "decode",
        lambda model, embedding, prompts, **rest: (
            seen.extend(prompts),
            decode(model, embedding, prompts, **rest),
        )[1],
    )
    desk.widget.mask.padding.setValue(10)
    desk.wait_for(Stage.PREVIEW)
    (prompt,) = desk.control.workspace.session.prompts.values()
    y0, x0, y1, x1 = prompt.box
    padded = seen[-1].box
    (drawn,) = outline(desk)[0].data
    assert np.ptp(drawn, axis=0) == pytest.approx(np.ptp([(y0, x0), (y1, x1)], axis=0) * 1.2)
    assert padded[2] - padded[0] == pytest.approx(1.2 * (y1 - y0))
    assert padded[3] - padded[1] == pytest.approx(1.2 * (x1 - x0))


def test_the_padded_box_is_drawn_only_while_there_is_one(desk, coins):
    desk.widget.mask.padding.setValue(5)
    desk.press(desk.widget.box_button)
    desk.drag(coins, (26, 26), (54, 54))
    desk.wait_for(Stage.PREVIEW)
    assert len(outline(desk)) == 1
    desk.widget.mask.padding.setValue(0)
    desk.wait_for(Stage.PREVIEW)
    assert not outline(desk)
    desk.widget.mask.padding.setValue(5)
    desk.wait_for(Stage.PREVIEW)
    desk.key(Qt.Key.Key_Q)
    assert not outline(desk)


@pytest.mark.parametrize(("policy", "theirs"), [(0, True), (1, False), (2, True)])
def test_the_policy_says_whether_others_give_way(desk, coins, policy, theirs):
    other = np.zeros(PLANE, np.uint8)
    other[36:44, 36:44] = 9
    layer = desk.viewer.add_labels(other, name="mine")
    desk.control.choose_labels(layer)
    desk.widget.mask.policy.setCurrentIndex(policy)
    desk.control.use_tool("point")
    desk.click(coins, FIRST)
    desk.wait_for(Stage.PREVIEW)
    desk.key(Qt.Key.Key_Return)
    assert bool(layer.data[40, 40] == 9) is theirs
    assert (layer.data == 10).any()


def test_shift_w_goes_back_to_the_candidate_before(desk, coins):
    desk.click(coins, FIRST)
    desk.wait_for(Stage.PREVIEW)
    count = desk.status.candidates
    assert count > 1
    assert desk.status.candidate == 1
    desk.key(Qt.Key.Key_W, Qt.KeyboardModifier.ShiftModifier)
    assert desk.status.candidate == count
    desk.key(Qt.Key.Key_W)
    assert desk.status.candidate == 1
