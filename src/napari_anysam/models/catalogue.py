"""The models this package knows: frozen records read from ``catalogue.toml``.

Facts are data. A new model is a new entry in the TOML file, not a line of code here.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from napari_anysam.errors import ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "DEFAULT_MODEL",
    "HASH_TRUST",
    "IMAGE_KINDS",
    "ModelSpec",
    "catalogue",
    "check_kind",
    "find_by_sha256",
    "find_model",
    "names",
    "parse_catalogue",
]

DEFAULT_MODEL = "anysam-nano"

IMAGE_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "natural": "natural images",
        "fluorescence": "fluorescence microscopy",
        "phase-contrast": "phase contrast and bright field microscopy",
        "electron": "electron microscopy",
        "histopathology": "histopathology",
        "ct": "CT",
        "mri": "MRI",
        "pet": "PET",
        "ultrasound": "ultrasound",
        "x-ray": "X-ray",
        "endoscopy": "endoscopy",
        "dermoscopy": "dermoscopy",
        "fundus": "fundus images",
    }
)
"""What a model can be good for: a key for programs, words for a person; in the order shown."""

HASH_TRUST: Mapping[str, str] = MappingProxyType(
    {
        "official": "official",
        "corroborated": "corroborated by several sources",
        "single source": "from a single source",
        "": "",
    }
)
"""How far a published hash is trusted: the word in the catalogue, words for a person."""

_PROMPTS = ("point", "box", "mask")
_NOT_STATED = "not stated by its authors"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What is known of one model before its file is opened.

    Parameters
    ----------
    name : str
        Name in the API and on the command line, such as "sam2.1-tiny".
    aliases : tuple of str
        Other names that mean the same.
    title : str
        Name for humans.
    family : str
        As ``PromptableModel.family``.
    architecture : str
        "version/size", as ``checkpoint.Architecture`` finds it in the file.
    file : str
        Name of the official file.
    urls : tuple of str
        Where to download it: the official address first, mirrors after it.
    page : str
        Where a person gets it if there is no direct address.
    size_bytes : int or None
        Length of the official file.
    sha256 : str or None
        Hash of the official file, in lower case.
    sha256_trust : str
        How far that hash is trusted, of ``HASH_TRUST``; empty without a hash.
    sha256_source : str
        Who published that hash.
    licence : str
        Name of the licence of the weights, of SPDX where it has one.
    restricted : bool
        Whether the licence limits the use (not commercial, ...) and must be agreed to before the
        download.
    parameters_millions : float
        Size of the network.
    image_size : int
        Side of the square network input in pixels.
    prompts : tuple of str
        Of "point", "box", "mask".
    tracking : bool
        Whether it follows objects through stacks and time series.
    description : str
        One sentence for the user.
    good_for : tuple of str
        Kinds of images, keys of ``IMAGE_KINDS``.
    citation : str
        What to cite, in short.
    memory_fp32_mb, memory_bf16_mb : int or None
        Memory of a graphics card that segmenting an image takes, in MB, where somebody reports it.
    memory_source : str
        Who reports it.
    builtin : bool
        Whether the weights come with this package.
    other_sizes : bool
        Whether it can be loaded for images of another size (``load_model(image_size=...)``).
    preprocessing : str
        How images are brought to the network (``networks/preprocessing.py``), where that is not
        what its architecture says.
    """

    name: str
    title: str
    family: str
    architecture: str
    file: str
    licence: str
    parameters_millions: float
    image_size: int
    prompts: tuple[str, ...]
    tracking: bool
    description: str
    good_for: tuple[str, ...]
    citation: str
    aliases: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    page: str = ""
    restricted: bool = False
    size_bytes: int | None = None
    sha256: str | None = None
    sha256_trust: str = ""
    sha256_source: str = ""
    memory_fp32_mb: int | None = None
    memory_bf16_mb: int | None = None
    memory_source: str = ""
    builtin: bool = False
    other_sizes: bool = False
    preprocessing: str = ""

    @property
    def all_names(self) -> tuple[str, ...]:
        """The name and its aliases."""
        return (self.name, *self.aliases)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What it is good for, in words for a person."""
        return tuple(IMAGE_KINDS[kind] for kind in self.good_for)

    @property
    def taken(self) -> str:
        """The prompts that it takes, in words for a person: "points, boxes and masks"."""
        plurals = {"point": "points", "box": "boxes", "mask": "masks"}
        *most, last = (plurals[prompt] for prompt in self.prompts)
        return f"{', '.join(most)} and {last}" if most else last

    @property
    def for_commerce(self) -> bool:
        """Whether its licence is known and does not limit the use."""
        return not self.restricted and self.licence != _NOT_STATED


@cache
def catalogue() -> tuple[ModelSpec, ...]:
    """Return every model of the catalogue, in the order in which it is shown."""
    text = files("napari_anysam.models").joinpath("catalogue.toml").read_text(encoding="utf-8")
    return parse_catalogue(text)


def parse_catalogue(text: str) -> tuple[ModelSpec, ...]:
    """Read the records of a catalogue in TOML.

    Raises
    ------
    ValueError
        If a field is unknown, missing, of a wrong type or not of its vocabulary, or a name is used
        twice.
    """
    specs = tuple(_parse_spec(entry) for entry in tomllib.loads(text).get("models", []))
    seen: set[str] = set()
    for name in (name for spec in specs for name in spec.all_names):
        if name in seen:
            raise ValueError(f"The catalogue uses the name {name!r} twice.")
        seen.add(name)
    return specs


def names() -> tuple[str, ...]:
    """Return the names that ``load_model`` takes, aliases left out."""
    return tuple(spec.name for spec in catalogue())


def find_model(name: str) -> ModelSpec:
    """Return the model of this name or alias.

    Raises
    ------
    ModelNotFoundError
        If the catalogue does not hold it; the message lists what it holds.
    """
    for spec in catalogue():
        if name in spec.all_names:
            return spec
    raise ModelNotFoundError(
        f"No model is called {name!r}; use one of {', '.join(names())}, "
        "or the path of a checkpoint file."
    )


def check_kind(kind: str) -> None:
    """See that a kind of image is one of ``IMAGE_KINDS``.

    Raises
    ------
    ModelNotFoundError
        If it is none; the message lists them.
    """
    if kind not in IMAGE_KINDS:
        raise ModelNotFoundError(
            f"No kind of image is called {kind!r}; use one of {', '.join(IMAGE_KINDS)}."
        )


def find_by_sha256(sha256: str) -> ModelSpec | None:
    """Return the model whose official file has this hash, if the catalogue holds it."""
    return next((spec for spec in catalogue() if spec.sha256 == sha256), None)


_TYPES: dict[str, type | tuple[type, ...]] = {
    "parameters_millions": (int, float),
    "image_size": int,
    "size_bytes": int,
    "memory_fp32_mb": int,
    "memory_bf16_mb": int,
    "tracking": bool,
    "builtin": bool,
    "restricted": bool,
    "other_sizes": bool,
}
_LISTS = {"prompts", "good_for", "aliases", "urls"}
_VOCABULARIES = {"prompts": _PROMPTS, "good_for": IMAGE_KINDS, "sha256_trust": HASH_TRUST}


def _parse_spec(entry: dict[str, Any]) -> ModelSpec:
    who = entry.get("name", "an entry without a name")
    unknown = set(entry) - {field.name for field in fields(ModelSpec)}
    if unknown:
        raise ValueError(f"The catalogue's {who} has unknown fields: {', '.join(sorted(unknown))}.")
    values = {key: _parse_value(who, key, value) for key, value in entry.items()}
    for key, words in _VOCABULARIES.items():
        _check_words(who, key, values.get(key, ()), words)
    try:
        return ModelSpec(**values)
    except TypeError as error:
        raise ValueError(f"The catalogue's {who} is incomplete: {error}.") from error


def _parse_value(who: str, key: str, value: Any) -> Any:
    if key in _LISTS:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"The catalogue's {who} needs a list of strings as {key}.")
        return tuple(value)
    wanted = _TYPES.get(key, str)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise ValueError(f"The catalogue's {who} has {value!r} as {key}.")
    return value


def _check_words(who: str, key: str, value: Any, known: Iterable[str]) -> None:
    unknown = set(value if isinstance(value, tuple) else (value,)) - set(known)
    if unknown:
        raise ValueError(
            f"The catalogue's {who} has {', '.join(sorted(unknown))} as {key}; use one of "
            f"{', '.join(word for word in known if word)}."
        )
