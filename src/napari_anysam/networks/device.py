"""Where a network computes, and in which precision.

"auto" takes a GPU that torch can use, else the CPU; and half precision only where the hardware is
good at it: without hardware support, autocast to bfloat16 can be far slower than float32.
"""

from __future__ import annotations

import shutil
import time
from functools import cache
from typing import TYPE_CHECKING

from napari_anysam.errors import CapabilityError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import torch

__all__ = [
    "DEVICES",
    "PRECISIONS",
    "autocast",
    "available_devices",
    "choose_device",
    "choose_precision",
    "unused_graphics_card",
]

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")

# Below this many parameters the casts cost as much as the faster products save.
_SMALL_NETWORK = 20_000_000


def choose_device(name: str | torch.device = "auto") -> torch.device:
    """Return the device of this name.

    Parameters
    ----------
    name : str or torch.device
        "auto", "cpu", "cuda", "cuda:1", "mps".

    Raises
    ------
    CapabilityError
        If there is no such device on this computer.
    """
    import torch

    if name == "auto":
        return _best_device()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise CapabilityError(_unknown_device(name)) from error
    if device.type not in DEVICES:
        raise CapabilityError(_unknown_device(name))
    _check_present(device)
    return device


def available_devices() -> tuple[str, ...]:
    """Return those of ``DEVICES`` that can be chosen on this computer; imports torch."""
    import torch

    present = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available()}
    present["mps"] = torch.backends.mps.is_available()
    return tuple(name for name in DEVICES if present[name])


def choose_precision(name: str, device: torch.device, parameters: int | None = None) -> str:
    """Return "fp32", "bf16" or "fp16".

    Parameters
    ----------
    name : str
        One of those, or "auto".
    device : torch.device
        Where the network will compute.
    parameters : int, optional
        Size of the network; "auto" keeps a small one in fp32.

    Raises
    ------
    CapabilityError
        If the name is none of these.
    """
    if name not in PRECISIONS:
        raise CapabilityError(
            f"There is no precision {name!r}; use one of {', '.join(PRECISIONS)}."
        )
    if name != "auto":
        return name
    if parameters is not None and parameters < _SMALL_NETWORK:
        return "fp32"
    if device.type == "cuda":
        return _cuda_precision(device)
    if device.type == "cpu" and _bf16_is_faster():
        return "bf16"
    return "fp32"


def unused_graphics_card() -> str:
    """Say how to use an NVIDIA card that this computer has and torch cannot use; else ""."""
    import torch

    if torch.cuda.is_available() or shutil.which("nvidia-smi") is None:
        return ""
    if torch.version.cuda is None:
        return (
            "This computer has an NVIDIA graphics card, but its torch is built without CUDA; "
            "choose your system on https://pytorch.org/get-started and install torch as it says."
        )
    return (
        f"This computer has an NVIDIA graphics card that torch (CUDA {torch.version.cuda}) cannot "
        "use; run 'nvidia-smi' to see the driver, and update it."
    )


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the context in which a network computes in this precision; enter it once per call."""
    import torch

    if precision == "fp32":
        return torch.autocast(device.type, enabled=False)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=dtype)


def _unknown_device(name: object) -> str:
    return f"There is no device {str(name)!r}; use one of {', '.join(DEVICES)}, or cuda:1."


def _best_device() -> torch.device:
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def _check_present(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            cards = f"only {count}" if count else "no CUDA graphics card"
            raise CapabilityError(
                f"torch finds {cards} on this computer, so {str(device)!r} cannot be used; "
                "choose device='auto'."
            )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise CapabilityError(
            "torch finds no Apple graphics (mps) on this computer; choose device='auto'."
        )


def _cuda_precision(device: torch.device) -> str:
    """Older cards report an emulated bfloat16; the compute capability tells."""
    import torch

    capability = torch.cuda.get_device_capability(device)
    if capability >= (8, 0):
        return "bf16"
    return "fp16" if capability >= (7, 0) else "fp32"


@cache
def _bf16_is_faster() -> bool:
    """Ask the CPU's flags, and if they promise something, time one small product of each kind."""
    import torch

    if not _cpu_has_bf16() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    return _matmul_seconds(torch.bfloat16) < 0.9 * _matmul_seconds(torch.float32)


def _cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware (AVX-512 BF16 or AMX)."""
    import torch

    if hasattr(torch.cpu, "get_capabilities"):
        flags = torch.cpu.get_capabilities()
        return any(flags.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            words = set(next((line for line in file if line.startswith("flags")), "").split())
    except OSError:  # not Linux: Intel Macs and Windows machines stay with fp32
        return False
    return bool(words & {"avx512_bf16", "amx_bf16"})


def _matmul_seconds(dtype: torch.dtype) -> float:
    """Time the shape of a ViT's linear layer: the best of five, after one to warm up."""
    import torch

    left, right = torch.ones(1024, 768, dtype=dtype), torch.ones(768, 768, dtype=dtype)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        torch.mm(left, right)
        times.append(time.perf_counter() - start)
    return min(times[1:])
