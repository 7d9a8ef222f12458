"""One thread that does all the thinking of one viewer.

torch keeps a pool of helper threads for each thread that calls it, and the networks are not
re-entrant, so one long-lived thread runs everything. Clicks go before planes of a propagation, and
those before work in the background; of the waiting clicks only the latest is answered. Results,
errors and progress are handed to ``deliver``, which brings them to the thread that owns the window.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from napari_anysam.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["InferenceThread", "Priority", "Ticket"]

_NETWORKS = threading.Lock()
"""Viewers of one process share the active model, which serves one thread at a time."""

_MAX_UNREAD = 4


class Priority(IntEnum):
    """Who goes first."""

    CLICK = 0
    LOAD = 1
    PLANE = 2
    BACKGROUND = 3


@dataclass(slots=True, eq=False)
class Ticket:
    """One request: cancel it, or ask whether it is still wanted."""

    priority: Priority
    kept: bool = False
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Ask for an early end; nothing more is delivered for it."""
        self._cancelled.set()

    def keep(self) -> None:
        """Have it answered even if another click comes before its turn."""
        self.kept = True

    def is_cancelled(self) -> bool:
        """Whether somebody no longer wants the answer."""
        return self._cancelled.is_set()


@dataclass(slots=True, eq=False)
class _Job:
    ticket: Ticket
    run: Callable[[], None]


class InferenceThread:
    """A queue and the thread that empties it.

    Parameters
    ----------
    deliver : callable
        Takes a function and has it called in the thread that owns the window.
    """

    def __init__(self, deliver: Callable[[Callable[[], None]], None]) -> None:
        self._deliver = deliver
        self._queues: dict[Priority, deque[_Job]] = {priority: deque() for priority in Priority}
        self._changed = threading.Condition()
        self._stopping = False
        self._running: Ticket | None = None
        self._thread = threading.Thread(target=self._work, name="anysam-inference", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def ask(
        self,
        work: Callable[[Callable[[], bool]], Any],
        on_result: Callable[[Any], None],
        on_error: Callable[[Exception], None],
        *,
        priority: Priority = Priority.CLICK,
    ) -> Ticket:
        """Queue one piece of work.

        Parameters
        ----------
        work : callable
            Called in the thread with ``cancelled()``; what it returns goes to ``on_result``.
        on_result, on_error : callable
            Called through ``deliver``, and not at all once the ticket is cancelled.
        priority : Priority
            A waiting click is replaced by the next one: only the latest is answered.
        """
        ticket = Ticket(priority)

        def run() -> None:
            try:
                result = work(ticket.is_cancelled)
            except Cancelled:
                return
            except Exception as error:
                self._hand_over(ticket, on_error, error)
            else:
                self._hand_over(ticket, on_result, result)

        with self._changed:
            if priority is Priority.CLICK:
                waiting = self._queues[priority]
                self._queues[priority] = deque(job for job in waiting if job.ticket.kept)
            self._put(_Job(ticket, run))
        return ticket

    def stream(
        self,
        make: Callable[[Callable[[], bool]], Iterator[Any]],
        on_item: Callable[[Any], None],
        on_end: Callable[[Exception | None], None],
        *,
        priority: Priority = Priority.PLANE,
    ) -> Ticket:
        """Walk through a generator, one item per turn, so that clicks come in between.

        Cancelling ends it after the item in progress; ``on_end`` is called in any case, with the
        error that ended it or None. At most a few items wait unread in the window's thread.
        """
        return _Stream(self, make, on_item, on_end, priority).ticket

    def is_wanted_before(self, priority: Priority) -> bool:
        """Whether work that goes before this priority is waiting."""
        with self._changed:
            return any(self._queues[other] for other in Priority if other < priority)

    def stop(self, timeout: float = 10.0) -> bool:
        """Cancel everything and end the thread; nothing is delivered afterwards.

        Returns
        -------
        bool
            Whether the thread ended in time. It is a daemon, so it never keeps Python alive.
        """
        with self._changed:
            self._stopping = True
            for queue in self._queues.values():
                for job in queue:
                    job.ticket.cancel()
                queue.clear()
            if self._running is not None:
                self._running.cancel()
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _put(self, job: _Job) -> None:
        if not self._stopping:
            self._queues[job.ticket.priority].append(job)
            self._changed.notify_all()

    def _requeue(self, job: _Job) -> None:
        with self._changed:
            self._put(job)

    def _hand_over(self, ticket: Ticket, callback: Callable[[Any], None], value: Any) -> None:
        def call() -> None:
            if not ticket.is_cancelled():
                callback(value)

        self._post(call)

    def _post(self, call: Callable[[], None]) -> None:
        if not self._stopping:
            self._deliver(call)

    def _work(self) -> None:
        _set_torch_threads()
        while (job := self._next()) is not None:
            with _NETWORKS:
                job.run()
            with self._changed:
                self._running = None
            del job  # it holds a network, and the next one may be long in coming

    def _next(self) -> _Job | None:
        with self._changed:
            while not self._stopping:
                for priority in Priority:
                    if self._queues[priority]:
                        job = self._queues[priority].popleft()
                        self._running = job.ticket
                        return job
                self._changed.wait()
            return None


class _Stream:
    """A generator walked through by the inference thread."""

    def __init__(
        self,
        owner: InferenceThread,
        make: Callable[[Callable[[], bool]], Iterator[Any]],
        on_item: Callable[[Any], None],
        on_end: Callable[[Exception | None], None],
        priority: Priority,
    ) -> None:
        self.ticket = Ticket(priority)
        self._owner = owner
        self._make = make
        self._on_item = on_item
        self._on_end = on_end
        self._items: Iterator[Any] | None = None
        self._unread = 0
        self._paused = False
        self._lock = threading.Lock()
        owner._requeue(self._job())

    def _job(self) -> _Job:
        return _Job(self.ticket, self._step)

    def _step(self) -> None:
        error: Exception | None = None
        try:
            if self._items is None:
                self._items = self._make(self.ticket.is_cancelled)
            item = next(self._items)
        except (StopIteration, Cancelled):
            pass
        except Exception as caught:
            error = caught
        else:
            self._emit(item)
            return
        self._owner._post(lambda: self._on_end(error))

    def _emit(self, item: Any) -> None:
        with self._lock:
            self._unread += 1
            self._paused = self._unread >= _MAX_UNREAD
            go_on = not self._paused
        self._owner._post(lambda: self._read(item))
        if go_on:
            self._owner._requeue(self._job())

    def _read(self, item: Any) -> None:
        """Hand an item over, in the window's thread."""
        with self._lock:
            self._unread -= 1
            resume, self._paused = self._paused, False
        if resume:
            self._owner._requeue(self._job())
        self._on_item(item)


def _set_torch_threads() -> None:
    """Leave a core to the window, where there are more than two.

    On two cores the window stays fluid with both of them computing (gaps in its event loop of
    39 ms at the 99th percentile against 25 ms with one), and a propagation takes half the time.
    """
    from napari_anysam.cores import usable_cores
    from napari_anysam.networks.device import limit_torch_threads

    cores = usable_cores()
    limit_torch_threads(min(cores, max(2, cores - 1)))
