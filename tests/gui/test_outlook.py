"""What the Stack section says of a run before it begins."""

from __future__ import annotations

import time

import numpy as np
import pytest
from gui_scenes import drifting_disc
from windowless import Work

from napari_anysam import Prompt
from napari_anysam._napari import outlook
from napari_anysam._napari.propagation import StackRange
from napari_anysam._napari.status import Stage
from napari_anysam.images.axis_view import AxisView
from napari_anysam.models import image_size
from napari_anysam.models.measurements import Measurement


@pytest.fixture
def work(loaded_model):
    work = Work(drifting_disc(), name="stack")
    work.viewer.dims.set_point(0, 0)
    yield work
    work.control.close()


@pytest.fixture
def measured(monkeypatch, loaded_model):
    """As if a plane had cost two seconds, and an object on it three."""
    one = Measurement("any", "cpu", "fp32", 2.0, 10**8, threads=1, date="2026", track_seconds=3.0)
    monkeypatch.setattr(outlook, "_measured", lambda _model: one)


def words(work, first=0, last=6, direction="both"):
    return work.control.stacks.outlook(StackRange(0, first, last, direction))


def test_there_is_nothing_to_say_before_an_object_is_marked(work):
    assert words(work) == outlook.Outlook()
    assert work.control.stacks.outlook(None) == outlook.Outlook()


def test_planes_objects_time_and_memory_are_said(work, measured):
    work.viewer.dims.set_point(0, 2)
    work.keep((2, 40, 38))
    said = words(work)
    assert said.words.startswith("7 planes, 1 object: about 32 s, ")  # 7 encodes, 6 followed
    assert said.words.endswith(" GB")
    assert said.fits
    assert "memory: up to" in said.details
    assert words(work, direction="forward").words.startswith("5 planes, 1 object: about 22 s, ")
    work.keep((2, 12, 80))
    assert words(work, 2, 3).words.startswith("2 planes, 2 objects: about ")


def test_a_time_that_was_not_measured_is_not_claimed(work, monkeypatch):
    monkeypatch.setattr(outlook, "_measured", lambda _model: None)
    work.click((0, 40, 30))
    assert "time not known yet" in words(work).words


def test_what_does_not_fit_is_told_with_what_helps(work, measured, monkeypatch):
    monkeypatch.setattr(outlook, "free_room", lambda _folder: (10**8, 10**4))
    work.click((0, 40, 30))
    said = words(work)
    assert not said.fits
    assert "more than is free" in said.words
    assert "From and To" in said.details
    assert "--" not in said.details
    assert "disk" in said.details


def test_fewer_pixels_are_proposed_where_the_model_takes_them(work, measured, monkeypatch):
    work.click((0, 40, 30))
    monkeypatch.setattr(outlook, "free_room", lambda _folder: (10**8, 10**12))
    assert "image size" not in words(work).details  # the shipped model sees 256 pixels anyway
    monkeypatch.setattr(image_size, "SMALLER_IMAGE_SIZE", 128)
    control = work.control
    said = outlook.outlook_of(
        control.workspace,
        control.workspace.frame(),
        StackRange(0, 0, 6),
        control._clicking.running.model,
        [Prompt(1, 0, box=(30, 20, 50, 40))],
        10**9,
    )
    assert "in the model manager, which gives coarser masks: about" in said.details


def test_a_range_that_cannot_be_run_is_told(work):
    work.click((0, 40, 30))
    said = words(work, 3, 6, "backward")
    assert not said.fits
    assert "widen the range" in said.words


def test_no_pixel_is_read_and_nothing_is_estimated_twice(work, measured, monkeypatch):
    work.click((0, 40, 30))
    first = words(work).words

    def refuse(*_args, **_options):
        raise AssertionError("pixels were read")

    monkeypatch.setattr(AxisView, "__getitem__", refuse)
    work.control.stacks.runs.forget_embeddings()
    assert words(work).words == first
    monkeypatch.setattr(outlook, "free_room", refuse)
    assert words(work) is words(work)


def test_many_objects_in_a_long_stack_are_estimated_in_no_time(work, measured):
    work.click((0, 40, 30))
    mask = np.ones((9, 9), bool)
    prompts = [Prompt(one, one % 7, mask=mask, mask_origin=(one % 60, 3)) for one in range(1, 201)]
    control, where = work.control, StackRange(0, 0, 6)
    started = time.process_time()
    said = outlook.outlook_of(
        control.workspace,
        control.workspace.frame(),
        where,
        control._clicking.running.model,
        prompts,
        10**9,
    )
    assert said.words.startswith("7 planes, 200 objects: ")
    assert time.process_time() - started < 2  # a hang, not a measurement


@pytest.mark.gui
def test_the_line_follows_objects_and_range(desk):
    image = desk.add(drifting_disc(), name="stack")
    section = desk.widget.stack
    assert not section.outlook.isVisibleTo(section)
    desk.viewer.dims.set_point(0, 2)
    desk.click(image, (2, 40, 38))
    desk.wait_for(Stage.PREVIEW)
    assert section.outlook.text().startswith("7 planes, 1 object: ")
    section.last.setValue(4)
    desk.settle()
    assert section.outlook.text().startswith("5 planes, 1 object: ")
    section.direction.setCurrentIndex(1)
    desk.settle()
    assert section.outlook.text().startswith("3 planes, 1 object: ")
    assert section.outlook.toolTip()
