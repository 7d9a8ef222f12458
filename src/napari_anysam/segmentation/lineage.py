"""Who descends from whom, as a plain mapping: object id of a daughter to that of its mother."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from napari_anysam.errors import LineageError
from napari_anysam.images.safe_writing import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

__all__ = [
    "Lineage",
    "check_lineage",
    "lineage_after_merging",
    "read_lineage",
    "without_objects",
    "write_lineage",
]

Lineage: TypeAlias = Mapping[int, int]
"""Daughter to mother; who has no mother is not in it."""


def check_lineage(parents: Mapping[Any, Any], ids: Iterable[int] | None = None) -> dict[int, int]:
    """Bring a lineage to plain integers and check that it is one.

    Parameters
    ----------
    parents : mapping
        Daughter to mother.
    ids : iterable of int, optional
        The objects that exist; links to or from others are an error.

    Raises
    ------
    LineageError
        If an id is below 1 or unknown, or somebody descends from itself.
    """
    checked = {int(child): int(parent) for child, parent in parents.items()}
    known = None if ids is None else set(ids)
    for child, parent in checked.items():
        for one in (child, parent):
            if one < 1 or (known is not None and one not in known):
                raise LineageError(
                    f"The lineage says that {child} descends from {parent}, but there is no object "
                    f"{one}; correct the lineage or give the labels it belongs to."
                )
    done: set[int] = set()
    for start in checked:
        line: set[int] = set()
        ancestor: int | None = start
        while ancestor is not None and ancestor not in done:
            if ancestor in line:
                raise LineageError(f"Object {ancestor} descends from itself; correct the lineage.")
            line.add(ancestor)
            ancestor = checked.get(ancestor)
        done |= line
    return checked


def without_objects(parents: Lineage, object_ids: Iterable[int]) -> dict[int, int]:
    """Return a lineage without any link to or from some objects."""
    gone = set(object_ids)
    return {child: parent for child, parent in parents.items() if not {child, parent} & gone}


def lineage_after_merging(parents: Lineage, object_ids: Iterable[int], into: int) -> dict[int, int]:
    """Return a lineage in which objects have become one.

    Parameters
    ----------
    parents : mapping
        Daughter to mother.
    object_ids : iterable of int
        What became a part of ``into``, whose daughters are its daughters now.
    into : int
        Keeps its mother, unless it descends from one of the others.
    """
    others = set(object_ids) - {into}
    ancestor = parents.get(into)
    while ancestor is not None and ancestor not in others:
        ancestor = parents.get(ancestor)
    descends = ancestor is not None
    merged: dict[int, int] = {}
    for child, parent in parents.items():
        mother = into if parent in others else parent
        if child in others or child == mother or (child == into and descends):
            continue
        merged[child] = mother
    return merged


def read_lineage(path: str | PathLike[str]) -> dict[int, int]:
    """Read a CSV file with the columns ``child`` and ``parent``.

    Raises
    ------
    LineageError
        If it is missing, of another kind, or no lineage.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        pairs = [(int(row["child"]), int(row["parent"])) for row in rows]
    except FileNotFoundError as error:
        raise LineageError(f"There is no file {path}; check its name and folder.") from error
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise LineageError(
            f"{path} is no lineage; give a CSV file with the columns child and parent."
        ) from error
    if len(dict(pairs)) != len(pairs):
        raise LineageError(f"{path} names a child twice; give every child one parent.")
    return check_lineage(dict(pairs))


def write_lineage(path: str | PathLike[str], parents: Lineage) -> None:
    """Write the file that ``read_lineage`` reads.

    Raises
    ------
    LabelFileError
        If the disk refuses.
    """
    rows = "".join(f"{child},{parent}\n" for child, parent in sorted(parents.items()))
    text = f"child,parent\n{rows}"

    def write(new: Path) -> None:
        new.write_text(text, encoding="utf-8")

    replace_file(Path(path), write)
