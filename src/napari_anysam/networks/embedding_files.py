"""Embeddings on disk, one safetensors file each.

The file's metadata say which model made it, of how large an image, how its tensors lie in memory,
and a checksum of all that. The order in memory counts: kernels round differently for another one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from napari_anysam.errors import EmbeddingError
from napari_anysam.networks.protocol import PROTOCOL_VERSION, Embedding
from napari_anysam.networks.tensor_files import DamagedFileError, read_tensors, write_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from napari_anysam.networks.protocol import PromptableModel

__all__ = ["load_embedding", "save_embedding"]

_FORMAT = "napari-anysam embedding"


def save_embedding(embedding: Embedding, path: Path | str) -> None:
    """Write an embedding to a file; a file of that name is replaced at once or not at all.

    Parameters
    ----------
    embedding : Embedding
        On any device.
    path : Path or str
        In a folder that is there.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path = Path(path)
    orders = {name: _order(tensor) for name, tensor in embedding.tensors.items()}
    tensors = {
        name: tensor.cpu().permute(orders[name]).contiguous()
        for name, tensor in embedding.tensors.items()
    }
    metadata = {
        "format": _FORMAT,
        "protocol": str(PROTOCOL_VERSION),
        "model_key": embedding.model_key,
        "image_shape": json.dumps(embedding.image_shape),
        "orders": json.dumps(orders),
    }
    write_tensors(path, tensors, metadata)


def load_embedding(path: Path | str, model: PromptableModel) -> Embedding:
    """Read an embedding that a model made, on the model's device.

    Parameters
    ----------
    path : Path or str
        A file of ``save_embedding``.
    model : PromptableModel
        Which shall decode it.

    Raises
    ------
    EmbeddingError
        If the file is damaged, no embedding, or of another model, precision or version.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    try:
        tensors, metadata = read_tensors(path, _FORMAT)
    except DamagedFileError as error:
        raise EmbeddingError(f"{path} {error}; delete it and encode the image again.") from error
    _check(path, metadata, model)
    height, width = json.loads(metadata["image_shape"])
    for name, order in json.loads(metadata["orders"]).items():
        places = sorted(range(len(order)), key=order.__getitem__)
        tensors[name] = tensors[name].permute(places)
    return Embedding(tensors, (height, width), model.key).for_model(model)


def _order(tensor: torch.Tensor) -> list[int]:
    """Return the axes of a tensor in the order in which they lie in memory, outermost first."""
    return sorted(range(tensor.ndim), key=tensor.stride, reverse=True)


def _check(path: Path, metadata: Mapping[str, str], model: PromptableModel) -> None:
    fault = ""
    if metadata["protocol"] != str(PROTOCOL_VERSION):
        fault = "was made by another version of this package"
    elif metadata["model_key"] != model.key:
        fault = f"was not made by {model.name} as it is loaded now"
    if fault:
        raise EmbeddingError(f"{path} {fault}; delete it and encode the image again.")
