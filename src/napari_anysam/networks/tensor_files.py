"""Tensors on disk: one safetensors file, written whole, with a checksum of all that it says."""

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

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DamagedFileError", "read_tensors", "write_tensors"]


class DamagedFileError(ValueError):
    """What a file holds is not what was written; its reader says what to do about it."""


def write_tensors(
    path: Path, tensors: dict[str, torch.Tensor], metadata: Mapping[str, str]
) -> None:
    """Write tensors to a file; a file of that name is replaced at once or not at all.

    Parameters
    ----------
    path : Path
        In a folder that is there.
    tensors : dict of str to tensor
        On the CPU, contiguous, none a part of another.
    metadata : mapping of str to str
        Without the name "checksum".

    Raises
    ------
    OSError
        If it cannot be written.
    """
    said = dict(metadata)
    said["checksum"] = _checksum(tensors, said)
    with NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", delete=False) as file:
        part = Path(file.name)
        try:
            # Not by save_file: it reports a full disk as an error of its own.
            file.write(save(tensors, said))
            file.close()
            os.replace(part, path)
        except BaseException:
            file.close()  # Windows deletes no open file
            part.unlink()
            raise


def read_tensors(path: Path, form: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read tensors, on the CPU, and the metadata beside them.

    Parameters
    ----------
    path : Path
        A file of ``write_tensors``.
    form : str
        What its metadata have to say under "format".

    Raises
    ------
    DamagedFileError
        If it is of another kind, or not as it was written. The message goes on after the path.
    OSError
        If it cannot be read.
    """
    kind = form.rsplit(maxsplit=1)[-1]
    # Read at once, as another process may replace the file: safe_open opens it twice.
    content = path.read_bytes()
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise DamagedFileError(f"is damaged, or no {kind} ({error})") from error
    metadata = _metadata(content)
    if metadata.get("format") != form:
        raise DamagedFileError(f"is no {kind}")
    if metadata.get("checksum") != _checksum(tensors, metadata):
        raise DamagedFileError("is damaged")
    return tensors, metadata


def _metadata(content: bytes) -> dict[str, str]:
    """Return what a safetensors file says beside its tensors: its header is JSON after 8 bytes."""
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
    return metadata


def _checksum(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    """Return a CRC-32 of all that a file says; the format only notices a wrong length."""
    crc = 0
    for key in sorted(metadata.keys() - {"checksum"}):
        crc = zlib.crc32(f"{key}={metadata[key]};".encode(), crc)
    for name in sorted(tensors):
        tensor = tensors[name]
        crc = zlib.crc32(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode(), crc)
        if tensor.numel():  # one without numbers has strides of 0, and no view of its bytes
            crc = zlib.crc32(tensor.flatten().view(torch.uint8).numpy().data, crc)
    return f"{crc:08x}"
