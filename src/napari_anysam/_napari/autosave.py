"""Sessions saved after every step, on a thread of their own, when the user pauses for a moment."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from napari_anysam.errors import AnySAMError, SessionError
from napari_anysam.segmentation.session_files import (
    SUFFIX,
    holds_session,
    lock_session,
    save_session,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from filelock import FileLock

    from napari_anysam._napari.session_snapshot import Snapshot
    from napari_anysam.segmentation.saved_session import ImageRecord

__all__ = ["Autosave", "SessionHome", "explain", "latest_session"]

QUIET_SECONDS = 0.8
"""A save waits until nothing was done for so long ..."""

PATIENCE_SECONDS = 10.0
"""... but never longer than this."""

_MOST_NAMES = 1000


class SessionHome:
    """The folder of one session: chosen, or a new one beside its image when it is first saved.

    Parameters
    ----------
    wanted : Path
        The folder; where another session is already there, ``NAME-2.anysam`` and so on is taken.
    lock : FileLock, optional
        Of a folder whose session is gone on with; it is ``wanted``.
    others : sequence of ImageRecord
        The layers that were blended in that session.
    """

    def __init__(
        self, wanted: Path, lock: FileLock | None = None, others: tuple[ImageRecord, ...] = ()
    ) -> None:
        self.wanted = wanted
        self.folder: Path | None = None if lock is None else wanted
        self._lock = lock
        self._named: tuple[object, str] | None = None
        self._others: dict[str, tuple[object, ImageRecord]] = {
            record.name: (None, record) for record in others
        }

    def enter(self) -> Path:
        """Return the folder; the first call makes and locks it."""
        if self.folder is None:
            self.folder, self._lock = _free_folder(self.wanted)
        return self.folder

    def fingerprint(self, taken: Snapshot) -> str:
        """Name the image's pixels, which are read only once as long as they stay the same."""
        if self._named is None or self._named[0] is not taken.identity:
            self._named = taken.identity, taken.fingerprint()
        return self._named[1]

    def others(self, taken: Snapshot) -> tuple[ImageRecord, ...]:
        """Describe the layers that were blended, also those that were removed since."""
        for layer in taken.others:
            known = self._others.get(layer.name)
            if known is None or known[0] is not layer.identity:
                self._others[layer.name] = layer.identity, layer.record()
        return tuple(record for _, record in self._others.values())

    def release(self) -> None:
        """Let others write into the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


class Autosave:
    """Writes the latest snapshot of every session that changed.

    Parameters
    ----------
    on_saved : callable
        Called in the saving thread with the home and the error, or None, of every save.

    Attributes
    ----------
    seconds : float
        How long the last save took.
    """

    def __init__(self, on_saved: Callable[[SessionHome, Exception | None], None]) -> None:
        self._on_saved = on_saved
        self._pending: dict[SessionHome, Snapshot] = {}
        self._changed = threading.Condition()
        self._first = self._latest = 0.0
        self._closing = False
        self.seconds = 0.0
        self._saving: SessionHome | None = None
        # A daemon, so that a disk that does not answer never keeps napari from closing.
        self._thread = threading.Thread(target=self._work, name="anysam-autosave", daemon=True)
        self._thread.start()

    def ask(self, home: SessionHome, taken: Snapshot) -> None:
        """Have a snapshot written soon; a later one of the same session takes its place."""
        with self._changed:
            self._latest = time.monotonic()
            if not self._pending:
                self._first = self._latest
            self._pending[home] = taken
            self._changed.notify()

    def is_behind(self, home: SessionHome) -> bool:
        """Whether something of this session is still to be written."""
        with self._changed:
            return home in self._pending or home is self._saving

    def close(self, timeout: float) -> None:
        """Write what waits, now, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closing)
                while self._pending and not self._closing and self._seconds_to_wait() > 0:
                    self._changed.wait(self._seconds_to_wait())
                if not self._pending:
                    return
                home = next(iter(self._pending))
                taken = self._pending.pop(home)
                self._saving = home
            self._save(home, taken)

    def _seconds_to_wait(self) -> float:
        quiet, patience = self._latest + QUIET_SECONDS, self._first + PATIENCE_SECONDS
        return min(quiet, patience) - time.monotonic()

    def _save(self, home: SessionHome, taken: Snapshot) -> None:
        error: Exception | None = None
        started = time.monotonic()
        try:
            session = taken.session(home.fingerprint(taken), home.others(taken))
            save_session(home.enter(), session, taken.labels())
        except Exception as problem:  # shown to the user by whoever listens
            error = problem
        self.seconds = time.monotonic() - started
        with self._changed:
            self._saving = None
        self._on_saved(home, error)


def latest_session(wanted: Path) -> Path | None:
    """Return the folder of this name, or ``NAME-2.anysam`` and so on, that was saved last."""
    saved = []
    for folder in _folders(wanted):
        try:
            if not folder.exists():
                break
            if holds_session(folder):
                saved.append((folder.stat().st_mtime, folder))
        except OSError:
            break  # what cannot be read cannot be gone on with
    return max(saved)[1] if saved else None


def _folders(wanted: Path) -> Iterator[Path]:
    """Name the folders in which sessions of an image lie, in the order in which they are taken."""
    stem = wanted.name.removesuffix(SUFFIX)
    for number in range(1, _MOST_NAMES):
        yield wanted if number == 1 else wanted.with_name(f"{stem}-{number}{SUFFIX}")


def _free_folder(wanted: Path) -> tuple[Path, FileLock]:
    """Make the first folder of this name that holds no session and nobody has open."""
    for folder in _folders(wanted):
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            continue
        try:
            return folder, lock_session(folder)
        except SessionError:
            continue
    stem = wanted.name.removesuffix(SUFFIX)
    raise SessionError(f"There are too many sessions named {stem}; choose another folder.")


def explain(error: Exception) -> str:
    """Return what went wrong in words for the user."""
    return str(error) if isinstance(error, AnySAMError) else f"{type(error).__name__}: {error}"
