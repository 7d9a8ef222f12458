import socket

import numpy as np
import pytest
from npe2 import PluginManifest

from napari_anysam._napari import samples

SAMPLES = ["coins", "cell", "tissue", "retina", "stack", "series"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a sample opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("name", SAMPLES)
def test_gives_layers_without_a_download(name):
    *truth, (image, settings, kind) = getattr(samples, name)()
    assert kind == "image"
    assert settings["name"]
    assert image.size
    assert all(layer[2] == "labels" for layer in truth)


@pytest.mark.parametrize("name", ["stack", "series"])
def test_truth_lies_hidden_under_its_image(name):
    (labels, truth, _), (image, settings, _) = getattr(samples, name)()
    assert labels.shape == image.shape
    assert labels.max() > 5
    assert not truth["visible"]
    assert truth["scale"] == settings["scale"]
    assert truth["axis_labels"] == settings["axis_labels"]


@pytest.mark.parametrize("name", ["tissue", "retina"])
def test_colour_samples_are_rgb(name):
    ((image, settings, _),) = getattr(samples, name)()
    assert settings["rgb"]
    assert (image.dtype, image.shape[-1]) == (np.uint8, 3)


def test_the_manifest_offers_all_of_them_and_every_name_can_be_imported():
    manifest = PluginManifest.from_distribution("napari-anysam")
    assert [sample.key for sample in manifest.contributions.sample_data] == SAMPLES
    manifest.validate_imports()


@pytest.mark.gui
@pytest.mark.parametrize("name", SAMPLES)
def test_opens_from_the_menu(make_napari_viewer, name):
    viewer = make_napari_viewer()
    viewer.open_sample("napari-anysam", name)
    assert len(viewer.layers) >= 1
