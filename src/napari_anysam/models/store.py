"""Where weights lie on this computer, and which models are there.

Nothing is downloaded here yet: a model that is not on disk is named with the address to get it
from and the folder to put it into.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from napari_anysam.errors import AnySAMError, ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_anysam.models.catalogue import ModelSpec

__all__ = ["CONFIG_VARIABLE", "MODELS_VARIABLE", "ModelStore", "default_store"]

MODELS_VARIABLE = "ANYSAM_MODELS"
CONFIG_VARIABLE = "ANYSAM_CONFIG"

_APPLICATION = "napari-anysam"
_REGISTER = "local_models.json"


@dataclass(frozen=True, slots=True)
class ModelStore:
    """A folder of weights, and a list of the files that the user added from elsewhere.

    Parameters
    ----------
    models_folder : Path
        Catalogue models lie here under their official file names. It need not exist.
    config_folder : Path
        The list of added files lies here. It need not exist.
    """

    models_folder: Path
    config_folder: Path

    def find(self, spec: ModelSpec) -> Path | None:
        """Return where a catalogue model lies, or None if it is not on disk."""
        path = builtin_folder() / spec.file if spec.builtin else self.models_folder / spec.file
        return path if path.is_file() else None

    def locate(self, spec: ModelSpec) -> Path:
        """Return where a catalogue model lies.

        Raises
        ------
        ModelNotFoundError
            If it is not on disk; the message says where to get it and where to put it.
        """
        path = self.find(spec)
        if path is None:
            raise ModelNotFoundError(self.remedy(spec))
        return path

    def remedy(self, spec: ModelSpec) -> str:
        """Say in one sentence how to get a model that is not on disk."""
        if spec.builtin:
            return (
                f"The weights of {spec.name} ({spec.file}) are missing from this installation; "
                "install napari-anysam again."
            )
        return (
            f"{spec.title} is not on this computer; download {spec.urls[0]} and put it into "
            f"{self.models_folder}, or load the file by its path."
        )

    def added(self) -> tuple[Path, ...]:
        """Return the files that the user added, in that order, whether or not they still exist.

        Raises
        ------
        AnySAMError
            If the list on disk is damaged.
        """
        try:
            text = self._register.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ()
        try:
            entries = json.loads(text)["files"]
            return tuple(Path(str(entry)) for entry in entries)
        except (ValueError, KeyError, TypeError) as error:
            raise AnySAMError(
                f"The list of added models in {self._register} is damaged; delete that file and "
                "add the models again."
            ) from error

    def add(self, path: str | os.PathLike[str]) -> None:
        """Remember a checkpoint file that lies anywhere; adding it twice changes nothing."""
        path = Path(path).resolve()
        before = self.added()
        if path not in before:
            self._write((*before, path))

    def remove(self, path: str | os.PathLike[str]) -> None:
        """Forget an added file; the file itself stays."""
        path = Path(path).resolve()
        self._write(tuple(entry for entry in self.added() if entry != path))

    @property
    def _register(self) -> Path:
        return self.config_folder / _REGISTER

    def _write(self, paths: tuple[Path, ...]) -> None:
        self.config_folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"files": [str(path) for path in paths]}, indent=2)
        with _replacing(self._register) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


def default_store() -> ModelStore:
    """Return the store of this user; ANYSAM_MODELS and ANYSAM_CONFIG move its two folders."""
    models = os.environ.get(MODELS_VARIABLE)
    config = os.environ.get(CONFIG_VARIABLE)
    return ModelStore(
        Path(models) if models else platformdirs.user_data_path(_APPLICATION, False) / "models",
        Path(config) if config else platformdirs.user_config_path(_APPLICATION, False),
    )


def builtin_folder() -> Path:
    """Return the folder of the weights that come with the package."""
    return Path(str(files("napari_anysam.models").joinpath("builtin")))


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Give a temporary path beside the target; on success it takes the target's place at once."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
