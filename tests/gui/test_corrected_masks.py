"""A click on a plane that a run has drawn corrects what is there, and a replay does so too."""

from __future__ import annotations

import numpy as np
import pytest
from gui_scenes import disc, drifting_disc, iou
from windowless import Work

PLANE = (80, 96)


def truth(plane):
    return disc(PLANE, 40, 30 + 4 * plane, 14)


@pytest.fixture
def work(loaded_model):
    """A disc that was clicked on plane 1 and followed through all four."""
    work = Work(drifting_disc(4), name="stack")
    work.viewer.dims.set_point(0, 1)
    work.keep((1, 40, 34))
    work.propagate()
    work.control.go_to_object(1)
    yield work
    work.control.close()


def spoil(work, plane):
    """Paint a part of the mask away; return what is left."""
    left = truth(plane)
    left[:, : 30 + 4 * plane] = False
    work.labels[plane] = left
    work.viewer.dims.set_point(0, plane)
    work.control.workspace.object_id = 1
    return left


def prompt(work, plane):
    return work.control.workspace.session.prompts[1, plane]


def test_the_mask_as_it_is_in_the_labels_and_its_box_go_with_the_click(work):
    left = spoil(work, 2)
    work.click((2, 40, 30))
    asked = prompt(work, 2)
    assert asked.points == ((40.0, 30.0),)
    assert asked.mask.sum() == left.sum()
    rows, columns = np.nonzero(left)
    y0, x0, y1, x1 = asked.box
    assert y0 <= rows.min() < rows.max() < y1
    assert x0 <= 30 < columns.max() < x1
    assert not len(work.control.workspace.prompts.shapes.data)
    work.control.accept()
    assert iou(work.labels[2] == 1, truth(2)) > iou(left, truth(2))


def test_further_clicks_add_to_the_correction(work):
    spoil(work, 2)
    work.click((2, 40, 30))
    first = prompt(work, 2)
    work.click((2, 36, 32))
    asked = prompt(work, 2)
    assert len(asked.points) == 2
    assert asked.box == first.box
    assert np.array_equal(asked.mask, first.mask)


def test_a_click_far_from_the_mask_begins_anew(work):
    spoil(work, 2)
    work.click((2, 70, 4))
    asked = prompt(work, 2)
    assert asked.mask is None
    assert asked.box is None


def test_undo_takes_the_mask_prompt_away_and_redo_brings_it_back(work):
    spoil(work, 2)
    work.click((2, 40, 30))
    asked = prompt(work, 2)
    work.control.undo()
    session, layers = work.control.workspace.session, work.control.workspace.prompts
    assert (1, 2) not in session.prompts
    assert (1, 2) not in layers.collect(work.control.workspace.frame())
    work.control.redo()
    again = prompt(work, 2)
    assert (again.points, again.box) == (asked.points, asked.box)
    assert np.array_equal(again.mask, asked.mask)
    assert not len(layers.shapes.data)


def test_a_plane_that_was_clicked_itself_keeps_its_prompts(work):
    work.viewer.dims.set_point(0, 1)
    work.control.go_to_object(1)
    work.click((1, 36, 30))
    assert prompt(work, 1).mask is None
    assert len(prompt(work, 1).points) == 2
