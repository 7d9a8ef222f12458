"""A model that is switched off leaves nothing behind; one that does not fit goes on."""

import gc
import weakref

import psutil
import pytest
from gui_scenes import drifting_disc
from nano_files import write_nano, write_small_sam
from napari.utils.notifications import notification_manager

from faults import no_room_on_the_card
from napari_anysam._napari.active_model import active_model
from napari_anysam._napari.status import Stage

pytestmark = pytest.mark.gui

ANSWERED = (Stage.PREVIEW, Stage.NOTHING_FOUND)


@pytest.fixture(scope="module")
def large_file(tmp_path_factory):
    """SAM's layout with 25 million random weights, 100 MB, for images of 256 pixels."""
    file = tmp_path_factory.mktemp("large") / "large.pth"
    return write_small_sam(file, 256, width=512, depth=8, heads=8, window=8)


@pytest.fixture
def active(loaded_model, tmp_path, monkeypatch):
    """The active model of the window; the shipped one is active again afterwards."""
    monkeypatch.setenv("ANYSAM_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("ANYSAM_CONFIG", str(tmp_path / "config"))
    active = active_model()
    yield active
    active.request("anysam-nano")
    active.wait(120)


@pytest.fixture
def no_collection():
    """Without the cycle collector: what is let go is freed by its last user."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def switch(active, name):
    active.request(name)
    active.wait(120)


def resident():
    return psutil.Process().memory_info().rss


def network_parts(model):
    network = getattr(model, "network", None) or model._network
    return [weakref.ref(model), *map(weakref.ref, network.parameters())]


def embeddings_of(desk):
    cache = desk.control._clicking.running._predictor.cache
    return [
        weakref.ref(tensor) for one in cache._entries.values() for tensor in one.tensors.values()
    ]


def test_a_model_and_its_embeddings_are_freed(desk, active, large_file, no_collection):
    switch(active, large_file)
    image = desk.add(drifting_disc()[0], name="image")
    desk.click(image, (40, 38))
    desk.wait_for(*ANSWERED)
    embeddings = embeddings_of(desk)
    held = [*network_parts(active.model), *embeddings]
    before = resident()
    assert embeddings
    switch(active, "anysam-nano")
    desk.wait_for(*ANSWERED)
    assert not [one for one in held if one() is not None]
    desk.wait(lambda: resident() < before - 60e6, seconds=20)  # given back off the GUI thread


def test_a_model_that_propagated_is_freed(desk, active, tmp_path, no_collection):
    switch(active, write_nano(tmp_path / "mine.safetensors"))
    image = desk.add(drifting_disc(), name="stack")
    desk.viewer.dims.set_point(0, 1)
    desk.click(image, (1, 40, 38))
    desk.wait_for(*ANSWERED)
    desk.press(desk.widget.stack.run_button)
    desk.wait(lambda: desk.status.stage is not Stage.PROPAGATING and desk.status.done > 0)
    held = [*network_parts(active.model), *embeddings_of(desk)]
    switch(active, "anysam-nano")
    desk.wait_for(Stage.READY, *ANSWERED)
    assert not [one for one in held if one() is not None]


def test_a_model_whose_propagation_was_cancelled_is_freed(desk, active, tmp_path, no_collection):
    switch(active, write_nano(tmp_path / "mine.safetensors"))
    desk.start_propagation()
    held = network_parts(active.model)
    desk.control.cancel()
    desk.wait(lambda: desk.status.stage is not Stage.PROPAGATING)
    switch(active, "anysam-nano")
    desk.settle()
    assert not [one for one in held if one() is not None]


def test_a_card_that_is_too_small_is_said_in_the_window(desk, active, tmp_path):
    active.request(write_nano(tmp_path / "mine.safetensors"), device="cpu:0")
    active.wait(120)
    image = desk.add(drifting_disc()[0], name="image")
    desk.wait(lambda: desk.widget.model_name.text() == "mine (cpu:0)")
    with (
        notification_manager,
        no_room_on_the_card(active.model, active.model.network.image_encoder),
    ):
        desk.click(image, (40, 38))
        desk.wait_for(*ANSWERED)
    assert desk.widget.model_name.text() == "mine (cpu)"
    said = [one.message for one in notification_manager.records]
    assert sum("mine needs more memory than cpu:0 has left" in words for words in said) == 1
