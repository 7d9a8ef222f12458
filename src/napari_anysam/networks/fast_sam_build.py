"""FastSAM's network: ultralytics' YOLOv8 for segmentation, with one class.

ultralytics comes under AGPL-3.0 and is no dependency of this package but an extra, "fastsam".
Nothing of it but the network is used: its own loader unpickles a checkpoint freely.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch

from napari_anysam.errors import CapabilityError, CheckpointError
from napari_anysam.models.architecture import identify
from napari_anysam.networks.weights import fill_network

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["build_network", "import_ultralytics"]

# Read once, while ultralytics is imported (its utils/__init__.py): without them it asks the domain
# name system whether there is a network, counts every use with Google Analytics, installs packages,
# and writes to stdout.
_QUIET = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}


def build_network(tensors: Mapping[str, torch.Tensor], name: str, device: torch.device) -> Any:
    """Build the network that the tensors' shapes describe, and fill it with them.

    Parameters
    ----------
    tensors : mapping of str to tensor
        A complete state dict of YOLOv8, whose names begin with the number of the layer.
    name : str
        For messages.
    device : torch.device
        Where the network shall compute.

    Returns
    -------
    ultralytics.nn.tasks.SegmentationModel
        Ready to predict. Its last layer gives predictions (1, 37, A) and prototypes (1, 32, h, w).

    Raises
    ------
    CapabilityError
        If ultralytics is not installed.
    CheckpointError
        If a tensor is missing, unexpected or of another shape.
    """
    scale = _scale(tensors, name)
    network = _empty_network(scale)
    network.to(device)
    fill_network(network, tensors, name, device, file_name=lambda key: key.removeprefix("model."))
    network.fuse(verbose=False)  # normalisation into convolutions: fewer steps, the same result
    network.model[-1].export = True  # leaves out what only training needs
    return network


def _scale(tensors: Mapping[str, torch.Tensor], name: str) -> str:
    try:
        return identify({key: tuple(tensor.shape) for key, tensor in tensors.items()}).size
    except CheckpointError as error:
        raise CheckpointError(
            f"The tensors of {name} do not describe a FastSAM network; get the complete file."
        ) from error


def _empty_network(scale: str) -> Any:
    tasks = import_ultralytics("nn.tasks")
    configuration = tasks.yaml_model_load(f"yolov8{scale}-seg.yaml") | {"nc": 1}
    return tasks.SegmentationModel(configuration, verbose=False)


def import_ultralytics(module: str) -> Any:
    """Import a module of ultralytics so that nothing is sent, printed, changed or left behind.

    Parameters
    ----------
    module : str
        Its name without "ultralytics.".

    Raises
    ------
    CapabilityError
        If ultralytics is not installed; the message names its licence and the command.
    """
    try:
        with _keeping_to_itself():
            return import_module(f"ultralytics.{module}")
    except ImportError as error:
        raise CapabilityError(
            f"FastSAM needs the package ultralytics, which cannot be imported ({error}). It comes "
            "under the licence AGPL-3.0; if you agree to that, install it with: "
            'pip install "napari-anysam[fastsam]"'
        ) from error


@contextmanager
def _keeping_to_itself() -> Iterator[None]:
    """Undo what an import of ultralytics does beside it.

    It sets OMP_NUM_THREADS for this process and those it starts, replaces ``torch.save``, and
    writes a settings file into the user's folder.
    """
    variables, save = dict(os.environ), torch.save
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(_QUIET, YOLO_CONFIG_DIR=folder)
        try:
            yield
        finally:
            torch.save = save
            for changed in [n for n in os.environ if os.environ[n] != variables.get(n)]:
                del os.environ[changed]
            os.environ.update({n: v for n, v in variables.items() if n not in os.environ})
