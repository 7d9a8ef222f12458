"""Settings of the Segment dock that hold the next time, and what they let the next object do."""

from __future__ import annotations

import numpy as np
import pytest
from gui_scenes import blobs
from windowless import Work

from napari_anysam._napari.preferences import preferences_file
from napari_anysam._napari.segment_widget import SegmentWidget
from napari_anysam._napari.status import Stage
from napari_anysam.segmentation.mask_options import MaskOptions

FIRST, SECOND = (40, 40), (60, 95)


@pytest.mark.gui
def test_a_dock_that_is_opened_again_is_set_as_it_was(desk):
    mask, many = desk.widget.mask, desk.widget.many
    mask.threshold.setValue(-1.5)
    mask.fill_holes.setValue(30)
    mask.policy.setCurrentIndex(1)
    mask.accept_on_next.setChecked(False)
    many.each_click.setChecked(True)
    desk.widget.close_quietly()
    again = SegmentWidget(desk.proxy)
    try:
        assert again.mask.options == MaskOptions(threshold=-1.5, fill_holes=30)
        clicking = again.controller._clicking
        assert clicking.running.options == again.mask.options
        assert (clicking.each_click_new, clicking.each_box_new) == (True, True)
        assert not clicking.accepts_on_next
        assert again.controller._policy == "over"
    finally:
        again.close_quietly()


@pytest.mark.gui
def test_a_file_that_is_not_valid_is_said_and_the_dock_opens(desk):
    path = preferences_file()
    path.parent.mkdir(parents=True)
    path.write_text("{")
    again = SegmentWidget(desk.proxy)
    again.close_quietly()
    assert again.mask.options == MaskOptions()
    assert path.read_text() == "{"


@pytest.fixture
def work(loaded_model):
    work = Work(blobs(), name="discs")
    yield work
    work.control.close()


def test_the_next_object_accepts_the_running_one(work):
    work.click(FIRST)
    work.control.new_object()
    assert (work.labels == 1).any()


def test_or_only_accept_writes_and_what_was_left_can_be_gone_on_with(work):
    work.control.let_next_accept(False)
    work.click(FIRST)
    work.control.new_object()
    assert work.control.status.object_id == 2
    work.click(SECOND)
    assert work.control.labels is None
    work.control.go_to_object(1)
    work.wait(lambda: work.stage is Stage.PREVIEW)
    assert work.control.status.positive == 1
    work.control.accept()
    assert set(np.unique(work.labels)) == {0, 1}
    assert work.labels[FIRST] == 1
