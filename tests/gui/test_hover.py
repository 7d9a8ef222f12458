"""With the option on, a resting mouse shows what a click would give, and nothing comes of it."""

import numpy as np
import pytest
from gui_scenes import drifting_disc
from qtpy.QtCore import QPoint
from qtpy.QtTest import QTest

from napari_anysam._napari.hover import HOVER_NAME
from napari_anysam._napari.status import Stage

pytestmark = pytest.mark.gui


@pytest.fixture
def image(desk):
    image = desk.add(drifting_disc(), name="stack")
    desk.viewer.dims.set_point(0, 2)
    desk.widget.mask.hover.setChecked(True)
    desk.settle()
    return image


def shown(desk):
    return [
        layer
        for layer in desk.viewer.layers
        if layer.name == HOVER_NAME and layer.visible and layer.opacity
    ]


def rest(desk, image, place):
    QTest.mouseMove(desk.canvas.native, desk.position(image, place) + QPoint(3, 0))
    desk.settle()
    QTest.mouseMove(desk.canvas.native, desk.position(image, place))
    desk.settle()


def hover(desk, image, place):
    rest(desk, image, place)
    desk.wait(lambda: shown(desk))
    return shown(desk)[0]


def test_a_resting_mouse_shows_the_mask_of_a_click_there(desk, image):
    layer = hover(desk, image, (2, 40, 38))
    mask, corner = np.asarray(layer.data) > 0, np.asarray(layer.translate)
    assert desk.preview is None
    assert desk.status.stage is Stage.READY
    work = desk.control.workspace
    assert not work.session.prompts
    assert not work.session.can_undo
    assert not len(work.prompts.points.data)
    desk.click(image, (2, 40, 38))
    desk.wait_for(Stage.PREVIEW)
    assert not shown(desk)
    np.testing.assert_array_equal(np.asarray(desk.preview.data) > 0, mask)
    np.testing.assert_array_equal(desk.preview.translate, corner)


def test_it_goes_when_the_mouse_moves_or_leaves_or_the_plane_changes(desk, image):
    layer, seen = hover(desk, image, (2, 40, 38)), []
    layer.events.opacity.connect(lambda: seen.append(layer.opacity))
    QTest.mouseMove(desk.canvas.native, desk.position(image, (2, 42, 44)))
    desk.wait(lambda: seen)
    assert seen[0] == 0  # it may be there again before a slow window is asked
    desk.wait(lambda: shown(desk))
    del seen[:]
    desk.viewer.dims.set_point(0, 3)
    desk.wait(lambda: seen)
    assert seen[0] == 0
    hover(desk, image, (3, 40, 38))
    desk.viewer.mouse_over_canvas = False
    desk.settle()
    assert not shown(desk)


def test_it_is_off_until_it_is_wanted_and_leaves_nothing_behind(desk, image):
    hover(desk, image, (2, 40, 38))
    desk.widget.mask.hover.setChecked(False)
    assert HOVER_NAME not in desk.viewer.layers
    rest(desk, image, (2, 40, 38))
    QTest.qWait(400)
    assert HOVER_NAME not in desk.viewer.layers
    desk.widget.mask.hover.setChecked(True)
    desk.widget.close_quietly()
    assert not desk.viewer.mouse_move_callbacks


def test_other_tools_and_places_beside_the_image_show_nothing(desk, image):
    desk.control.use_tool("box")
    rest(desk, image, (2, 40, 38))
    QTest.qWait(400)
    assert not shown(desk)
    desk.control.use_tool("point")
    rest(desk, image, (2, -3, 38))
    QTest.qWait(400)
    assert not shown(desk)


def test_the_layer_is_no_choice_for_labels(desk, image):
    hover(desk, image, (2, 40, 38))
    assert desk.control.labels_choices() == []
