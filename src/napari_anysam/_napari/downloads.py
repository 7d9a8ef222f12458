"""The downloads of this process: one thread each, told about on the GUI thread.

How the Model manager uses it::

    running = downloads()                    # one per process; call it on the GUI thread
    running.changed.connect(self._refresh)   # str: name of a model whose download moved on or ended
    running.start(spec), running.pause(name), running.discard(spec)
    running.state(name)                      # DownloadState, or None
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import QCoreApplication, QObject, Qt
from qtpy.QtCore import Signal as QtSignal

from napari_anysam.errors import AnySAMError, Cancelled
from napari_anysam.models.download import Progress, discard_partial, download
from napari_anysam.models.store import default_store
from napari_anysam.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam.models.catalogue import ModelSpec

__all__ = ["DownloadState", "Downloads", "downloads"]

_QUIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class DownloadState:
    """Where one download is.

    Parameters
    ----------
    running : bool
        Whether its thread is at work.
    progress : Progress or None
        The last that it told.
    error : str
        Why it ended, for the user; empty if it was paused or goes on.
    """

    running: bool
    progress: Progress | None = None
    error: str = ""


class Downloads:
    """Observable downloads; use :func:`downloads` to get those of the process.

    Attributes
    ----------
    changed : psygnal signal (str)
        The download of the model of this name began, moved on, or ended.
    """

    changed = Signal(str)

    def __init__(self) -> None:
        self._states: dict[str, DownloadState] = {}
        self._stops: dict[str, threading.Event] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._discarded: set[str] = set()
        self._relay = _Relay(self._receive)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.pause_all)

    def state(self, name: str) -> DownloadState | None:
        """Return where the download of a model is; None if none was begun, or it has arrived."""
        return self._states.get(name)

    def start(self, spec: ModelSpec) -> None:
        """Begin or continue a download; nothing happens if it runs."""
        state = self._states.get(spec.name)
        if state is not None and state.running:
            return
        stop = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(spec, stop), name=f"anysam-download-{spec.name}", daemon=True
        )
        self._stops[spec.name], self._threads[spec.name] = stop, thread
        self._states[spec.name] = DownloadState(running=True)
        thread.start()
        self.changed.emit(spec.name)

    def pause(self, name: str) -> None:
        """End a download after its current piece; what has arrived stays for the next time."""
        if name in self._stops:
            self._stops[name].set()

    def discard(self, spec: ModelSpec) -> None:
        """End a download and delete what has arrived, once its thread has let go of it."""
        state = self._states.get(spec.name)
        if state is not None and state.running:
            self._discarded.add(spec.name)
            self.pause(spec.name)
        else:
            self._delete(spec)

    def pause_all(self) -> None:
        """End all downloads, and wait for them a little; napari is closing.

        What is still at work then ends with the process, which a download survives.
        """
        for stop in self._stops.values():
            stop.set()
        deadline = time.monotonic() + _QUIT_SECONDS
        for thread in self._threads.values():
            thread.join(max(0.0, deadline - time.monotonic()))

    def _delete(self, spec: ModelSpec) -> None:
        discard_partial(spec, default_store())
        self._states.pop(spec.name, None)
        self.changed.emit(spec.name)

    def _run(self, spec: ModelSpec, stop: threading.Event) -> None:
        """Download on a thread of its own; every word goes through the relay."""

        def report(progress: Progress) -> None:
            self._relay.told.emit(spec, stop, progress)

        try:
            download(spec, default_store(), read_settings(), report=report, cancelled=stop.is_set)
        except Exception as error:  # shown to the user by whoever listens
            self._relay.told.emit(spec, stop, error)
        else:
            self._relay.told.emit(spec, stop, None)

    def _receive(self, spec: ModelSpec, stop: object, told: object) -> None:
        """Take what a thread says, unless a later download of that model took its place."""
        name = spec.name
        state = self._states.get(name)
        if state is None or self._stops.get(name) is not stop:
            return
        if name in self._discarded and not isinstance(told, Progress):
            self._discarded.remove(name)
            self._delete(spec)
            return
        if isinstance(told, Progress):
            self._states[name] = replace(state, progress=told)
        elif told is None:
            del self._states[name]
        else:
            words = "" if isinstance(told, Cancelled) else _sentence(told)
            self._states[name] = replace(state, running=False, error=words)
        self.changed.emit(name)


def _sentence(error: object) -> str:
    if isinstance(error, AnySAMError):
        return str(error)
    return f"The download failed ({type(error).__name__}: {error})."


class _Relay(QObject):  # type: ignore[misc]  # Qt has no types here
    """Carries words from the downloading threads to the thread of the application."""

    told = QtSignal(object, object, object)

    def __init__(self, receive: Callable[[ModelSpec, object, object], None]) -> None:
        super().__init__()
        self._receive = receive
        application = QCoreApplication.instance()
        if application is not None:
            self.moveToThread(application.thread())
        self.told.connect(self._on_told, Qt.ConnectionType.QueuedConnection)

    def _on_told(self, spec: ModelSpec, stop: object, told: object) -> None:
        self._receive(spec, stop, told)


_DOWNLOADS: list[Downloads] = []


def downloads() -> Downloads:
    """Return the process's one Downloads; the first call makes it, on the GUI thread."""
    if not _DOWNLOADS:
        _DOWNLOADS.append(Downloads())
    return _DOWNLOADS[0]
