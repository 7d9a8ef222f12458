"""60 random moments of a run and of a repair at which layers go, and models and views change.

Whatever happens, the labels hold a beginning of what the undisturbed run writes, the session
explains them, and one undo brings back what was there before. About 30 s on one idle core.
"""

from __future__ import annotations

import queue
import random

import numpy as np
import pytest
from gui_scenes import disc, drifting_disc
from windowless import Work

from napari_anysam import Prompt
from napari_anysam._napari.active_model import active_model
from napari_anysam._napari.propagation import StackRange
from napari_anysam._napari.status import Stage
from napari_anysam.networks.sam import SamModel
from napari_anysam.segmentation.hand_edits import HandEdits
from napari_anysam.segmentation.journal import rewrite
from tiny_sam import tiny_sam

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

COUNT, PLANE = 5, (64, 80)
START, CORRECTED = 1, 3
STROKE = (slice(None), slice(0, 3), slice(0, 3))


class Scene(Work):
    """A stack with one object marked by its mask; for a repair it was followed and corrected."""

    def __init__(self, kind) -> None:
        super().__init__(drifting_disc(COUNT, PLANE), name="stack")
        self.kind = kind
        work = self.control.workspace
        mask = disc(PLANE, 40, 30 + 4 * START, 14)
        prompt = Prompt(1, START, mask=mask)
        work.prompts.hold(prompt)
        work.session.set_prompt((1, START), prompt)
        work.ensure_labels()
        self.control.stacks.review_along(0)
        if kind == "repair":
            self.propagate()
            self.viewer.dims.set_point(0, CORRECTED)
            self.labels[CORRECTED] = disc(PLANE, 36, 30 + 4 * CORRECTED, 8)
        self.layer, self.session = self.control.labels, work.session
        self.before = self.layer.data.copy()

    def begin(self):
        if self.kind == "repair":
            self.control.stacks.repair()
        else:
            self.control.stacks.propagate(StackRange(0, 0, COUNT - 1))
        assert self.stage is Stage.PROPAGATING

    def go_on(self, turns):
        """Let the window take some of what the run has for it."""
        while turns and self.stage is Stage.PROPAGATING:
            try:
                self.calls.get(timeout=0.05)()
            except queue.Empty:
                continue
            turns -= 1

    def end(self):
        self.wait(lambda: not self.control.stacks.runs.busy)


@pytest.fixture(scope="module", params=["run", "repair"])
def undisturbed(loaded_module_model, request):
    """Return a kind of run, and the labels after every turn of it."""
    scene = Scene(request.param)
    scene.begin()
    states = [scene.layer.data.tobytes()]
    while scene.control.stacks.runs.busy:
        scene.go_on(1)
        states.append(scene.layer.data.tobytes())
    scene.control.close()
    assert len(set(states)) > 2
    return request.param, states


@pytest.fixture(scope="module")
def loaded_module_model(qapp):
    active = active_model()
    if active.model is None:
        active.request("anysam-nano")
        active.wait(120)
    assert active.model is not None
    return active


@pytest.fixture(scope="module")
def other_model():
    return SamModel(tiny_sam(), name="vit-b", key="vit-b", precision="fp32")


def cancel(scene, _other):
    scene.control.cancel()


def remove_labels(scene, _other):
    scene.viewer.layers.remove(scene.layer)


def remove_image(scene, _other):
    scene.viewer.layers.remove(scene.image)


def remove_points(scene, _other):
    scene.viewer.layers.remove(scene.points)


def change_model(scene, other):
    scene.control._active.loaded.emit(other)


def close(scene, _other):
    scene.control.close()


def choose_new_labels(scene, _other):
    scene.control.choose_labels(None)


def roll_axes(scene, _other):
    scene.viewer.dims.order = (1, 0, 2)


def choose_no_image(scene, _other):
    scene.control.choose_image(None)


def paint(scene, _other):
    scene.layer.data[STROKE] = 9


def try_to_undo(scene, _other):
    if scene.control.stacks.runs.busy:
        scene.control.undo()


ENDING = (cancel, remove_labels, remove_image, close, choose_new_labels, roll_axes, choose_no_image)
BESIDE = (remove_points, change_model, paint, try_to_undo)


@pytest.mark.parametrize("seed", range(30))
def test_labels_are_a_beginning_and_undo_brings_back_what_was(undisturbed, other_model, seed):
    kind, states = undisturbed
    chance = random.Random(f"{kind} {seed}")
    action = (ENDING + BESIDE)[seed % len(ENDING + BESIDE)]
    scene = Scene(kind)
    try:
        scene.begin()
        scene.go_on(chance.randrange(len(states)))
        action(scene, other_model)
        if action is not close:
            scene.end()
        now = scene.layer.data.copy()
        assert_beginning(now, scene.before, action, states)
        work = scene.control.workspace
        if work is not None and work.session is scene.session and action is not remove_labels:
            assert_explained(work.session, now)
            assert_undone(scene, action, now)
    finally:
        if action is not close:
            scene.control.close()


def assert_beginning(now, before, action, states):
    if action is paint:
        assert (now[STROKE] == 9).all()
        now = now.copy()
        now[STROKE] = before[STROKE]
    place = states.index(now.tobytes())
    if action in BESIDE:
        assert now.tobytes() == states[-1], place


@pytest.mark.parametrize("action", [choose_new_labels, roll_axes])
def test_a_search_for_everything_ends_where_its_labels_are_no_longer_the_ones(
    loaded_module_model, action
):
    scene = Scene("run")
    scene.control.find_everything()
    assert scene.control.stacks.runs.busy
    action(scene, None)
    scene.end()
    assert scene.layer.data.tobytes() == scene.before.tobytes()
    assert scene.control.workspace.session.journal == []
    scene.control.close()


def assert_explained(session, labels):
    explained = np.zeros_like(labels)
    rewrite(session.journal, explained)
    HandEdits.between(explained, labels).apply(explained)
    np.testing.assert_array_equal(explained, labels)


def assert_undone(scene, action, now):
    steps = len(scene.session.journal)
    if now.tobytes() == scene.before.tobytes():
        return
    expected = scene.before.copy()
    if action is paint:
        expected[STROKE] = 9
    scene.control.undo()
    np.testing.assert_array_equal(scene.layer.data, expected)
    assert len(scene.session.journal) == steps - 1
    scene.control.redo()
    np.testing.assert_array_equal(scene.layer.data, now)
