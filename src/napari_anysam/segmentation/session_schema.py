"""The file ``session.json``: what a session's folder says, as plain values with a version.

Version 1. A field that was added has a default that says what files without it mean. A later
version that can say the same in another way translates it in ``parse``, before the content is
checked; a version that is not known is refused.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from napari_anysam.errors import SessionError

__all__ = [
    "FORMAT",
    "SCHEMA_VERSION",
    "AskedFile",
    "EntryFile",
    "ImageFile",
    "KeptFile",
    "LabelsFile",
    "MaskFile",
    "ModelFile",
    "OptionsFile",
    "PaintFile",
    "PaintingFile",
    "RecipeFile",
    "RunFile",
    "SessionFile",
    "StateFile",
    "StoreFile",
    "WritingFile",
    "parse",
]

FORMAT = "napari-anysam session"
SCHEMA_VERSION = 1

Policy = Literal["protect", "over", "background"]
Values = dict[str, JsonValue]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ImageFile(_Record):
    """Which image was segmented; ``path`` is where it lay."""

    name: str
    path: str | None
    shape: tuple[int, ...]
    rgb: bool
    fingerprint: str
    levels: int = Field(default=1, ge=1)


class LabelsFile(_Record):
    """The labels' file in the folder; ``shape`` is in the image's order of axes."""

    file: str
    sha256: str
    shape: tuple[int, ...]
    dtype: str


class StoreFile(_Record):
    """A label store that is not in the folder: where it lies, and what it held."""

    store: str
    digest: str


class StateFile(_Record):
    """A file with what the last run of the journal needs to go on behind so many results."""

    file: str
    results: int = Field(ge=0)


class ModelFile(_Record):
    """A ``ModelRecord``."""

    name: str
    key: str
    device: str
    precision: str
    threads: int = Field(ge=1)
    image_size: int | None = Field(default=None, ge=1)


class MaskFile(_Record):
    """A mask in its window: COCO run lengths, and its upper left pixel."""

    origin: tuple[int, int]
    rle: Values


class OptionsFile(_Record):
    """``MaskOptions``."""

    threshold: float
    smallest_area: int
    fill_holes: int
    smoothing: float
    largest_component: bool
    box_padding: float


class AskedFile(_Record):
    """A prompt, the position of its conditioning in the file's list, the choice, and the view."""

    prompt: Values
    conditioning: int = Field(ge=0)
    choice: int = Field(ge=0)
    options: OptionsFile
    view: tuple[float, float, float, float] | None = None
    layers: tuple[str, ...] = ()


class RecipeFile(_Record):
    """How a mask came about; ``model`` is a position in the file's list."""

    asked: tuple[AskedFile, ...] = Field(min_length=1)
    model: int = Field(ge=0)


class KeptFile(_Record):
    """What is kept of one object on one plane; no mask stands for nothing."""

    object_id: int = Field(ge=1)
    plane: int | None
    mask: MaskFile | None
    score: float | None = None
    model: str = ""
    recipe: RecipeFile | None = None
    confidence: float | None = None
    doubts: tuple[str, ...] = ()


class RunFile(_Record):
    """A propagation."""

    axis: int
    plane: int
    start: int
    stop: int
    direction: Literal["both", "forward", "backward"]
    prompts: tuple[Values, ...]
    conditioning: int = Field(ge=0)
    model: int = Field(ge=0)
    results: int = Field(ge=0)
    layers: tuple[str, ...] = ()
    locked: tuple[tuple[int, int | None], ...] = ()
    repaired: tuple[int, int] | None = None
    memory: Literal["full", "fast"] = "full"
    ending: float | None = None
    absent: tuple[tuple[int, int | None], ...] = ()
    ended: tuple[tuple[int, int | None], ...] = ()
    across: int | None = None
    begun: int = Field(default=0, ge=0)
    depths: tuple[int, int] | None = None
    region: Literal["auto", "plane"] = "auto"
    largest: bool = False


class WritingFile(_Record):
    """Masks of a network, written together."""

    kind: Literal["writing"] = "writing"
    policy: Policy
    writes: tuple[KeptFile, ...]
    run: RunFile | None = None


class PaintFile(_Record):
    """Pixels of one plane that got a value."""

    index: tuple[int, ...]
    mask: MaskFile
    value: int = Field(ge=0)


class PaintingFile(_Record):
    """Pixels that were changed without a network, and what is kept from then on."""

    kind: Literal["painting"] = "painting"
    paints: tuple[PaintFile, ...]
    kept: tuple[KeptFile, ...]


EntryFile = WritingFile | PaintingFile


class SessionFile(_Record):
    """All of it; ``versions`` are those of the packages that compute."""

    format: Literal["napari-anysam session"] = "napari-anysam session"
    schema_version: Literal[1] = 1
    versions: dict[str, str]
    image: ImageFile
    others: tuple[ImageFile, ...] = ()
    order: tuple[int, ...]
    labels: LabelsFile | StoreFile
    hand_edits: str | None
    run_state: StateFile | None = None
    object_id: int = Field(ge=1)
    plane: int | None
    conditioning: int | None
    prompts: tuple[Values, ...]
    classes: dict[int, str]
    reviewed: tuple[tuple[int, int | None], ...] = ()
    parents: dict[int, int] = Field(default_factory=dict)
    dismissed: tuple[tuple[int, int], ...] = ()
    models: tuple[ModelFile, ...]
    conditionings: tuple[Values, ...]
    journal: tuple[EntryFile, ...]


def parse(text: str, where: object) -> SessionFile:
    """Read the text of a ``session.json``.

    Parameters
    ----------
    text : str
    where : path
        For messages.

    Raises
    ------
    SessionError
        If it is damaged, or of a version that is not known.
    """
    try:
        values: Any = json.loads(text)
    except ValueError as error:
        raise SessionError(_damaged(where, str(error))) from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise SessionError(f"{where} is no session of napari-anysam; give a folder NAME.anysam.")
    version = values.get("schema_version")
    if version != SCHEMA_VERSION:
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        remedy = "update napari-anysam" if newer else "open it with the version that wrote it"
        raise SessionError(
            f"{where} is of schema {version!r}, and this version of napari-anysam reads "
            f"{SCHEMA_VERSION}; {remedy}."
        )
    try:
        return SessionFile.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise SessionError(_damaged(where, f"{place}: {fault['msg']}")) from error


def _damaged(where: object, detail: str) -> str:
    return f"{where} is damaged ({detail}); restore the folder from a backup."
