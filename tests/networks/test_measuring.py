"""Measuring encodes, with the shipped model."""

import copy
import threading
import warnings

import numpy as np
import pytest
import torch
from filelock import FileLock

import napari_anysam as anysam
from napari_anysam.errors import Cancelled
from napari_anysam.models.measurements import default_measurements
from napari_anysam.networks import measuring
from napari_anysam.networks.measuring import MEASURED_ENCODES, measured_encode

IMAGE = np.random.default_rng(0).integers(0, 255, (64, 80, 3), np.uint8)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Give this user an empty cache."""
    monkeypatch.setenv("ANYSAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def load(nano):
    """Load the shipped model anew, as far as measuring can tell."""
    return lambda: copy.copy(nano)


def known():
    return default_measurements().find("anysam-nano-3")


def test_the_answer_is_the_models_own(load, nano):
    found, expected = measured_encode(load(), IMAGE), nano.encode(IMAGE)
    assert found.image_shape == expected.image_shape
    assert all(torch.equal(found.tensors[key], value) for key, value in expected.tensors.items())


def test_the_first_encodes_are_measured_and_no_more(load):
    model = load()
    for count in (1, 2, 3, 3, 3):
        measured_encode(model, IMAGE)
        assert known().encodes == count
    assert MEASURED_ENCODES == 3


def test_says_where_and_how_it_was_measured(load):
    measured_encode(load(), IMAGE)
    one = known()
    assert (one.model, one.device, one.precision) == ("anysam-nano-3", "cpu", "fp32")
    assert one.threads == torch.get_num_threads()
    assert 0 < one.encode_seconds < 60


def test_memory_holds_the_weights(load):
    model = load()
    measured_encode(model, IMAGE)
    weights = sum(p.numel() * p.element_size() for p in model.network.parameters())
    assert weights > 15e6
    assert weights <= known().memory_bytes < weights + 4e9


def test_memory_grows_with_what_is_allocated_meanwhile():
    with measuring._GrowthMeter(weights=1000) as meter:
        held = np.ones(20_000_000)
    assert meter.nbytes > held.nbytes
    assert "anysam-memory" not in {thread.name for thread in threading.enumerate()}


def test_what_this_computer_knows_is_not_measured_again(load):
    first = load()
    for _ in range(3):
        measured_encode(first, IMAGE)
    before = known()
    measured_encode(load(), IMAGE)
    assert known() == before


def test_a_measurement_that_was_broken_off_goes_on(load):
    measured_encode(load(), IMAGE)
    other = load()
    for _ in range(4):
        measured_encode(other, IMAGE)
    assert known().encodes == 3


def test_another_number_of_threads_is_another_case(load):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        for model in [load()] * 3:
            measured_encode(model, IMAGE)
        torch.set_num_threads(2)
        measured_encode(load(), IMAGE)
    finally:
        torch.set_num_threads(before)
    assert {one.threads: one.encodes for one in default_measurements().all()} == {1: 3, 2: 1}


def test_a_cancelled_encode_is_not_remembered(load, cache):
    model = load()
    with pytest.raises(Cancelled):
        measured_encode(model, IMAGE, lambda: True)
    assert not cache.exists()
    assert "anysam-memory" not in {thread.name for thread in threading.enumerate()}
    measured_encode(model, IMAGE, lambda: False)
    assert known().encodes == 1


def test_a_failed_encode_is_not_remembered(load, cache):
    with pytest.raises((RuntimeError, ValueError)):
        measured_encode(load(), np.zeros((8, 8), np.uint8))
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_told_once(load, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("ANYSAM_CACHE", str(tmp_path / "file" / "cache"))
    measuring._warn_once.cache_clear()
    model = load()
    with pytest.warns(UserWarning, match=r"cannot be remembered.*ANYSAM_CACHE"):
        assert measured_encode(model, IMAGE).image_shape == (64, 80)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured_encode(model, IMAGE)
        measured_encode(load(), IMAGE)


def test_settings_that_are_none_do_not_stop_an_encode(load, monkeypatch):
    monkeypatch.setenv("ANYSAM_OFFLINE", "perhaps")
    measuring._warn_once.cache_clear()
    with pytest.warns(UserWarning, match="cannot be remembered"):
        assert measured_encode(load(), IMAGE).image_shape == (64, 80)


def test_an_encode_while_another_process_writes_is_left_out(load, cache):
    model = load()
    cache.mkdir()
    with FileLock(cache / "measurements.json.lock"):
        measured_encode(model, IMAGE)
    assert known() is None
    for _ in range(4):
        measured_encode(model, IMAGE)
    assert known().encodes == 3


def test_clicks_are_measured(load):
    anysam.segment(IMAGE, [anysam.Prompt(box=(8, 8, 40, 40))], model=load())
    assert known().encodes == 1


def test_propagation_is_measured(load):
    stack = np.repeat(IMAGE[None, ..., 0], 4, axis=0)
    prompts = [anysam.Prompt(plane=0, box=(8, 8, 40, 40))]
    assert len(list(anysam.propagate(stack, prompts, model=load(), region="plane"))) == 4
    assert known().encodes == 3
