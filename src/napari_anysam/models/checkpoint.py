"""Reading checkpoint files as data: nothing in a file is ever executed.

PyTorch files (zip and legacy) go through ``torch.load(weights_only=True)``, whose unpickler builds
tensors and plain containers only, or else through the one of ``models/restricted_pickle.py``, which
leaves out the bookkeeping of a training run. safetensors files hold no code at all. Which of them a
file is is told by its first bytes.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_anysam.errors import CheckpointError, ModelNotFoundError
from napari_anysam.models.pickled_module import PickledModule
from napari_anysam.models.restricted_pickle import restricted_pickle
from napari_anysam.models.transformers_layout import official_layout

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from torch import Tensor

__all__ = ["Checkpoint", "file_sha256", "read_checkpoint"]

# What training scripts wrap a state dict in, and prefix its names with.
_WRAPPERS = ("model", "state_dict", "model_state", "model_state_dict")
_PREFIXES = ("module.", "sam.", "model.")

# Where ultralytics keeps a whole network: its moving average, if there is one, is what predicts
# (ultralytics nn/tasks.py load_checkpoint).
_NETWORKS = ("ema", "model")

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_LARGEST_HEADER = 100_000_000  # the safetensors format's own limit


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """The tensors of a file, unwrapped and in the layout of the official code.

    Parameters
    ----------
    path : Path
        Where it was read.
    tensors : dict of str to tensor
        On the CPU, possibly memory-mapped from the file: copy them before the file changes.
        Names and shapes are those of the official code, also where transformers wrote the file.
    """

    path: Path
    tensors: dict[str, Tensor]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor by its name."""
        return {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}

    @property
    def parameters(self) -> int:
        """Number of all elements."""
        return sum(tensor.numel() for tensor in self.tensors.values())


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a PyTorch or safetensors file.

    Raises
    ------
    ModelNotFoundError
        If there is no such file.
    CheckpointError
        If it cannot be read as plain tensors; the message says what it is instead.
    """
    path = Path(path)
    start = _read_start(path)
    content = _reader(path, start)(path)
    tensors = _unwrap(path, content)
    try:
        return Checkpoint(path, official_layout(tensors))
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be loaded. {error}") from error


_HASHES: dict[tuple[str, int, int], str] = {}


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file in hex; remembered while its size and time stay the same."""
    path = Path(path).resolve()
    status = path.stat()
    key = (str(path), status.st_size, status.st_mtime_ns)
    if key not in _HASHES:
        with path.open("rb") as file:
            _HASHES[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _HASHES[key]


def _read_start(path: Path) -> bytes:
    if path.is_dir():
        raise CheckpointError(
            f"{path} is a folder; choose the .pt, .pth or .safetensors file inside it."
        )
    if not path.exists():
        raise ModelNotFoundError(f"There is no file {path}; check its path.")
    try:
        with path.open("rb") as file:
            return file.read(1024)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}); check its permissions."
        ) from error


def _reader(path: Path, start: bytes) -> Callable[[Path], Any]:
    """Choose how to read a file by its first bytes."""
    if not start:
        raise CheckpointError(f"{path} is empty; download it again.")
    if start.startswith(_ZIP):
        return _read_zip
    if _is_safetensors(start):
        return _read_safetensors
    if start.startswith(_PICKLE):
        return _read_legacy
    raise CheckpointError(f"{path} is no checkpoint but {_describe(start)}")


def _is_safetensors(start: bytes) -> bool:
    """See the length of a JSON header, little endian, and the header's first character."""
    length = int.from_bytes(start[:8], "little")
    return len(start) > 8 and 2 <= length <= _LARGEST_HEADER and start[8:9] == b"{"


def _describe(start: bytes) -> str:
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<!--")):
        return "a web page: its download was answered by a login or error page; download it again."
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer; fetch the file itself with: git lfs pull."
    if text.startswith(b"{") and b'"weight_map"' in text:
        return (
            "the index of weights in several files, which are not read; save them in one file with "
            "transformers' save_pretrained(..., max_shard_size='50GB')."
        )
    if text.startswith((b"<?xml", b"{", b"[")) or _is_text(start):
        return "a text file; choose a .pt, .pth or .safetensors file."
    return "an unknown or damaged file; choose a .pt, .pth or .safetensors file."


def _is_text(start: bytes) -> bool:
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in start)
    return printable == len(start)


def _read_zip(path: Path) -> Any:
    if not zipfile.is_zipfile(path):  # the directory at its end is missing
        raise _truncated(path)
    with zipfile.ZipFile(path) as archive:
        if any(name.endswith("/constants.pkl") for name in archive.namelist()):
            raise CheckpointError(
                f"{path} is a TorchScript program and not a checkpoint, and is not run; "
                "choose the file with the weights alone."
            )
    return _read_pickle(path, mmap=True)


def _read_legacy(path: Path) -> Any:
    return _read_pickle(path, mmap=False)


def _read_pickle(path: Path, *, mmap: bool) -> Any:
    """Read tensors alone; if there is more, read it again and leave bookkeeping out."""
    import torch

    def load() -> Any:
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
        except pickle.UnpicklingError:
            return torch.load(
                path,
                map_location="cpu",
                weights_only=False,  # the pickle module decides instead
                mmap=mmap,
                pickle_module=restricted_pickle,
            )

    return _guarded(path, load)


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except SafetensorError as error:
        if "incomplete" in str(error).lower():
            raise _truncated(path) from error
        raise CheckpointError(
            f"{path} is a damaged safetensors file ({error}); download it again."
        ) from error


def _guarded(path: Path, load: Callable[[], Any]) -> Any:
    """Run torch's loader and turn whatever a bad file makes it raise into one clear error."""
    try:
        return load()
    except pickle.UnpicklingError as error:
        raise _unpickling_error(path, error) from error
    except EOFError as error:
        raise _truncated(path) from error
    except MemoryError as error:
        raise CheckpointError(
            f"{path} does not fit into memory; close other programs or choose a smaller model."
        ) from error
    except Exception as error:  # torch raises nearly any type on damaged content
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path} is damaged or no checkpoint ({words[:200]}); download it again."
        ) from error


def _unpickling_error(path: Path, error: pickle.UnpicklingError) -> CheckpointError:
    """Tell a file that asks for code from one whose bytes are damaged."""
    words = str(error)
    # torch/_weights_only_unpickler.py names what it refused in these two ways.
    found = re.search(r"(?:GLOBAL|global|function|class) `?([\w.]+\.[\w.]+)`?", words)
    changes = "tries to change" in words  # models/restricted_pickle.py
    if found or changes or ("Unsupported" in words and "operand" not in words.lower()):
        name = f" ({found[1]})" if found else ""
        return CheckpointError(
            f"{path} was refused: it holds Python objects{name} and not only tensors, and opening "
            "them could run foreign code; ask its author for a safetensors file."
        )
    return CheckpointError(f"{path} is damaged or no checkpoint; download it again.")


def _truncated(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is cut short; download it again.")


def _unwrap(path: Path, content: Any) -> dict[str, Tensor]:
    """Find the state dict inside the wrappers and remove prefixes that all its names share."""
    network = _whole_network(content)
    if network is not None:
        content = _guarded(path, network.tensors)
    while isinstance(content, Mapping):
        inner = next((content[key] for key in _WRAPPERS if _holds_state(content.get(key))), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(
            f"{path} holds no named tensors; choose a file with the weights of a model."
        )
    _check_values(path, content)
    return _strip_prefixes({str(name): tensor for name, tensor in content.items()})


def _whole_network(content: Any) -> PickledModule | None:
    if isinstance(content, Mapping):
        places = (content.get(key) for key in _NETWORKS)
        return next((one for one in places if isinstance(one, PickledModule)), None)
    return content if isinstance(content, PickledModule) else None


def _holds_state(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)


def _check_values(path: Path, content: Mapping[Any, Any]) -> None:
    import torch

    for name, value in content.items():
        if not isinstance(value, torch.Tensor):
            raise CheckpointError(
                f"{path} holds {name!r} of type {type(value).__name__} among its tensors; "
                "choose a file with the weights of a model."
            )
        if value.layout is not torch.strided or value.is_quantized or value.is_complex():
            kind = str(value.dtype if value.is_complex() or value.is_quantized else value.layout)
            raise CheckpointError(
                f"{path} holds {name!r} as {kind.removeprefix('torch.')}; "
                "choose a file with ordinary weights, neither quantised nor sparse."
            )


def _strip_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    while True:
        prefix = next((p for p in _PREFIXES if all(n.startswith(p) for n in tensors)), None)
        if prefix is None:
            return tensors
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
