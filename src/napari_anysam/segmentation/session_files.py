"""Sessions in folders ``NAME.anysam``: session.json, labels, hand edits, an unfinished run's state.

``session.json`` names the other files by their content, and is replaced last: a process that is
killed at any moment leaves the state before or the new one. Files that nothing names any more are
removed after that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from napari_anysam.errors import AnySAMError, ImageError, LabelFileError, SessionError
from napari_anysam.images.files import read_labels
from napari_anysam.images.label_files import write_labels
from napari_anysam.images.label_pyramid import LabelPyramid
from napari_anysam.images.safe_writing import disk_errors, replace_file
from napari_anysam.segmentation.hand_edits import HandEdits
from napari_anysam.segmentation.journal import rewrite
from napari_anysam.segmentation.session_schema import LabelsFile, SessionFile, StoreFile, parse
from napari_anysam.segmentation.session_states import STATE_FILES, load_state, save_state
from napari_anysam.segmentation.session_stores import (
    describe_store,
    edits_of_store,
    open_store,
    was_changed,
)
from napari_anysam.segmentation.session_values import Describing, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from numpy.typing import NDArray

    from napari_anysam.segmentation.saved_session import SavedSession

__all__ = [
    "SUFFIX",
    "LoadedSession",
    "holds_session",
    "load_session",
    "lock_session",
    "save_session",
]

SUFFIX = ".anysam"
MOST_LABEL_BYTES = 2**31
"""Labels that are larger are not copied into a session."""

_SESSION = "session.json"


@dataclass(frozen=True, slots=True, eq=False)
class LoadedSession:
    """What a folder holds.

    Parameters
    ----------
    session : SavedSession
    labels : integer array or LabelPyramid
        In the image's order of axes; a label store is opened where it lies.
    hand_edits : HandEdits
        Of the labels in ``session.order``.
    versions : mapping of str to str
        Of the packages that wrote it.
    """

    session: SavedSession
    labels: NDArray[Any] | LabelPyramid
    hand_edits: HandEdits
    versions: Mapping[str, str]


def lock_session(folder: str | PathLike[str]) -> FileLock:
    """Make a session's folder, and keep others from writing into it until the lock is released.

    Raises
    ------
    SessionError
        If another process or window holds it.
    LabelFileError
        If the folder cannot be made.
    """
    folder = Path(folder)
    with disk_errors(folder):
        folder.mkdir(exist_ok=True)
        # Whichever thread saves may release it.
        lock = FileLock(folder / ".lock", timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout as error:
            raise SessionError(
                f"{folder} is open in another window, or in this one; close its image there, or "
                "choose another folder."
            ) from error
    return lock


def holds_session(folder: Path) -> bool:
    """Tell whether a folder is one of a session."""
    return (folder / _SESSION).is_file()


def save_session(folder: str | PathLike[str], session: SavedSession, labels: Any) -> None:
    """Write a session and its labels; until the end, the folder says what it said before.

    Parameters
    ----------
    folder : path
        One that ``lock_session`` gave.
    session : SavedSession
    labels : integer array or LabelPyramid
        In the image's order of axes; read here, so in the calling thread. A label store stays where
        it is: the session says where, and what it held.

    Raises
    ------
    LabelFileError
        If the disk refuses, or the labels are larger than 2 GiB.
    """
    folder = Path(folder)
    if isinstance(labels, LabelPyramid):
        store = describe_store(labels)
        hand_name = _save_hand_edits(folder, edits_of_store(session, labels))
        _write_session(folder, session, store, None, hand_name)
        return
    labels = _copied(labels)
    ordered = labels.transpose(session.order)
    explained = np.zeros(ordered.shape, labels.dtype)
    rewrite(session.journal, explained)
    hand_edits = HandEdits.between(explained, ordered)
    digest = sha256(np.ascontiguousarray(labels).tobytes()).hexdigest()
    labels_name = f"labels-{digest[:16]}.tif"
    if not (folder / labels_name).exists():
        stack = labels if labels.ndim <= 3 else labels.reshape(-1, *labels.shape[-2:])
        write_labels(folder / labels_name, stack)
    hand_name = _save_hand_edits(folder, hand_edits)
    file = LabelsFile(
        file=labels_name,
        sha256=digest,
        shape=labels.shape,
        dtype=labels.dtype.newbyteorder("=").name,
    )
    _write_session(folder, session, file, labels_name, hand_name)


def load_session(folder: str | PathLike[str]) -> LoadedSession:
    """Read a session's folder, whoever is saving into it meanwhile.

    Raises
    ------
    SessionError
        If it is no session, damaged, or of a version that is not known.
    """
    folder = Path(folder)
    while True:
        text = _read_text(folder)
        try:
            return _loaded(folder, text)
        except SessionError:
            if _read_text(folder) == text:
                raise  # else its files were replaced while they were read


def _read_text(folder: Path) -> str:
    path = folder / _SESSION
    try:
        return path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SessionError(f"{folder} holds no session; give a folder NAME{SUFFIX}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SessionError(f"{path} cannot be read ({error}); check the disk.") from error


def _loaded(folder: Path, text: str) -> LoadedSession:
    path = folder / _SESSION
    file = parse(text, path)
    try:
        session = replace(Reading(file).session(), reached=load_state(folder, file.run_state))
        labels, hand_edits = _load_labels_and_edits(folder, file, session)
    except SessionError:
        raise
    except (AnySAMError, OSError, ValueError, IndexError, KeyError, TypeError) as error:
        detail = str(error).rstrip(".")
        raise SessionError(
            f"{folder} is damaged ({detail}); restore the folder from a backup."
        ) from error
    if sorted(session.order) != list(range(labels.ndim)):
        raise SessionError(
            f"{path} is damaged (order: {session.order}); restore the folder from a backup."
        )
    return LoadedSession(session, labels, hand_edits, file.versions)


def _write_session(
    folder: Path,
    session: SavedSession,
    labels: LabelsFile | StoreFile,
    labels_name: str | None,
    hand_name: str | None,
) -> None:
    state = save_state(folder, session)
    text = Describing().session(session, labels, hand_name, state).model_dump_json(indent=1)
    replace_file(folder / _SESSION, lambda path: _write_text(path, text))
    state_name = None if state is None else state.file
    _tidy(folder, {_SESSION, labels_name, hand_name, state_name})


def _load_labels_and_edits(
    folder: Path, file: SessionFile, session: SavedSession
) -> tuple[NDArray[Any] | LabelPyramid, HandEdits]:
    if isinstance(file.labels, LabelsFile):
        hand_edits = _load_hand_edits(folder, file.hand_edits)
        return _load_labels(folder, file.labels), hand_edits
    store = open_store(folder, file.labels)
    if was_changed(store, file.labels):
        return store, edits_of_store(session, store)
    return store, _load_hand_edits(folder, file.hand_edits)


def _copied(labels: Any) -> NDArray[Any]:
    nbytes = int(np.prod(labels.shape, dtype=object)) * np.dtype(labels.dtype).itemsize
    if nbytes > MOST_LABEL_BYTES:
        raise LabelFileError(
            f"Labels of {nbytes / 2**30:.1f} GiB are too large to be saved with their session; "
            "save the labels themselves."
        )
    return np.array(labels[...])


def _save_hand_edits(folder: Path, edits: HandEdits) -> str | None:
    if not len(edits):
        return None
    arrays = {name: getattr(edits, name) for name in ("starts", "stops", "values")}
    digest = sha256(b"".join(array.tobytes() for array in arrays.values())).hexdigest()
    name = f"hand_edits-{digest[:16]}.npz"

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)

    if not (folder / name).exists():
        replace_file(folder / name, write)
    return name


def _load_hand_edits(folder: Path, name: str | None) -> HandEdits:
    if name is None:
        return HandEdits(*(np.zeros(0, np.int64) for _ in range(3)))
    path = _inside(folder, name)
    try:
        with np.load(path, allow_pickle=False) as file:
            return HandEdits(file["starts"], file["stops"], file["values"])
    except Exception as error:
        # zipfile, zlib and numpy meet damaged files with exceptions of every type.
        raise SessionError(
            f"{path} is damaged ({error}); restore the folder from a backup."
        ) from error


def _load_labels(folder: Path, described: LabelsFile) -> NDArray[Any]:
    path = _inside(folder, described.file)
    try:
        stored = np.asarray(read_labels(path).array)
    except ImageError as error:
        raise SessionError(
            f"{path} is damaged or missing; restore the folder from a backup."
        ) from error
    labels = stored.astype(described.dtype).reshape(described.shape)
    if sha256(np.ascontiguousarray(labels).tobytes()).hexdigest() != described.sha256:
        raise SessionError(
            f"{path} was changed since the session was saved; restore the folder from a backup."
        )
    return labels


def _inside(folder: Path, name: str) -> Path:
    if Path(name).name != name:
        raise SessionError(f"{folder} names a file outside of itself ({name}); do not trust it.")
    return folder / name


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _tidy(folder: Path, named: set[str | None]) -> None:
    """Remove our files that nothing names any more, and what a killed process left."""
    for pattern in ("labels-*.tif", "hand_edits-*.npz", STATE_FILES, ".*.tmp.*"):
        for path in folder.glob(pattern):
            if path.name not in named:
                path.unlink(missing_ok=True)
