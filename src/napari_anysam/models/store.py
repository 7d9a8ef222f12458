"""Where weights lie on this computer, and which models are there.

A model is looked for in the package, in the user's folder of models, in a folder that a site
shares, and in the cache of Hugging Face's hub, in that order. ``models/download.py`` fetches.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock

from napari_anysam.errors import AnySAMError, ModelNotFoundError
from napari_anysam.models.catalogue import HASH_TRUST, find_model
from napari_anysam.models.checkpoint import file_sha256
from napari_anysam.models.replacing import replacing
from napari_anysam.settings import config_folder, read_settings

if TYPE_CHECKING:
    import os

    from napari_anysam.models.catalogue import ModelSpec

__all__ = ["ModelStore", "builtin_folder", "default_store", "hash_trust"]

_REGISTER = "local_models.json"
_DOWNLOADS = "downloads.json"
_HUB_ADDRESS = re.compile(r"https://huggingface\.co/([^/]+/[^/]+)/resolve/([^/]+)/([^?]+)")


@dataclass(frozen=True, slots=True)
class ModelStore:
    """A folder of weights, and a list of the files that the user added from elsewhere.

    Parameters
    ----------
    models_folder : Path
        Catalogue models lie here under their official file names. It need not exist.
    config_folder : Path
        The list of added files lies here. It need not exist.
    site_folder : Path, optional
        Models that a site shares; nothing is written here.
    """

    models_folder: Path
    config_folder: Path
    site_folder: Path | None = None

    def find(self, spec: ModelSpec) -> Path | None:
        """Return where a catalogue model lies, or None if it is not on disk."""
        if spec.builtin:
            path = builtin_folder() / spec.file
            return path if path.is_file() else None
        folders = [self.models_folder, *([] if self.site_folder is None else [self.site_folder])]
        paths = (folder / spec.file for folder in folders)
        return next((path for path in paths if path.is_file()), None) or _in_hub_cache(spec)

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
        if not spec.urls:
            return (
                f"{spec.title} is not on this computer and has no direct address; get {spec.file} "
                f"from {spec.page} and put it into {self.models_folder}."
            )
        return (
            f"{spec.title} is not on this computer; download it in the Model manager or with "
            f"'anysam models download {spec.name}', or {_by_hand(spec)} {self.models_folder}."
        )

    def can_delete(self, spec: ModelSpec) -> bool:
        """Tell whether its file lies in the user's own folder of models."""
        return not spec.builtin and (self.models_folder / spec.file).is_file()

    def delete(self, spec: ModelSpec) -> None:
        """Delete a downloaded model from the user's own folder; models elsewhere are left alone.

        Raises
        ------
        ModelNotFoundError
            If it is not in that folder; the message says where it is.
        """
        path = self.find(spec)
        if not self.can_delete(spec):
            where = "is not on this computer" if path is None else f"lies in {path.parent}"
            raise ModelNotFoundError(
                f"{spec.title} {where}; only models in {self.models_folder} can be deleted here."
            )
        (self.models_folder / spec.file).unlink()

    def record_download(self, spec: ModelSpec, url: str) -> None:
        """Remember where a file came from, and the hash of one whose hash nobody published."""
        path = self.models_folder / spec.file
        entry = {
            "url": url,
            "sha256": spec.sha256 or file_sha256(path),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with FileLock(f"{self._downloads}.lock"):
            self._write_json(self._downloads, self._read_downloads() | {spec.file: entry})

    def recorded_sha256(self, spec: ModelSpec) -> str | None:
        """Return the hash that the file had when it was downloaded, if it was."""
        entry = self._read_downloads().get(spec.file)
        return None if entry is None else str(entry["sha256"])

    def download_date(self, spec: ModelSpec) -> str | None:
        """Return the day, YYYY-MM-DD in UTC, on which the file was downloaded, if it was."""
        entry = self._read_downloads().get(spec.file)
        return None if entry is None else str(entry["date"])[:10]

    def added(self) -> tuple[Path, ...]:
        """Return the files that the user added, in that order, whether or not they still exist.

        Raises
        ------
        AnySAMError
            If the list on disk is damaged.
        """
        return tuple(map(Path, self._read_added().files))

    def add(self, path: str | os.PathLike[str], variant: str | None = None) -> None:
        """Remember a checkpoint file that lies anywhere, and which member of a family it is.

        Adding it twice changes nothing but the variant, if one is given.

        Parameters
        ----------
        path : str or path
            The file.
        variant : str, optional
            Catalogue name of what it is, where its content cannot tell
            (``models.recognition.possible_variants``).

        Raises
        ------
        ModelNotFoundError
            If the catalogue holds no such variant, or there is no file to which it could belong.
        """
        path = Path(path).absolute()
        added = self._read_added()
        if str(path) not in added.files:
            added.files.append(str(path))
        if variant is not None:
            added.variants[str(path)] = _answer(path, variant)
        self._write_added(added)

    def remembered_variant(self, path: str | os.PathLike[str]) -> str | None:
        """Return what an added file was said to be, as long as its content is what it was then."""
        path = Path(path).absolute()
        answer = self._read_added().variants.get(str(path))
        if answer is None or not path.is_file() or answer["sha256"] != file_sha256(path):
            return None
        return answer["variant"]

    def remove(self, path: str | os.PathLike[str]) -> None:
        """Forget an added file; the file itself stays."""
        path = Path(path).absolute()
        added = self._read_added()
        added.files = [file for file in added.files if file != str(path)]
        added.variants.pop(str(path), None)
        self._write_added(added)

    @property
    def _register(self) -> Path:
        return self.config_folder / _REGISTER

    @property
    def _downloads(self) -> Path:
        return self.models_folder / _DOWNLOADS

    def _read_downloads(self) -> dict[str, dict[str, str]]:
        try:
            content = json.loads(self._downloads.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:  # provenance only: a damaged record must not stand in a download's way
            return {}
        return content if isinstance(content, dict) else {}

    def _read_added(self) -> _Added:
        try:
            text = self._register.read_text(encoding="utf-8")
        except FileNotFoundError:
            return _Added([], {})
        try:
            content = json.loads(text)
            answers = content.get("variants", {})  # at first there was only the list of files
            return _Added(
                [str(file) for file in content["files"]],
                {
                    str(file): {key: str(answer[key]) for key in ("variant", "sha256")}
                    for file, answer in answers.items()
                },
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AnySAMError(
                f"The list of added models in {self._register} is damaged; delete that file and "
                "add the models again."
            ) from error

    def _write_added(self, added: _Added) -> None:
        self._write_json(self._register, asdict(added))

    def _write_json(self, path: Path, content: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@dataclass(slots=True)
class _Added:
    """The list of added files, and what is said of some: a variant, and the hash it was said of."""

    files: list[str]
    variants: dict[str, dict[str, str]]


def _answer(path: Path, variant: str) -> dict[str, str]:
    name = find_model(variant).name
    if not path.is_file():
        raise ModelNotFoundError(f"There is no file {path}; check its path.")
    return {"variant": name, "sha256": file_sha256(path)}


def hash_trust(spec: ModelSpec, store: ModelStore) -> str:
    """Say in a few words how far the hash is trusted that a model's file is compared with."""
    if spec.builtin:
        return "comes with the package"
    if spec.sha256 is not None:
        return HASH_TRUST[spec.sha256_trust]
    day = store.download_date(spec)
    if day is None:
        return "none yet"
    return f"recorded at the first download on {day}; nobody publishes one"


def default_store() -> ModelStore:
    """Return the store of this user, where the settings say."""
    settings = read_settings()
    return ModelStore(settings.models, config_folder(), settings.site_models)


def _in_hub_cache(spec: ModelSpec) -> Path | None:
    """Return the file if a program on this computer has fetched it from Hugging Face's hub."""
    from huggingface_hub import try_to_load_from_cache

    for url in spec.urls:
        address = _HUB_ADDRESS.match(url)
        if address is not None:
            repository, revision, file = address.groups()
            found = try_to_load_from_cache(repository, file, revision=revision)
            if isinstance(found, str):
                return Path(found)
    return None


def _by_hand(spec: ModelSpec) -> str:
    """Say what a browser fetches, and its name where the address would give it another one."""
    url = spec.urls[0]
    name = PurePosixPath(urlsplit(url).path).name
    if name == spec.file:
        return f"put {spec.file} ({url}) into"
    if name == f"{spec.file}.zip":
        return f"unpack {url} and put {spec.file} into"
    return f"save {url} as {spec.file} in"


def builtin_folder() -> Path:
    """Return the folder of the weights that come with the package."""
    return Path(str(files("napari_anysam.models").joinpath("builtin")))
