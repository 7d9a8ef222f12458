"""A lesion from a diameter or a box on its key slice, in both directions, with the mouse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gui_scenes import iou
from qtpy.QtCore import Qt

from napari_anysam._napari.status import Stage
from napari_anysam.segmentation.key_slice import recist_box, segment_lesion

pytestmark = pytest.mark.gui

KEY = 3
SHAPE = (7, 80, 96)
LUNG = (-1350.0, 150.0)
SCALE = (3.0, 0.7, 0.7)
LINE = (40, 32), (40, 64)


def ball():
    """A ball of 60 HU in noise around -700 HU, int16, and its truth."""
    z, y, x = np.ogrid[-KEY : SHAPE[0] - KEY, -40:40, -48:48]
    truth = (z * 4.0) ** 2 + y**2 + x**2 < 16**2
    values = np.random.default_rng(0).normal(-700, 30, truth.shape) + 760 * truth
    return values.astype(np.int16), truth


@pytest.fixture
def scan(desk):
    """A desk with a CT volume at its key slice, ready for one lesion."""
    volume, _ = ball()
    image = desk.add(volume, name="ct", scale=SCALE, units="mm", contrast_limits=LUNG)
    desk.viewer.dims.set_point(0, KEY * SCALE[0])
    desk.widget.stack.way.setCurrentIndex(1)
    desk.settle()
    return image


@pytest.fixture(autouse=True)
def _all_objects_again(desk):
    yield
    desk.widget.stack.way.setCurrentIndex(0)


def draw_diameter(desk, image, line=LINE):
    desk.drag(image, *[(KEY, *end) for end in line])
    desk.wait_for(Stage.PREVIEW)


def segment(desk):
    desk.press(desk.widget.stack.run_button)
    desk.wait(lambda: desk.status.found != "" and "voxels" not in desk.status.found)


def the_box(desk):
    return desk.control.workspace.session.prompts[(1, KEY)].box


def test_a_diameter_gives_the_lesion_its_measures_and_one_undo_takes_it_back(
    desk, scan, loaded_model
):
    volume, truth = ball()
    assert desk.status.drawing == "diameter"
    assert "Draw its longest diameter" in desk.widget.stack.run_button.toolTip()
    draw_diameter(desk, scan)
    box = the_box(desk)
    assert np.allclose(box, recist_box(LINE, SHAPE[1:]), atol=1)
    assert "slice 3" in desk.widget.stack.lesion.words.text()
    segment(desk)
    headless = segment_lesion(volume, KEY, box, model=loaded_model, window=LUNG, stop_at_end=True)
    assert np.array_equal(desk.labels, headless)
    assert iou(desk.labels, truth) > 0.8
    words = desk.widget.hint.text()
    millilitres = headless.sum() * math.prod(SCALE) / 1000
    assert f"{millilitres:.3g} mL" in words
    assert "mm" in words
    table = desk.widget.objects.table
    cells = [table.model().data(table.model().index(0, column)) for column in (5, 6, 7)]
    assert cells[0] == f"{millilitres:.3g}"
    assert float(cells[2]) == pytest.approx(volume[headless > 0].mean(), rel=1e-3)
    assert desk.status.object_id == 2
    desk.key(Qt.Key.Key_U)
    assert not desk.labels.any()
    assert the_box(desk) == box
    assert desk.status.found == ""
    desk.key(Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier)
    assert np.array_equal(desk.labels, headless)


def test_a_box_does_as_well_from_whatever_slice_is_shown(desk, scan):
    _, truth = ball()
    desk.press(desk.widget.stack.lesion.buttons["box"])
    assert desk.status.drawing == "boxes"
    desk.drag(scan, (KEY, 23, 31), (KEY, 57, 65))
    desk.wait_for(Stage.PREVIEW)
    desk.viewer.dims.set_point(0, 0)
    desk.settle()
    segment(desk)
    assert iou(desk.labels, truth) > 0.8
    filled = desk.labels.any(axis=(1, 2))
    assert filled[KEY - 2 : KEY + 3].all()
    lanes = desk.control.stacks.review.state()
    assert lanes.in_words


def test_cancel_ends_within_one_plane(desk, scan):
    draw_diameter(desk, scan)
    desk.press(desk.widget.stack.run_button)
    desk.wait(lambda: desk.status.done >= 1)
    done = desk.status.done
    desk.press(desk.widget.stack.cancel_button)
    desk.wait(lambda: desk.status.stage is not Stage.PROPAGATING)
    assert done <= desk.status.done <= done + 2  # one in progress, one on its way to the window
    filled = np.flatnonzero(desk.labels.any(axis=(1, 2))).tolist()
    assert filled == list(range(KEY, KEY + len(filled)))
    desk.key(Qt.Key.Key_U)
    assert not desk.labels.any()


def test_the_ct_window_is_the_contrast_of_the_layer(desk, scan):
    combo = desk.widget.stack.lesion.window_combo
    assert combo.currentText().startswith("CT lung")
    abdomen = combo.findData("abdomen")
    combo.setCurrentIndex(abdomen)
    combo.activated.emit(abdomen)
    desk.settle()
    assert tuple(scan.contrast_limits) == (-160, 240)
    assert combo.currentText().startswith("CT abdomen")
    scan.contrast_limits = (-500, 300)
    desk.settle()
    assert combo.currentText() == "-500 to 300"


def test_the_way_shows_what_it_needs_and_nothing_else(desk, scan):
    stack = desk.widget.stack
    desk.widget.stack_fold.expand(animate=False)
    assert stack.lesion.isVisible()
    assert "Segment lesion" in stack.run_button.text()
    for other in (stack.direction, stack.live):
        assert not other.isVisible()
    stack.way.setCurrentIndex(0)
    desk.settle()
    assert not stack.lesion.isVisible()
    assert "Propagate" in stack.run_button.text()
    assert stack.direction.isVisible()
    assert desk.status.drawing == "points"


def test_without_units_voxels_are_counted_and_the_next_diameter_is_another_lesion(desk):
    volume, _ = ball()
    image = desk.add(volume, name="ct", contrast_limits=LUNG)
    desk.viewer.dims.set_point(0, KEY)
    desk.widget.stack.way.setCurrentIndex(1)
    desk.settle()
    draw_diameter(desk, image)
    desk.press(desk.widget.stack.run_button)
    desk.wait(lambda: desk.status.found != "")
    assert f"{desk.labels.astype(bool).sum()} voxels" in desk.status.found
    assert "scale and units" in desk.status.found
    words = desk.widget.stack.lesion.words
    assert "Lesion 1 is done" in words.text()
    desk.drag(image, (KEY, 8, 8), (KEY, 8, 20))
    desk.wait_for(Stage.PREVIEW)
    assert "Lesion 2 is marked on slice 3" in words.text()
    assert "H" in desk.widget.stack.lesion.buttons["diameter"].toolTip()


def test_a_line_beside_what_is_not_the_object_is_a_stroke(desk, scan):
    shapes = desk.control.workspace.prompts.shapes
    shapes.feature_defaults = {"object_id": 1, "polarity": "negative"}
    shapes.add(np.array([(KEY, 5, 5), (KEY, 5, 30)]), shape_type="line")
    prompt = desk.control.workspace.session.prompts[(1, KEY)]
    assert prompt.box is None
    assert len(prompt.scribbles) == 1
