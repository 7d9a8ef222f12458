"""What a support request needs: versions, devices and why they are chosen, folders, models."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib import metadata
from typing import Any

from napari_anysam import __version__

__all__ = ["examine"]

_PACKAGES = (
    "napari", "npe2", "qtpy", "PyQt6", "PySide6", "numpy", "torch", "torchvision", "sam2",
    "segment-anything", "segment-anything-py", "timm", "safetensors", "huggingface-hub",
    "scikit-image", "tifffile", "zarr", "dask",
)  # fmt: skip


def examine() -> dict[str, Any]:
    """Collect it; imports torch.

    Returns
    -------
    dict
        Of plain values, in the order in which people read it: "napari-anysam", "python",
        "system", "packages", "processor", "devices", "precision", "folders", "models",
        "measured".
    """
    return {
        "napari-anysam": __version__,
        "python": f"{platform.python_version()} at {sys.executable}",
        "system": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES if _version(name)},
        "processor": _processor(),
        "devices": _devices(),
        "precision": _precision(),
        "folders": _folders(),
        "models": _models(),
        "measured": _measured(),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> dict[str, Any]:
    import torch

    from napari_anysam.cores import usable_cores

    return {
        "cores": os.cpu_count(),
        "usable cores": usable_cores(),
        "torch threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


def _devices() -> dict[str, Any]:
    import torch

    from napari_anysam.networks.device import choose_device, unused_graphics_card

    device = choose_device("auto")
    why = "torch finds no graphics card" if device.type == "cpu" else "the first that torch can use"
    answer: dict[str, Any] = {"auto": f"{device} ({why})", "torch": torch.__version__}
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(index)
        answer[f"cuda:{index}"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    answer["mps"] = torch.backends.mps.is_available()
    remedy = unused_graphics_card()
    if remedy:
        answer["remedy"] = remedy
    return answer


def _precision() -> dict[str, str]:
    from napari_anysam.networks.device import choose_device, choose_precision

    device = choose_device("auto")
    large = choose_precision("auto", device)
    why = "this device is not faster below it" if large == "fp32" else "faster on this device"
    return {
        "auto, small networks": choose_precision("auto", device, parameters=0),
        "auto, large networks": f"{large} ({why})",
    }


def _folders() -> dict[str, Any]:
    from huggingface_hub.constants import HF_HUB_CACHE

    from napari_anysam.segmentation.stored_cache import user_store
    from napari_anysam.settings import config_folder, read_settings

    settings = read_settings()
    answer = {"settings": str(config_folder()), "hub cache": HF_HUB_CACHE}
    answer |= {name: str(value) for name, value in settings.model_dump().items() if value}
    models = next(path for path in (settings.models, *settings.models.parents) if path.exists())
    answer["free for models"] = f"{shutil.disk_usage(models).free / 1e9:.1f} GB"
    kept = user_store()
    if kept is not None:
        answer["embeddings"] = f"{kept.nbytes / 1e9:.1f} GB of {kept.max_bytes / 1e9:g} GB"
    return answer


def _models() -> dict[str, str]:
    from napari_anysam.models.catalogue import catalogue
    from napari_anysam.models.store import default_store

    store = default_store()
    found = {spec.name: store.find(spec) for spec in catalogue()}
    answer = {name: str(path) for name, path in found.items() if path is not None}
    return answer | {path.name: str(path) for path in store.added()}


def _measured() -> dict[str, str]:
    from napari_anysam.models.measurements import default_measurements

    return {
        f"{one.model}, {one.device}, {one.precision}, threads {one.threads}": one.figures
        for one in default_measurements().all()
    }
