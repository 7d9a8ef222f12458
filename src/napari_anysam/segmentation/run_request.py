"""The request of a propagation as a plain value: what it takes to make the same run elsewhere."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_anysam.errors import AnySAMError, RunError
from napari_anysam.images.conditioning import Conditioning
from napari_anysam.images.fingerprint import fingerprint
from napari_anysam.segmentation.journal import ModelRecord
from napari_anysam.segmentation.prompt_files import prompt_from_dict, prompt_to_dict
from napari_anysam.segmentation.session_schema import ModelFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.tracking_memories import MemoryUse

__all__ = ["RunRequest", "StackReference"]

FORMAT = "napari-anysam run"
VERSION = 1

Direction = Literal["both", "forward", "backward"]


@dataclass(frozen=True, slots=True)
class StackReference:
    """Which stack is followed through.

    Parameters
    ----------
    path : str or None
        The image's file or folder; None for an array that lies in no file.
    level : int
        Level of a pyramid.
    at : sequence of (axis, index)
        What was sliced away before, in this order: axes of what the slices before left.
    channel_axis : int or None
        Axis that holds channels, of what was left.
    shape : tuple of int
        Of what was left.
    dtype : str
        Type of the pixels.
    fingerprint : str
        See ``images.fingerprint``; with it the stack is known again wherever it lies.
    """

    path: str | None
    level: int
    at: tuple[tuple[int, int], ...]
    channel_axis: int | None
    shape: tuple[int, ...]
    dtype: str
    fingerprint: str

    @classmethod
    def of(
        cls,
        array: Any,
        *,
        path: str | None = None,
        level: int = 0,
        at: tuple[tuple[int, int], ...] = (),
        channel_axis: int | None = None,
    ) -> Self:
        """Describe a stack, whose pixels are sampled for it.

        Parameters
        ----------
        array : array-like
            What was left after ``at``.
        path, level, at, channel_axis
            See the class.
        """
        shape = tuple(int(size) for size in array.shape)
        return cls(path, level, at, channel_axis, shape, str(array.dtype), fingerprint(array))


@dataclass(frozen=True, slots=True, eq=False)
class RunRequest:
    """All that decides about the result of a propagation.

    Parameters
    ----------
    stack : StackReference
    prompts : sequence of Prompt
        In their order; ``plane`` counts along the axis.
    axis : int
        Axis of the stack to follow objects along.
    direction : {"both", "forward", "backward"}
    start, stop : int
        Half-open range of planes to answer.
    region : {"auto", "plane"}
    memory : {"full", "fast"}
    conditioning : Conditioning
        Resolved: the contrast as it was measured, not how to measure it.
    model : ModelRecord
        What answers.
    ending : float or None
        ``EndRule.object_logit``; None where objects are looked for on all planes.
    """

    stack: StackReference
    prompts: tuple[Prompt, ...]
    axis: int
    direction: Direction
    start: int
    stop: int
    region: Literal["auto", "plane"]
    memory: MemoryUse
    conditioning: Conditioning
    model: ModelRecord
    ending: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Describe it in values that JSON takes; ``from_dict`` takes them back."""
        said = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            "format": FORMAT,
            "version": VERSION,
            **said,
            "stack": json.loads(json.dumps(asdict(self.stack))),
            "prompts": [prompt_to_dict(prompt) for prompt in self.prompts],
            "conditioning": self.conditioning.to_dict(),
            "model": asdict(self.model),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunRequest:
        """Make it of what ``to_dict`` gave.

        Raises
        ------
        RunError
            If it is no request, or of another version.
        """
        if values.get("format") != FORMAT or values.get("version") != VERSION:
            raise RunError(
                f"This is no request for a run of version {VERSION}; begin the run anew with this "
                "version of napari-anysam."
            )
        try:
            file = _RequestFile.model_validate(dict(values))
            return cls(
                stack=StackReference(**file.stack.model_dump()),
                prompts=tuple(prompt_from_dict(prompt) for prompt in file.prompts),
                axis=file.axis,
                direction=file.direction,
                start=file.start,
                stop=file.stop,
                region=file.region,
                memory=file.memory,
                conditioning=Conditioning.from_dict(file.conditioning),
                model=ModelRecord(**ModelFile.model_validate(file.model).model_dump()),
                ending=file.ending,
            )
        except (ValidationError, AnySAMError, KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"The request for a run says what it cannot mean ({error}); begin the run anew."
            ) from error

    def differences(self, other: RunRequest) -> tuple[str, ...]:
        """Return the names of what differs in a way that changes the result.

        Where the stack lies, on which device and with how many threads is no such difference.
        """
        mine, theirs = self._decisive(), other._decisive()
        return tuple(name for name, value in mine.items() if value != theirs[name])

    @property
    def digest(self) -> str:
        """SHA-256 of what decides about the result."""
        return hashlib.sha256(json.dumps(self._decisive(), sort_keys=True).encode()).hexdigest()

    def _decisive(self) -> dict[str, Any]:
        values = replace(self, stack=replace(self.stack, path=None)).to_dict()
        values["model"] = self.model.key
        # As JSON reads them, so that a request equals what is read of its file.
        decisive: dict[str, Any] = json.loads(json.dumps(values))
        return decisive


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _StackFile(_Record):
    path: str | None
    level: int
    at: tuple[tuple[int, int], ...]
    channel_axis: int | None
    shape: tuple[int, ...]
    dtype: str
    fingerprint: str


class _RequestFile(_Record):
    format: Literal["napari-anysam run"]
    version: Literal[1]
    stack: _StackFile
    prompts: tuple[dict[str, Any], ...]
    axis: int
    direction: Direction
    start: int
    stop: int
    region: Literal["auto", "plane"]
    memory: Literal["full", "fast"]
    conditioning: dict[str, Any]
    model: dict[str, Any]
    ending: float | None = Field(default=None, ge=0, allow_inf_nan=False)
