"""Embeddings on disk, one safetensors file each.

The file's metadata say which model made it, of how large an image, how its tensors lie in memory,
and a checksum of all that. The order in memory counts: kernels round differently for another one.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from napari_anysam.errors import EmbeddingError
from napari_anysam.networks.protocol import PROTOCOL_VERSION, Embedding

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    metadata["checksum"] = _checksum(tensors, metadata)
    with NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", delete=False) as file:
        part = Path(file.name)
        try:
            # Not by save_file: it reports a full disk as an error of its own.
            file.write(save(tensors, metadata))
            file.close()
            os.replace(part, path)
        except BaseException:
            file.close()  # Windows deletes no open file
            part.unlink()
            raise


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
    # Read at once, as another process may replace the file: safe_open opens it twice.
    content = path.read_bytes()
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise EmbeddingError(
            f"{path} is damaged, or no embedding ({error}); delete it and encode the image again."
        ) from error
    metadata = _metadata(content)
    _check(path, metadata, tensors, model)
    height, width = json.loads(metadata["image_shape"])
    for name, order in json.loads(metadata["orders"]).items():
        places = sorted(range(len(order)), key=order.__getitem__)
        tensors[name] = tensors[name].permute(places)
    return Embedding(tensors, (height, width), model.key).for_model(model)


def _order(tensor: torch.Tensor) -> list[int]:
    """Return the axes of a tensor in the order in which they lie in memory, outermost first."""
    return sorted(range(tensor.ndim), key=tensor.stride, reverse=True)


def _metadata(content: bytes) -> dict[str, str]:
    """Return what a safetensors file says beside its tensors: its header is JSON after 8 bytes."""
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
    return metadata


def _check(
    path: Path,
    metadata: Mapping[str, str],
    tensors: Mapping[str, torch.Tensor],
    model: PromptableModel,
) -> None:
    fault = ""
    if metadata.get("format") != _FORMAT:
        fault = "is no embedding"
    elif metadata.get("checksum") != _checksum(tensors, metadata):
        fault = "is damaged"
    elif metadata["protocol"] != str(PROTOCOL_VERSION):
        fault = "was made by another version of this package"
    elif metadata["model_key"] != model.key:
        fault = f"was not made by {model.name} as it is loaded now"
    if fault:
        raise EmbeddingError(f"{path} {fault}; delete it and encode the image again.")


def _checksum(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    """Return a CRC-32 of all that a file says; the format only notices a wrong length."""
    crc = 0
    for key in sorted(metadata.keys() - {"checksum"}):
        crc = zlib.crc32(f"{key}={metadata[key]};".encode(), crc)
    for name in sorted(tensors):
        tensor = tensors[name]
        crc = zlib.crc32(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode(), crc)
        crc = zlib.crc32(tensor.flatten().view(torch.uint8).numpy().data, crc)
    return f"{crc:08x}"
