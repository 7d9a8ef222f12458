"""What is known of objects beside their pixels: class, score, model; and how they are found."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_anysam.errors import LabelFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray

__all__ = ["ObjectMask", "Objects", "masks_of", "numbered", "read_objects"]

UNNAMED = "object"
_ID_COLUMNS = ("id", "object_id", "label")
_CLASS_COLUMNS = ("name", "class", "class_name")


class ObjectMask(NamedTuple):
    """One object of a plane: its id, its bounding box, and its mask inside that box."""

    object_id: int
    rows: slice
    columns: slice
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Objects:
    """Classes, scores and models of objects.

    Parameters
    ----------
    class_names : sequence of str
        All classes in the order in which they are numbered; by default the ones that occur, in
        the order of ``classes``.
    classes : mapping of int to str
        Object id to class. An object that is missing has the only class where there is one,
        else the class "object".
    scores : mapping of int to float
        Object id to predicted IoU.
    models : mapping of int to str
        Object id to the model that made it.

    Raises
    ------
    LabelFileError
        If an object has a class that is not one of the class names, or a name occurs twice.
    """

    class_names: tuple[str, ...] = ()
    classes: Mapping[int, str] = field(default_factory=dict)
    scores: Mapping[int, float] = field(default_factory=dict)
    models: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        class_names: Sequence[str] | None = None,
        classes: Mapping[int, str] | None = None,
        scores: Mapping[int, float] | None = None,
        models: Mapping[int, str] | None = None,
    ) -> Objects:
        """Make it from what a caller may have left out."""
        classes = dict(classes or {})
        names = tuple(dict.fromkeys(classes.values())) if class_names is None else class_names
        return cls(tuple(names), classes, dict(scores or {}), dict(models or {}))

    def __post_init__(self) -> None:
        """Check that the classes are known."""
        if len(set(self.class_names)) < len(self.class_names):
            raise LabelFileError("A class name occurs twice; give each class a name of its own.")
        for object_id, name in self.classes.items():
            if name not in self.class_names:
                raise LabelFileError(
                    f"Object {object_id} is of class {name!r}, which is not among the class "
                    f"names ({', '.join(self.class_names)}); add it there."
                )

    def class_of(self, object_id: int) -> str:
        """Name the class of an object."""
        return self._all_names[self.number_of(object_id)]

    def number_of(self, object_id: int) -> int:
        """Return the number of an object's class, from 0 in the order of the class names."""
        name = self.classes.get(object_id)
        return self._all_names.index(name) if name is not None else self._unnamed

    def names_for(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """Return the class names, with "object" at the end only where its number is used."""
        return self._all_names[: max(len(self.class_names), max(numbers, default=0) + 1)]

    @property
    def _all_names(self) -> tuple[str, ...]:
        names = self.class_names
        return names if len(names) == 1 or UNNAMED in names else (*names, UNNAMED)

    @property
    def _unnamed(self) -> int:
        return 0 if len(self._all_names) == 1 else self._all_names.index(UNNAMED)


def read_objects(path: str | PathLike[str], class_names: Sequence[str] | None = None) -> Objects:
    """Read a CSV table with a row per object.

    Parameters
    ----------
    path : path
        A column "id" ("object_id", "label"), and any of "name" ("class", "class_name"), "score"
        and "model"; the tables that export writes and napari's features are such. Further
        columns and empty cells are left out.
    class_names : sequence of str
        All classes in order; by default the order of the table.

    Raises
    ------
    LabelFileError
        If it cannot be read, has no such columns, or a cell is no number where one is needed.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            id_column = _column(table.fieldnames, _ID_COLUMNS)
            class_column = _column(table.fieldnames, _CLASS_COLUMNS)
            if id_column is None:
                raise LabelFileError(
                    f"{path} has no column 'id'; give a CSV table with the columns id and name."
                )
            classes: dict[int, str] = {}
            scores: dict[int, float] = {}
            models: dict[int, str] = {}
            for row in table:
                object_id = _number(row[id_column], int, path, table.line_num)
                if class_column and row[class_column]:
                    classes[object_id] = row[class_column]
                if row.get("score"):
                    scores[object_id] = _number(row["score"], float, path, table.line_num)
                if row.get("model"):
                    models[object_id] = row["model"]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        if isinstance(error, LabelFileError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise LabelFileError(
            f"The table {path} could not be read ({reason}); give a CSV file in UTF-8."
        ) from error
    return Objects.of(class_names, classes, scores, models)


def numbered(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Give the objects of a plane small numbers, so that no work grows with the size of the ids.

    Parameters
    ----------
    labels : integer or bool array (H, W)
        0 is background.

    Returns
    -------
    ids : array (N,)
        Ascending, without background.
    numbers : integer array (H, W)
        0 where there is background, else 1 + the place in ``ids``.

    Raises
    ------
    LabelFileError
        If an id is below 0.
    """
    ids, numbers = np.unique(labels, return_inverse=True)
    if ids[0] < 0:
        raise LabelFileError("Labels below 0 cannot be exported; renumber them.")
    has_background = ids[0] == 0
    return ids[int(has_background) :], numbers.reshape(labels.shape) + int(not has_background)


def masks_of(labels: NDArray[Any]) -> Iterator[ObjectMask]:
    """Find the objects of a plane (H, W), ascending by id."""
    from scipy import ndimage

    ids, numbers = numbered(labels)
    for number, (rows, columns) in enumerate(ndimage.find_objects(numbers), start=1):
        mask = numbers[rows, columns] == number
        yield ObjectMask(int(ids[number - 1]), rows, columns, mask)


def _column(names: Sequence[str] | None, wanted: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in (names or ())), None)


def _number(text: str | None, kind: Any, path: str | PathLike[str], line: int) -> Any:
    try:
        return kind(text)
    except (TypeError, ValueError) as error:
        raise LabelFileError(
            f"{path}, line {line}: {text!r} is no number; correct the table."
        ) from error
