"""Where a network computes, and in which precision.

"auto" takes a GPU that torch can use, else the CPU; and half precision only where the hardware is
good at it: without hardware support, autocast to bfloat16 can be far slower than float32.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from napari_anysam.errors import CapabilityError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    import torch

__all__ = [
    "DEVICES",
    "PRECISIONS",
    "autocast",
    "available_devices",
    "choose_device",
    "choose_precision",
    "compute_type",
    "free_cached_memory",
    "limit_torch_threads",
    "one_torch_thread",
    "unused_graphics_card",
]

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")

# Below this many parameters the casts cost as much as the faster products save.
_SMALL_NETWORK = 20_000_000

# uv picks the build of torch that fits the driver (docs.astral.sh/uv/guides/integration/pytorch);
# which build that is changes with every version.
_INSTALL_TORCH = (
    "pip install uv && uv pip install --reinstall --torch-backend=auto torch torchvision"
)

_NO_CARD = 6
"""Return value of nvidia-smi where there is a driver but no card; nvidia-smi(1)."""

_PATIENCE = 10.0
"""Seconds that a card's driver has to answer."""


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


def limit_torch_threads(cores: int) -> None:
    """Let torch compute on at most so many cores; OMP_NUM_THREADS may have set it to fewer."""
    import torch

    torch.set_num_threads(max(1, min(torch.get_num_threads(), cores)))


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch compute on one core for a while: small steps end before others have joined in."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def free_cached_memory() -> None:
    """Give the system back what is kept of freed memory for later; takes up to a second."""
    import torch

    torch.cuda.empty_cache()  # does nothing where no card is in use
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
    if sys.platform == "linux":
        # glibc keeps freed blocks below 32 MB, which most tensors are; see mallopt(3).
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def unused_graphics_card() -> str:
    """Say how to use an NVIDIA card that this computer has and torch cannot use; else "".

    It runs ``nvidia-smi`` where that is installed, which takes up to a second.
    """
    import torch

    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    program = shutil.which("nvidia-smi")
    if torch.cuda.is_available() or hidden or program is None:
        return ""
    card = _nvidia_card(program)
    if card is None:
        return (
            "NVIDIA's driver is installed on this computer but does not answer 'nvidia-smi'; if "
            "there is a graphics card, install the driver again."
        )
    if not card:
        return ""
    if torch.version.cuda is None:
        return (
            f"This computer has a graphics card ({card}), but its torch is built without CUDA; "
            f"close napari and run '{_INSTALL_TORCH}' in its environment."
        )
    return (
        f"This computer has a graphics card ({card}) that torch (CUDA {torch.version.cuda}) "
        "cannot use; update its driver, or close napari and run "
        f"'{_INSTALL_TORCH}' in its environment."
    )


def _nvidia_card(program: str) -> str | None:
    """Return the first card that ``nvidia-smi`` finds, "" for none; None if it fails."""
    query = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            query, check=False, capture_output=True, text=True, timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode == _NO_CARD:
        return ""
    return answer.stdout.strip().partition("\n")[0] if answer.returncode == 0 else None


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the context in which a network computes in this precision; enter it once per call."""
    import torch

    if precision == "fp32":
        return torch.autocast(device.type, enabled=False)
    return torch.autocast(device.type, dtype=compute_type(precision))


def compute_type(precision: str) -> torch.dtype:
    """Return the type of numbers of a precision: "fp32", "bf16" or "fp16"."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


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
