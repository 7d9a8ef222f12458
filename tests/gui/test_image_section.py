"""The Image part of the dock, in a real window."""

from __future__ import annotations

import numpy as np
import pytest
from gui_scenes import drifting_disc
from qtpy.QtTest import QTest

from napari_anysam._napari.appearance import Appearance
from napari_anysam._napari.coordinates import current_frame
from napari_anysam._napari.pixels import plane_source
from napari_anysam._napari.status import Stage


def test_changes_of_contrast_are_encoded_once_when_they_have_settled(desk):
    image = desk.add(drifting_disc()[2], name="cells")
    desk.click(image, (40, 38))
    desk.wait_for(Stage.PREVIEW)
    asked = []
    desk.widget.look.settled.connect(lambda: asked.append(1))
    for gamma in (0.9, 0.8, 0.7):
        image.gamma = gamma
        QTest.qWait(20)
    assert desk.status.stage is Stage.PREVIEW
    desk.wait(lambda: asked)
    desk.wait_for(Stage.PREVIEW)
    QTest.qWait(400)
    assert len(asked) == 1
    assert "gamma 0.7" in desk.widget.look.words.text()


def test_windows_and_channels_are_chosen_in_the_dock(desk):
    image = desk.add(drifting_disc()[2], name="cells", blending="additive", colormap="red")
    other = desk.viewer.add_image(image.data, blending="additive", colormap="green")
    section = desk.widget.look
    desk.wait(lambda: "2 channels" in section.words.text())
    assert section.words.toolTip().startswith("cells: ")
    assert section.words.toolTip().endswith("gamma 1, additive, opacity 1")
    section.blend_box.click()
    desk.wait(lambda: "gamma" in section.words.text())
    index = next(i for i in range(20) if "CT liver" in section.window_combo.itemText(i))
    section.window_combo.setCurrentIndex(index)
    section.window_combo.activated.emit(index)
    assert tuple(image.contrast_limits) == (-45, 105)
    assert tuple(other.contrast_limits) != (-45, 105)
    assert section.window_combo.currentIndex() == 0


def test_the_voxel_grid_is_offered_for_what_lies_askew(desk):
    desk.add(drifting_disc(), name="plain")
    box = desk.widget.look.voxel_box
    assert not box.isEnabled()
    assert "already" in box.toolTip()
    desk.viewer.layers.clear()
    tilted = desk.viewer.add_image(drifting_disc(), rotate=(0, 20, 0), name="tilted")
    desk.wait(lambda: desk.status.stage is Stage.NO_PLANE)
    assert "Voxel-grid view" in desk.widget.hint.text()
    before = np.array(tilted.rotate)
    box.click()
    desk.wait(lambda: desk.status.stage is Stage.READY)
    assert np.allclose(tilted.rotate, np.eye(3))
    desk.widget.close_quietly()
    assert np.allclose(tilted.rotate, before)


LAYERS = [
    ("red", "additive", 1.0),
    ("green", "additive", 0.5),
    ("viridis", "translucent", 0.4),
    ("bop blue", "additive", 0.8),
]


@pytest.mark.parametrize(
    "layers",
    [
        LAYERS,
        [("gray", "opaque", 0.6), ("magenta", "translucent_no_depth", 0.7)],
        [("Reds", "minimum", 0.5), ("Blues", "minimum", 1.0)],
        [("gray", "translucent", 1.0), ("yellow", "multiplicative", 0.5)],
    ],
    ids=["additive", "opaque", "minimum", "multiplicative"],
)
def test_channels_are_blended_as_the_canvas_shows_them(desk, layers):
    canvas, seen = [], []
    levels = np.random.default_rng(0).uniform(0, 1, (3, len(layers)))
    for values in levels:
        desk.viewer.layers.clear()
        for value, (colormap, blending, opacity) in zip(values, layers, strict=True):
            desk.viewer.add_image(
                np.full((8, 8), value),
                contrast_limits=(0, 1),
                gamma=0.8,
                colormap=colormap,
                blending=blending,
                opacity=opacity,
            )
        desk.viewer.reset_view()
        desk.settle()
        image = desk.viewer.layers[0]
        screen = desk.viewer.screenshot(canvas_only=True, flash=False)
        canvas.append(screen[screen.shape[0] // 2, screen.shape[1] // 2, :3])
        look = Appearance(desk.viewer, image).look()
        assert len(look.layers) == len(layers)
        frame = current_frame(desk.viewer.dims, image)
        seen.append(plane_source(look, frame, 0).read()[4, 4])
    np.testing.assert_allclose(seen, canvas, atol=4)
