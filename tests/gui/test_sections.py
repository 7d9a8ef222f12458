"""The sections of the dock unfold when they have something to show, and the review comes up."""

from __future__ import annotations

from gui_scenes import drifting_disc
from qtpy.QtWidgets import QLabel

from napari_anysam._napari.fold_area import FoldArea
from napari_anysam._napari.status import Stage


def test_a_section_is_folded_once_and_stays_as_the_user_leaves_it(qapp):
    area = FoldArea()
    section = area.add("Objects", QLabel("a table"))
    assert not section.isExpanded()
    area.fill(section, True)
    assert section.isExpanded()
    section.collapse(animate=False)
    area.fill(section, True)
    assert not section.isExpanded()
    area.fill(section, False)
    area.fill(section, True)
    assert section.isExpanded()
    area.close()


def test_a_run_that_ends_brings_up_the_review(desk):
    desk.viewer.window._qt_window.resize(1000, 620)
    image = desk.add(drifting_disc(), name="stack")
    desk.viewer.dims.set_point(0, 2)
    desk.click(image, (2, 40, 38))
    desk.wait_for(Stage.PREVIEW)
    desk.press(desk.widget.stack.run_button)
    desk.widget.sections.ensureWidgetVisible(desk.widget.stack_fold)
    desk.settle()
    seen = desk.widget.review.next_button.visibleRegion
    assert seen().isEmpty()
    desk.wait(lambda: desk.status.stage is not Stage.PROPAGATING and desk.status.done == 7)
    desk.settle()
    assert not seen().isEmpty()


def test_the_sections_fit_a_dock_of_250_pixels(desk):
    desk.add(drifting_disc(), name="stack")
    desk.settle()
    assert desk.widget.sections.widget().minimumSizeHint().width() <= 250 - 2 * 6
