"""What encoding costs on this computer, measured while the first images are encoded anyway."""

from __future__ import annotations

import threading
import time
import warnings
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Self
from weakref import WeakKeyDictionary

from filelock import Timeout

from napari_anysam.errors import AnySAMError
from napari_anysam.models.measurements import Measurement, default_measurements

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from napari_anysam.networks.protocol import Embedding, PromptableModel

__all__ = ["MEASURED_ENCODES", "known_cost", "measured_encode"]

MEASURED_ENCODES = 3
"""Encodes that are measured; the first one also pays for warming up."""

_SAMPLE_SECONDS = 0.01

# Of each loaded network, how many encodes are still to be measured.
_left: WeakKeyDictionary[PromptableModel, int] = WeakKeyDictionary()


def known_cost(model: PromptableModel) -> Measurement | None:
    """Return the latest measurement of a loaded model as it computes now; None if there is none."""
    device = model.device.type
    return default_measurements().find(model.name, device, model.precision, model.image_size)


def measured_encode(
    model: PromptableModel,
    image: NDArray[np.uint8],
    cancelled: Callable[[], bool] | None = None,
) -> Embedding:
    """Encode an image, and measure what that costs if this computer does not know it yet.

    The first ``MEASURED_ENCODES`` encodes of a model, device, precision, size of its input and
    number of threads are measured; the best time and the highest memory are remembered. Later ones
    cost nothing more. One that fails or is cancelled is not remembered.

    The memory is, on CUDA, the most that torch had allocated on that device meanwhile; on Apple's
    graphics, what the driver held for torch afterwards; both hold all that this process keeps
    there. On the CPU it is how much the process grew while it encoded, looked at every ten
    milliseconds, and the bytes of the network's weights: an estimate, since what the process does
    beside it counts too, and memory that it held already does not.

    Parameters
    ----------
    model, image, cancelled
        See ``PromptableModel.encode``, whose answer and errors these are.
    """
    left = _left.get(model)
    if left is None:
        left = _left[model] = _unmeasured(model)
    if left == 0:
        return model.encode(image, cancelled=cancelled)
    _synchronize(model.device)
    with _memory_meter(model) as meter:
        start = time.perf_counter()
        embedding = model.encode(image, cancelled=cancelled)
        _synchronize(model.device)
        seconds = time.perf_counter() - start
    _record(model, seconds, meter.nbytes)
    return embedding


def _unmeasured(model: PromptableModel) -> int:
    import torch

    try:
        known = known_cost(model)
    except AnySAMError as error:
        _tell(error)
        return 0
    if known is None or known.threads != torch.get_num_threads():
        return MEASURED_ENCODES
    return max(0, MEASURED_ENCODES - known.encodes)


def _record(model: PromptableModel, seconds: float, nbytes: int) -> None:
    import torch

    measurement = Measurement(
        model=model.name,
        device=model.device.type,
        precision=model.precision,
        encode_seconds=seconds,
        memory_bytes=nbytes,
        threads=torch.get_num_threads(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        image_size=model.image_size,
    )
    try:
        default_measurements().record(measurement)
        _left[model] -= 1
    except Timeout:  # another process writes; the next encode is measured instead
        return
    except (OSError, AnySAMError) as error:
        _tell(error)
        _left[model] = 0


def _tell(error: Exception) -> None:
    why = error.strerror if isinstance(error, OSError) else error
    _warn_once(
        f"What models cost cannot be remembered ({why}); set ANYSAM_CACHE to a folder that can be "
        "written."
    )


@cache
def _warn_once(words: str) -> None:
    warnings.warn(words, stacklevel=2)


def _synchronize(device: torch.device) -> None:
    """Wait for what a graphics card still computes."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _memory_meter(model: PromptableModel) -> _CudaMeter | _MpsMeter | _GrowthMeter:
    if model.device.type == "cuda":
        return _CudaMeter(model.device)
    if model.device.type == "mps":
        return _MpsMeter()
    return _GrowthMeter(_weight_bytes(model))


class _CudaMeter:
    """The most memory that torch has allocated on a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.nbytes = 0

    def __enter__(self) -> Self:
        import torch

        torch.cuda.reset_peak_memory_stats(self._device)
        return self

    def __exit__(self, *_: object) -> None:
        import torch

        self.nbytes = torch.cuda.max_memory_allocated(self._device)


class _MpsMeter:
    """What the driver holds for torch on Apple's graphics; it keeps no record of the most."""

    def __init__(self) -> None:
        self.nbytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        import torch

        self.nbytes = torch.mps.driver_allocated_memory()


class _GrowthMeter:
    """How much this process grows, sampled by a thread, and the bytes of a network's weights."""

    def __init__(self, weights: int) -> None:
        import psutil

        self._weights = weights
        self._process = psutil.Process()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="anysam-memory", daemon=True)
        self.nbytes = 0

    def __enter__(self) -> Self:
        self._before = self._most = self._resident()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._most = max(self._most, self._resident())
        self.nbytes = self._weights + self._most - self._before

    def _sample(self) -> None:
        while not self._over.wait(_SAMPLE_SECONDS):
            self._most = max(self._most, self._resident())

    def _resident(self) -> int:
        return int(self._process.memory_info().rss)


def _weight_bytes(model: PromptableModel) -> int:
    """Return the bytes of the parameters of every network that a model holds."""
    import torch

    networks = (value for value in vars(model).values() if isinstance(value, torch.nn.Module))
    return sum(p.numel() * p.element_size() for network in networks for p in network.parameters())
