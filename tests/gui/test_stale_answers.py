"""Whatever changes while something is encoded or decoded, no mask is shown in a wrong place."""

import random

import numpy as np
import pytest
from windowless import Work

from napari_anysam._napari.status import Stage

pytestmark = pytest.mark.gui

PLANES, SIDE = 5, 96
CENTRES = [(24 + 12 * plane, 72 - 12 * plane) for plane in range(PLANES)]


def stack(shade):
    """Return a disc that is elsewhere on every plane, in another shade on another background."""
    rows, columns = np.indices((SIDE, SIDE))
    planes = [(rows - y) ** 2 + (columns - x) ** 2 <= 100 for y, x in CENTRES]
    return np.where(planes, shade, 40).astype(np.uint8)


@pytest.fixture
def work(loaded_model, monkeypatch, tmp_path):
    monkeypatch.setenv("ANYSAM_CACHE", str(tmp_path / "cache"))
    work = Work(stack(200), name="first")
    work.other = work.viewer.add_image(stack(120)[::-1].copy(), name="second")
    work.first = work.image
    yield work
    work.control.close()


def shown(work):
    """Return the preview's plane and where it lies, or None."""
    preview = work.control._clicking.running.preview
    if preview.is_hidden:
        return None
    layer = preview.layer
    plane, row, column = (round(float(value)) for value in layer.translate)
    height, width = layer.data.shape[-2:]
    return plane, row + (height - 1) / 2, column + (width - 1) / 2


def check(work):
    """See that what is previewed is the disc of its own image and plane, if anything is."""
    running = work.control._clicking.running
    if running.answer is None:
        assert shown(work) is None
        return
    assert running.answer.request.work is work.control.workspace
    found = shown(work)
    if found is None:
        return
    plane, row, column = found
    assert plane == running.answer.request.frame.index[0]
    places = CENTRES if work.control.image is work.first else CENTRES[::-1]
    assert abs(row - places[plane][0]) < 8
    assert abs(column - places[plane][1]) < 8


def centre(work):
    plane = work.viewer.dims.current_step[0]
    places = CENTRES if work.control.image is work.first else CENTRES[::-1]
    return plane, *places[plane]


def act(work, chance):
    """Do what a user might, without waiting for anything."""
    action = chance.choice(
        ["click", "click", "click", "plane", "image", "pixels", "accept", "look"]
    )
    if action == "click":
        work.control.point_pressed(positive=True)
        work.points.add(centre(work))
    elif action == "plane":
        work.viewer.dims.set_point(0, chance.randrange(PLANES))
    elif action == "image":
        work.control.choose_image(chance.choice([work.first, work.other]))
    elif action == "pixels":
        work.control.image.data = work.control.image.data.copy()
    elif action == "accept":
        work.control.accept()
    else:
        work.control.image.contrast_limits = (0, chance.choice([180, 220, 255]))


def take_some(work, chance):
    """Let the window take some of what the inference thread has said, or wait a little for it."""
    for _ in range(chance.randrange(3)):
        if not work.calls.empty():
            work.calls.get()()
            check(work)


@pytest.mark.parametrize("seed", range(6))
def test_no_mask_is_shown_or_written_in_a_wrong_place(work, seed):
    chance = random.Random(seed)
    for _ in range(25):
        act(work, chance)
        check(work)
        take_some(work, chance)
        if chance.random() < 0.2:
            work.wait(lambda: work.stage is not Stage.WORKING)
            check(work)
    work.wait(lambda: work.stage is not Stage.WORKING)
    check(work)
    for image, places in ((work.first, CENTRES), (work.other, CENTRES[::-1])):
        work.control.choose_image(image)
        if work.control.labels is None:
            continue
        for plane, labels in enumerate(work.labels):
            rows, columns = np.nonzero(labels)
            if len(rows):
                off = np.hypot(rows - places[plane][0], columns - places[plane][1])
                assert np.median(off) < 14
