"""The one model that is active in this process, and its loading off the GUI thread.

How the widgets use it::

    active = active_model()               # one per process; call it on the GUI thread
    active.loading.connect(self._show)    # str: what is going on, in words
    active.loaded.connect(self._use)      # PromptableModel: it is active from now on
    active.failed.connect(self._complain) # Exception: the model that was active stays so
    active.ensure()                       # loads the shipped model if none was asked for yet
    active.request("sam2.1-tiny", device="auto", precision="auto")   # or a path; returns at once
    active.model, active.name, active.device, active.hint, active.busy, active.message

Every signal is emitted on the GUI thread. The latest request wins: an answer to an earlier one is
dropped, and one that has not begun is never started. A checkpoint file that was loaded by its path
(a ``Path``, not a string) joins the user's list of added files. psygnal holds bound methods weakly,
so a widget that is gone is not called; still disconnect on close.
"""

from __future__ import annotations

import gc
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import QCoreApplication, QEventLoop, QObject, Qt, QTimer
from qtpy.QtCore import Signal as QtSignal

from napari_anysam.errors import Cancelled
from napari_anysam.models.catalogue import DEFAULT_MODEL
from napari_anysam.models.store import default_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam.networks.protocol import PromptableModel

__all__ = ["ActiveModel", "Request", "active_model"]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for, as ``napari_anysam.load_model`` takes it."""

    name_or_path: str | Path
    device: str = "auto"
    precision: str = "auto"
    variant: str | None = None
    image_size: int | None = None

    @property
    def title(self) -> str:
        """A short name for messages: the catalogue name, or the file's name."""
        if isinstance(self.name_or_path, Path):
            return self.name_or_path.name
        return self.name_or_path


class ActiveModel:
    """Observable holder of the active model; use :func:`active_model` to get the one of a process.

    Attributes
    ----------
    loading : psygnal signal (str)
        A request began or went a step further; the words are for the user.
    loaded : psygnal signal (PromptableModel)
        The latest request is done and its model is active.
    failed : psygnal signal (Exception)
        The latest request failed; the model before it, if any, stays active.
    """

    loading = Signal(str)
    loaded = Signal(object)
    failed = Signal(Exception)

    def __init__(self) -> None:
        self._model: PromptableModel | None = None
        self._requested: Request | None = None
        self._active: Request | None = None
        self._message = ""
        self._hint = ""
        self._generation = 0
        self._future: Future[None] | None = None
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="anysam-load")
        self._relay = _Relay(self._on_report, self._on_done)

    @property
    def model(self) -> PromptableModel | None:
        """The active model, or None until the first one is loaded."""
        return self._model

    @property
    def name(self) -> str:
        """Name of the active model; empty while there is none."""
        return "" if self._model is None else self._model.name

    @property
    def device(self) -> str:
        """Where the active model computes now, such as "cpu"; empty while there is none.

        It may change while it works: a model that does not fit on a graphics card goes to the CPU.
        """
        return "" if self._model is None else str(self._model.device)

    @property
    def hint(self) -> str:
        """How the active model could use the computer better, in a sentence; empty if it cannot."""
        return self._hint

    @property
    def requested(self) -> Request | None:
        """The latest request while it is being served, else the one that gave the active model."""
        return self._requested

    @property
    def busy(self) -> bool:
        """True from a request until its ``loaded`` or ``failed``."""
        return self._future is not None

    @property
    def message(self) -> str:
        """The last words of ``loading``; empty when nothing is being loaded."""
        return self._message

    def ensure(self) -> None:
        """Ask for the shipped model, unless a model is there or on its way."""
        if self._model is None and not self.busy:
            self.request(DEFAULT_MODEL)

    def request(
        self,
        name_or_path: str | Path,
        device: str = "auto",
        precision: str = "auto",
        variant: str | None = None,
        image_size: int | None = None,
    ) -> None:
        """Load a model in the background and make it the active one; returns at once.

        Parameters
        ----------
        name_or_path : str or Path
            Catalogue name, or path of a checkpoint file.
        device, precision, variant, image_size
            As in ``napari_anysam.load_model``.
        """
        request = Request(name_or_path, device, precision, variant, image_size)
        self._generation += 1
        if self._future is not None:
            self._future.cancel()
        self._requested = request
        self._future = self._executor.submit(self._load, request, self._generation)
        self._say(f"Loading {request.title} ...")

    def wait(self, timeout: float = 60.0) -> None:
        """Run the event loop until nothing is being loaded; for tests and scripts.

        Raises
        ------
        TimeoutError
            If it takes longer than ``timeout`` seconds.
        """
        if not self.busy:
            return
        loop = QEventLoop()
        timer = QTimer()
        timer.setSingleShot(True)
        timer.timeout.connect(loop.quit)
        timer.start(int(timeout * 1000))
        self._relay.idle.connect(loop.quit)
        try:
            loop.exec()
        finally:
            timer.stop()
            self._relay.idle.disconnect(loop.quit)
        if self.busy:
            raise TimeoutError(f"{self._message} took longer than {timeout:g} s")

    def release(self) -> None:
        """Forget the active model and drop what is being loaded, so that memory is freed."""
        self._generation += 1
        if self._future is not None:
            self._future.cancel()
        self._finish()
        self._model = self._active = self._requested = None
        self._hint = ""
        gc.collect()

    def _load(self, request: Request, generation: int) -> None:
        """Load on the worker thread; every answer goes through the relay."""
        from napari_anysam.networks.device import unused_graphics_card
        from napari_anysam.networks.load import load_with_report

        def report(words: str) -> None:
            if generation != self._generation:
                raise Cancelled("A later request took its place.")
            self._relay.report.emit(generation, words)

        try:
            model = load_with_report(
                request.name_or_path,
                request.device,
                request.precision,
                request.variant,
                request.image_size,
                report=report,
            )
            if isinstance(request.name_or_path, Path):
                default_store().add(request.name_or_path, variant=request.variant)
            slow = request.device == "auto" and model.device.type == "cpu"
            hint = unused_graphics_card() if slow else ""
        except Exception as error:  # shown to the user by whoever listens
            self._relay.done.emit(generation, request, error)
        else:
            self._relay.done.emit(generation, request, _Loaded(model, hint))

    def _on_report(self, generation: int, words: str) -> None:
        if generation == self._generation:
            self._say(words)

    def _on_done(self, generation: int, request: Request, outcome: object) -> None:
        if generation != self._generation:
            return
        if isinstance(outcome, Exception):
            self._requested = self._active
            self._finish()
            self.failed.emit(outcome)
            return
        if not isinstance(outcome, _Loaded):
            return
        self._model, self._hint = outcome.model, outcome.hint
        self._active = self._requested = request
        self._finish()
        self.loaded.emit(outcome.model)
        self._executor.submit(_free_cached_memory)  # nobody uses the model before any more

    def _say(self, words: str) -> None:
        self._message = words
        self.loading.emit(words)

    def _finish(self) -> None:
        self._future = None
        self._message = ""
        self._relay.idle.emit()


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What the loading thread found out."""

    model: PromptableModel
    hint: str


def _free_cached_memory() -> None:
    from napari_anysam.networks.device import free_cached_memory

    free_cached_memory()


class _Relay(QObject):  # type: ignore[misc]  # Qt has no types here
    """Carries answers from the loading thread to the thread of the application."""

    report = QtSignal(int, str)
    done = QtSignal(int, object, object)
    idle = QtSignal()

    def __init__(
        self,
        on_report: Callable[[int, str], None],
        on_done: Callable[[int, Request, object], None],
    ) -> None:
        super().__init__()
        self._on_report = on_report
        self._on_done = on_done
        application = QCoreApplication.instance()
        if application is not None:
            self.moveToThread(application.thread())
        # Queued on purpose: the loading thread emits, this object's thread receives. The slots are
        # this QObject's own, because Qt does not know which thread a plain method belongs to.
        self.report.connect(self._receive_report, Qt.ConnectionType.QueuedConnection)
        self.done.connect(self._receive_done, Qt.ConnectionType.QueuedConnection)

    def _receive_report(self, generation: int, words: str) -> None:
        self._on_report(generation, words)

    def _receive_done(self, generation: int, request: object, outcome: object) -> None:
        if isinstance(request, Request):
            self._on_done(generation, request, outcome)


_ACTIVE: list[ActiveModel] = []


def active_model() -> ActiveModel:
    """Return the process's one ActiveModel; the first call makes it, on the GUI thread."""
    if not _ACTIVE:
        _ACTIVE.append(ActiveModel())
    return _ACTIVE[0]
