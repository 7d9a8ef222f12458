"""Embeddings on disk, one safetensors file each.

The file's metadata say which model made it, of how large an image, and a checksum of all that.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

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
    tensors = {name: one.cpu().contiguous() for name, one in embedding.tensors.items()}
    metadata = {
        "format": _FORMAT,
        "protocol": str(PROTOCOL_VERSION),
        "model_key": embedding.model_key,
        "image_shape": json.dumps(embedding.image_shape),
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
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise EmbeddingError(
            f"{path} is damaged, or no embedding ({error}); delete it and encode the image again."
        ) from error
    _check(path, metadata, tensors, model)
    height, width = json.loads(metadata["image_shape"])
    return Embedding(tensors, (height, width), model.key).for_model(model)


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
