import pytest
import torch

from fake_driver import install_nvidia_smi
from napari_anysam.errors import CapabilityError
from napari_anysam.networks.device import (
    autocast,
    choose_device,
    choose_precision,
    limit_torch_threads,
    unused_graphics_card,
)

CPU = torch.device("cpu")


def test_auto_takes_a_gpu_where_torch_finds_one():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    if torch.backends.mps.is_available():
        expected = "mps"
    assert choose_device("auto").type == expected


def test_a_device_can_be_given_by_name_or_as_it_is():
    assert choose_device("cpu") == choose_device(CPU) == CPU


@pytest.mark.parametrize("name", ["gpu", "", "meta", "cuda:x"])
def test_an_unknown_device_lists_the_choices(name):
    with pytest.raises(CapabilityError, match="auto, cpu, cuda, mps"):
        choose_device(name)


def test_a_missing_graphics_card_is_said():
    name = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(CapabilityError, match="choose device='auto'"):
        choose_device(name)


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_a_named_precision_is_taken_as_it_is(name):
    assert choose_precision(name, CPU, parameters=1) == name


def test_an_unknown_precision_lists_the_choices():
    with pytest.raises(CapabilityError, match="auto, fp32, bf16, fp16"):
        choose_precision("fp8", CPU)


def test_auto_keeps_a_small_network_in_fp32():
    assert choose_precision("auto", choose_device("auto"), parameters=4_000_000) == "fp32"


def test_auto_decides_once_per_process():
    first = choose_precision("auto", CPU, parameters=90_000_000)
    assert first in {"fp32", "bf16"}
    assert choose_precision("auto", CPU, parameters=90_000_000) == first


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA graphics card")
def test_auto_follows_the_compute_capability_of_a_card():
    later = torch.cuda.get_device_capability() >= (8, 0)
    found = choose_precision("auto", torch.device("cuda"), parameters=90_000_000)
    assert found == ("bf16" if later else found)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_autocast_computes_in_the_precision(precision, dtype):
    left = torch.ones(4, 4)
    with autocast(CPU, precision):
        assert (left @ left).dtype == dtype


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch can use the card of this computer")
class TestACardThatTorchCannotUse:
    def test_is_named_with_the_command_that_helps(self, tmp_path, monkeypatch):
        install_nvidia_smi(monkeypatch, tmp_path, answer="NVIDIA RTX A2000")
        found = unused_graphics_card()
        assert "a graphics card (NVIDIA RTX A2000)" in found
        assert "uv pip install --reinstall --torch-backend=auto torch torchvision" in found

    def test_is_not_there_without_a_driver(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        assert unused_graphics_card() == ""

    def test_is_not_there_where_the_driver_finds_none(self, tmp_path, monkeypatch):
        install_nvidia_smi(monkeypatch, tmp_path, answer="No devices were found", code=6)
        assert unused_graphics_card() == ""

    def test_may_have_a_driver_that_does_not_answer(self, tmp_path, monkeypatch):
        install_nvidia_smi(monkeypatch, tmp_path, answer="NVIDIA-SMI has failed", code=9)
        assert "does not answer 'nvidia-smi'" in unused_graphics_card()

    @pytest.mark.parametrize("devices", ["", "-1"])
    def test_is_not_mentioned_where_it_was_hidden_on_purpose(self, tmp_path, monkeypatch, devices):
        install_nvidia_smi(monkeypatch, tmp_path, answer="NVIDIA RTX A2000")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
        assert unused_graphics_card() == ""


def test_torch_gets_no_more_threads_than_cores():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        limit_torch_threads(2)
        assert torch.get_num_threads() == 2
        limit_torch_threads(8)
        assert torch.get_num_threads() == 2
        limit_torch_threads(0)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
