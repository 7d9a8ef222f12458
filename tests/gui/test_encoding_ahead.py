"""Who moves along a stack finds the next planes encoded."""

import numpy as np
import pytest
from gui_scenes import drifting_disc
from windowless import Work

from napari_anysam._napari.status import Stage
from napari_anysam.models.measurements import Measurement, default_measurements

pytestmark = pytest.mark.gui

PLANES = 8


@pytest.fixture
def work(loaded_model, monkeypatch, tmp_path):
    monkeypatch.setenv("ANYSAM_CACHE", str(tmp_path / "cache"))
    stack = drifting_disc()
    work = Work(np.concatenate([stack, stack])[:PLANES], name="stack")
    work.viewer.dims.set_point(0, 0)
    work.control.ahead.choose(True)
    yield work
    work.control.close()


def go(work, plane):
    """Show a plane, and let the background come to rest."""
    work.viewer.dims.set_point(0, plane)
    work.wait(lambda: not work.control.ahead.waiting)


def numbers(work):
    return {frame.index[0] for frame in work.control.ahead.waiting}


def click(work, plane):
    """Click where the disc is; return how many regions had to be encoded."""
    work.click((plane, 40, 38), Stage.PREVIEW, Stage.NOTHING_FOUND)
    return work.control.status.encoded


def test_after_two_planes_forward_the_third_is_encoded(work):
    assert click(work, 0) > 0
    work.control.accept()
    for plane in (1, 2, 3):
        go(work, plane)
    assert click(work, 3) == 0
    assert work.control.status.from_memory > 0


def test_planes_behind_are_not_encoded(work):
    go(work, 3)
    click(work, 3)
    work.control.accept()
    go(work, 4)
    work.control.ahead.choose(False)
    work.viewer.dims.set_point(0, 2)
    assert click(work, 2) > 0


def test_who_turns_round_finds_those_encoded(work):
    go(work, 5)
    click(work, 5)
    work.control.accept()
    for plane in (6, 5, 4):
        go(work, plane)
    assert click(work, 4) == 0


def test_nothing_is_encoded_before_there_is_a_prompt(work):
    work.viewer.dims.set_point(0, 1)
    work.viewer.dims.set_point(0, 2)
    assert not work.control.ahead.waiting


@pytest.mark.parametrize("change", ["turn", "pixels", "look", "off"])
def test_what_is_no_longer_on_the_way_is_dropped(work, change):
    work.viewer.dims.set_point(0, 3)
    click(work, 3)
    work.control.accept()
    work.viewer.dims.set_point(0, 4)
    assert numbers(work) == {5, 6}
    if change == "turn":
        work.viewer.dims.set_point(0, 3)
        assert numbers(work) == {2, 1}
        return
    if change == "pixels":
        work.image.data = work.image.data[::-1].copy()
    elif change == "look":
        work.image.contrast_limits = (0, 100)
    else:
        work.control.ahead.choose(False)
    assert numbers(work) == set()


def test_a_click_goes_first(work):
    work.viewer.dims.set_point(0, 3)
    click(work, 3)
    work.control.accept()
    work.viewer.dims.set_point(0, 4)
    assert work.control.ahead.waiting
    work.points.add((4, 40, 38))
    work.wait(lambda: work.stage is Stage.PREVIEW)
    assert work.control.status.encoded > 0
    work.wait(lambda: not work.control.ahead.waiting)


def test_the_end_of_the_stack_is_the_end(work):
    click(work, 0)
    work.control.accept()
    work.viewer.dims.set_point(0, PLANES - 2)
    assert numbers(work) == {PLANES - 1}
    work.viewer.dims.set_point(0, PLANES - 1)
    assert numbers(work) == set()


@pytest.mark.parametrize("seconds", [0.1, 5.0])
def test_quick_models_encode_ahead_by_themselves(loaded_model, monkeypatch, tmp_path, seconds):
    monkeypatch.setenv("ANYSAM_CACHE", str(tmp_path / "cache"))
    measured = Measurement(
        model=loaded_model.name,
        device=loaded_model.device.type,
        precision=loaded_model.precision,
        encode_seconds=seconds,
        memory_bytes=1,
        threads=1,
        date="2026-01-01T00:00:00+00:00",
        image_size=loaded_model.image_size,
    )
    work = Work(drifting_disc(), name="stack")
    try:
        assert not work.control.ahead.is_on
        default_measurements().record(measured)
        assert work.control.ahead.is_on == (seconds < 2)
    finally:
        work.control.close()
