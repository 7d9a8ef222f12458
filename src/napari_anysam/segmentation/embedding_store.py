"""Embeddings on disk, shared by all processes of a user, under a byte budget.

One file per embedding, named by what it was made of: the conditioned pixels, and the model with its
weights and precision and the version of the protocol. A file appears whole or not at all and is
checked when it is read, so it takes neither an index nor a lock: processes may write, read and
evict at the same time, and be killed at any moment. Its time of modification says when it was used
last.

The package diskcache was not taken: its index is an SQLite file, which network file systems damage
(grantjenks/python-diskcache#345), and by default it unpickles what it reads (CVE-2025-69872).
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.errors import AnySAMWarning, EmbeddingError
from napari_anysam.networks.protocol import PROTOCOL_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_anysam.networks.protocol import Embedding, PromptableModel

__all__ = ["EmbeddingStore", "content_name"]

_SUFFIX = ".safetensors"
_FILLED = 0.9
"""Part of the budget that is left filled; the rest is for what is written until the next look."""

_LOOK_AFTER = 0.05
"""Part of the budget after whose writing the folder is looked through again."""

_ABANDONED_SECONDS = 3600.0
"""Unfinished files of this age belong to processes that were killed."""


def content_name(model: PromptableModel, pixels: NDArray[np.uint8]) -> str:
    """Return what names an embedding: a digest of the conditioned pixels and of the model.

    Parameters
    ----------
    model : PromptableModel
        Its key holds weights, precision and input size. The device does not count.
    pixels : uint8 array (H, W, 3)
        As they are encoded; contrast and gamma are in them.
    """
    digest = hashlib.blake2b(digest_size=20)
    digest.update(f"{PROTOCOL_VERSION}:{model.key}:{pixels.shape}:".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


class EmbeddingStore:
    """Embeddings by the name of their content, in a folder.

    Parameters
    ----------
    folder : Path
        Made when something is kept; holds nothing else.
    max_bytes : int
        Budget for its files; those that were not used for longest go first.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self._unseen: int | None = None
        self._has_warned = False

    @property
    def room(self) -> int:
        """Bytes of embeddings that stay."""
        return int(_FILLED * self.max_bytes)

    @property
    def nbytes(self) -> int:
        """Bytes of all files in the folder now."""
        return sum(size for _, size, _ in self._files())

    def get(self, name: str, model: PromptableModel) -> Embedding | None:
        """Return an embedding on the model's device and mark it as used, or None.

        A damaged file is deleted; a disk that refuses is warned of.
        """
        try:
            return self._read(name, model)
        except EmbeddingError as error:
            self.warn(error)
            return None

    def holds(self, name: str) -> bool:
        """Tell whether an embedding is there, without reading it, and mark it as used."""
        path = self._path(name)
        if not path.exists():
            return False
        self._touch(path)
        return True

    def put(self, name: str, embedding: Embedding) -> None:
        """Keep an embedding, unless it is larger than the room; older ones may have to go.

        Raises
        ------
        EmbeddingError
            If the disk refuses.
        """
        from napari_anysam.networks.embedding_files import save_embedding

        if embedding.nbytes > self.room:
            return
        with self._disk_errors("written"):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room(embedding.nbytes)
            save_embedding(embedding, self._path(name))

    def warn(self, error: EmbeddingError) -> None:
        """Warn of a disk that refuses, the first time."""
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(str(error), AnySAMWarning, stacklevel=2)

    def _read(self, name: str, model: PromptableModel) -> Embedding | None:
        from napari_anysam.networks.embedding_files import load_embedding

        path = self._path(name)
        with self._disk_errors("read"):
            try:
                embedding = load_embedding(path, model)
            except FileNotFoundError:
                return None
            except EmbeddingError:
                path.unlink(missing_ok=True)
                return None
        self._touch(path)
        return embedding

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{_SUFFIX}"

    def _make_room(self, nbytes: int) -> None:
        """Delete what was not used for longest, if enough was written since the last look."""
        if self._unseen is not None and self._unseen + nbytes <= _LOOK_AFTER * self.max_bytes:
            self._unseen += nbytes
            return
        self._unseen = 0
        total = nbytes
        oldest_first = sorted(self._files(), key=lambda file: file[2])
        total += sum(size for _, size, _ in oldest_first)
        killed_before = time.time() - _ABANDONED_SECONDS
        for path, size, used in oldest_first:
            is_part = path.suffix != _SUFFIX
            if used < killed_before if is_part else total > self.room:
                with suppress(PermissionError):  # Windows deletes no file that is being read
                    path.unlink(missing_ok=True)
                    total -= size

    def _files(self) -> Iterator[tuple[Path, int, float]]:
        """List path, bytes and time of last use, of finished and unfinished files."""
        if not self.folder.is_dir():
            return
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process was faster
                    found = entry.stat()
                    yield Path(entry.path), found.st_size, found.st_mtime

    @staticmethod
    def _touch(path: Path) -> None:
        # Evicted a moment ago, or somebody else's: then it only goes a little too early.
        with suppress(FileNotFoundError, PermissionError):
            os.utime(path)

    @contextmanager
    def _disk_errors(self, done: str) -> Iterator[None]:
        """Turn the errors of a disk into one sentence."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise EmbeddingError(
                f"Embeddings in {self.folder} cannot be {done} ({reason}); make room there, move "
                "the setting cache to another folder, or set embedding_disk_gb to 0."
            ) from error
