"""Prompts from files and back: JSON, and the CSV that napari writes for a Points layer.

JSON is a list of objects with the fields of ``Prompt``; a mask is a COCO run-length encoding,
``{"size": [H, W], "counts": "..."}``, a lasso a list of [row, column], and scribbles are a list of
``{"vertices": [[row, column], ...], "positive": true}``. A CSV has the columns ``index``,
``axis-0``, ``axis-1`` (and ``axis-2`` in a stack), and the layer's features ``object_id`` and
``polarity``.
"""

from __future__ import annotations

import csv
import json
import math
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import PromptError
from napari_anysam.segmentation.prompts import Prompt, Scribble

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray

__all__ = [
    "decode_mask",
    "encode_mask",
    "prompt_from_dict",
    "prompt_to_dict",
    "read_prompts",
    "write_prompts",
]

_FIELDS = tuple(field.name for field in fields(Prompt))
_POSITIVE = ("1", "1.0", "true", "positive", "+")
_NEGATIVE = ("0", "0.0", "false", "negative", "-", "-1", "-1.0")


def read_prompts(path: str | PathLike[str], axis: int | None = None) -> list[Prompt]:
    """Read prompts from a .json file, or a .csv file that napari wrote for a Points layer.

    Parameters
    ----------
    path : path
        The file.
    axis : int or None
        Of a CSV with three coordinates: which of them is the plane; the others are row and
        column. None means the image is 2D.

    Returns
    -------
    list of Prompt
        In the file's order. The points of a CSV that share object and plane are one prompt.

    Raises
    ------
    PromptError
        If the file is missing, of another kind, or an entry is wrong; the message names it.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in (".json", ".csv"):
        raise PromptError(f"{path} is no prompts file; give a .json file, or a .csv from napari.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise PromptError(f"There is no file {path}; check its name and folder.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{path} could not be read ({error}); save it again as text.") from error
    try:
        prompts = _from_json(text) if ending == ".json" else _from_csv(text, axis)
    except PromptError as error:
        raise PromptError(f"{path}: {error}") from error
    if not prompts:
        raise PromptError(f"{path}: there is no prompt in it; give at least one.")
    return prompts


def write_prompts(path: str | PathLike[str], prompts: Iterable[Prompt]) -> None:
    """Write prompts as JSON, one per line, replacing the file in one step.

    Parameters
    ----------
    path : path
        Target .json file.
    prompts : iterable of Prompt
        What to write.

    Raises
    ------
    PromptError
        If the file cannot be written; one that was there before stays as it was.
    """
    lines = ",\n".join(json.dumps(prompt_to_dict(prompt)) for prompt in prompts)
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise PromptError(
            f"{path} could not be written ({reason}); choose another folder."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def prompt_to_dict(prompt: Prompt) -> dict[str, Any]:
    """Describe a prompt in plain values; fields that say nothing are left out."""
    values: dict[str, Any] = {"object_id": prompt.object_id}
    if prompt.plane is not None:
        values["plane"] = prompt.plane
    if prompt.points:
        values["points"] = [list(point) for point in prompt.points]
        values["polarity"] = list(prompt.polarity)
    if prompt.box is not None:
        values["box"] = list(prompt.box)
    if prompt.mask is not None:
        values["mask"] = encode_mask(prompt.mask)
    if prompt.mask_origin is not None:
        values["mask_origin"] = list(prompt.mask_origin)
    if prompt.lasso is not None:
        values["lasso"] = [list(vertex) for vertex in prompt.lasso]
    if prompt.scribbles:
        values["scribbles"] = [
            {"vertices": [list(vertex) for vertex in stroke.vertices], "positive": stroke.positive}
            for stroke in prompt.scribbles
        ]
    return values


def prompt_from_dict(values: Mapping[str, Any]) -> Prompt:
    """Make a prompt of what ``prompt_to_dict`` gave; a missing field keeps its default.

    Raises
    ------
    PromptError
        If a field is unknown or its value no prompt's.
    """
    if not isinstance(values, dict):
        raise PromptError(f"it is {values!r}; give an object with the fields of a prompt.")
    unknown = sorted(set(values) - set(_FIELDS))
    if unknown:
        raise PromptError(f"there is no field {unknown[0]!r}; use {', '.join(_FIELDS)}.")
    given = {name: value for name, value in values.items() if value is not None}
    if "mask" in given:
        given["mask"] = decode_mask(given["mask"])
    if not all(value in (0, 1) for value in _list(given, "polarity")):
        raise PromptError("polarity holds more than true and false; give one of them per point.")
    _list(given, "points")
    _list(given, "lasso")
    try:
        if "scribbles" in given:
            given["scribbles"] = [_scribble(one) for one in _list(given, "scribbles")]
        return Prompt(**given)
    except PromptError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise PromptError(
            f"a value is of the wrong kind ({error}); compare it with the documentation of Prompt."
        ) from error


def _scribble(value: Any) -> Scribble:
    if not isinstance(value, dict) or not set(value) <= {"vertices", "positive"}:
        raise PromptError(f"the scribble {value!r} has other fields than vertices and positive.")
    if value.get("positive", True) not in (0, 1):
        raise PromptError("positive of a scribble is more than true or false; give one of them.")
    return Scribble(_list(value, "vertices"), value.get("positive", True))


def _list(values: Mapping[str, Any], name: str) -> list[Any]:
    value = values.get(name, [])
    if not isinstance(value, list):
        raise PromptError(f"{name} is {value!r}; give a list.")
    return value


def _from_json(text: str) -> list[Prompt]:
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise PromptError(f"it is not JSON ({error}); correct or export it again.") from error
    if not isinstance(entries, list):
        raise PromptError("it holds no list; put the prompts between [ and ].")
    prompts = []
    for number, entry in enumerate(entries, start=1):
        try:
            prompts.append(prompt_from_dict(entry))
        except PromptError as error:
            raise PromptError(f"entry {number}: {error}") from error
    return prompts


def encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask (H, W) as a COCO run-length encoding: its size and compressed counts."""
    from pycocotools import mask as coco

    encoded = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")}


def decode_mask(value: Any) -> NDArray[np.bool_]:
    """Decode COCO run lengths, compressed (a string) or plain (a list), down the columns.

    Raises
    ------
    PromptError
        If they are no such encoding, or do not fill the mask.

    Notes
    -----
    Not by pycocotools: of runs that end too early it returns a mask with uninitialised pixels.
    """
    try:
        height, width = (int(size) for size in value["size"])
        counts = value["counts"]
        runs = _uncompressed(counts) if isinstance(counts, str) else [int(run) for run in counts]
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise PromptError(
            f"the mask is no COCO run-length encoding ({error}); give its size and counts."
        ) from error
    if min(height, width) < 1 or min(runs, default=0) < 0 or sum(runs) != height * width:
        raise PromptError(
            f"the runs of the mask do not fill its {height} x {width} pixels; export it again."
        )
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape((height, width), order="F")


def _uncompressed(counts: str) -> list[int]:
    """Undo COCO's compression: numbers of 5 bits a character, from the fourth on as differences.

    The format is that of ``rleFrString`` in cocoapi's ``maskApi.c``.
    """
    runs: list[int] = []
    number = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"character {character!r}")
        number |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    return runs


def _from_csv(text: str, axis: int | None) -> list[Prompt]:
    rows = csv.DictReader(text.splitlines())
    columns = [name for name in rows.fieldnames or () if name.startswith("axis-")]
    if "shape-type" in (rows.fieldnames or ()):
        raise PromptError("it holds shapes, not points; save the Points layer, or write JSON.")
    _check_columns(columns, axis)
    plane_column = None if axis is None or len(columns) == 2 else columns[axis]
    points: dict[tuple[int, int | None], list[tuple[list[float], bool]]] = {}
    for number, row in enumerate(rows, start=1):
        try:
            position = {name: _number(row, name) for name in columns}
            plane = None if plane_column is None else _nearest(position.pop(plane_column))
            key = (_object_id(row), plane)
            points.setdefault(key, []).append((list(position.values()), _polarity(row)))
        except PromptError as error:
            raise PromptError(f"row {number}: {error}") from error
    return [
        Prompt(
            object_id=object_id,
            plane=plane,
            points=[(y, x) for (y, x), _ in entries],
            polarity=[polarity for _, polarity in entries],
        )
        for (object_id, plane), entries in points.items()
    ]


def _check_columns(columns: Sequence[str], axis: int | None) -> None:
    if len(columns) not in (2, 3):
        raise PromptError(
            f"it has {len(columns)} coordinate columns (axis-0, axis-1, ...); save a Points layer "
            "of an image or a 3D stack."
        )
    if len(columns) == 3 and axis is None:
        raise PromptError("its points lie in a stack, and the image is 2D; give 2D points.")
    if len(columns) == 3 and axis is not None and not -3 <= axis < 3:
        raise PromptError(f"its points have axes 0 to 2, not {axis}; give one of these.")


def _number(row: Mapping[str, str | None], name: str) -> float:
    value = row[name]
    try:
        number = float(value or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise PromptError(f"{name} is {value!r}; give a number.")
    return number


def _nearest(coordinate: float) -> int:
    """Plane whose centre is nearest; napari draws planes half a step to both sides."""
    return math.floor(coordinate + 0.5)


def _object_id(row: Mapping[str, str | None]) -> int:
    if "object_id" not in row:
        return 1
    number = _number(row, "object_id")
    if number != int(number):
        raise PromptError(f"object_id is {number:g}; give a whole number.")
    return int(number)


def _polarity(row: Mapping[str, str | None]) -> bool:
    value = row.get("polarity", "1") or ""
    if value.strip().lower() in _POSITIVE:
        return True
    if value.strip().lower() in _NEGATIVE:
        return False
    raise PromptError(f"polarity is {value!r}; give True or False.")
