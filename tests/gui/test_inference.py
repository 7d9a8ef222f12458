"""The inference thread: who goes first, what is dropped, how it ends."""

from __future__ import annotations

import queue
import threading

import pytest

from napari_anysam._napari.inference import InferenceThread, Priority
from napari_anysam.errors import Cancelled


class Hands:
    """Runs what is delivered when it is told to, in the test's thread."""

    def __init__(self) -> None:
        self.calls: queue.Queue = queue.Queue()

    def __call__(self, call) -> None:
        self.calls.put(call)

    def run(self, count=1) -> None:
        for _ in range(count):
            self.calls.get(timeout=20)()


@pytest.fixture
def hands():
    return Hands()


@pytest.fixture
def inference(hands):
    thread = InferenceThread(hands)
    yield thread
    assert thread.stop()


class Gate:
    """Work that waits until it is let through."""

    def __init__(self, answer="gate") -> None:
        self.entered, self.opened = threading.Event(), threading.Event()
        self.answer = answer

    def __call__(self, cancelled):
        self.entered.set()
        while not self.opened.wait(0.01):
            if cancelled():
                raise Cancelled("no longer wanted")
        return self.answer


def test_results_and_errors_are_called_in_the_other_thread(inference, hands):
    seen = []
    inference.ask(lambda _: threading.current_thread().name, seen.append, seen.append)
    hands.run()
    inference.ask(lambda _: 1 / 0, seen.append, seen.append)
    hands.run()
    assert seen[0] == "anysam-inference"
    assert isinstance(seen[1], ZeroDivisionError)


def test_of_waiting_clicks_only_the_latest_is_answered(inference, hands):
    gate, seen = Gate(), []
    inference.ask(gate, seen.append, seen.append)
    gate.entered.wait(20)
    for number in range(3):
        inference.ask(lambda _, number=number: number, seen.append, seen.append)
    gate.opened.set()
    hands.run(2)
    assert seen == ["gate", 2]


def test_a_click_that_is_kept_is_answered_before_the_next(inference, hands):
    gate, seen = Gate(), []
    inference.ask(gate, seen.append, seen.append)
    gate.entered.wait(20)
    inference.ask(lambda _: "kept", seen.append, seen.append).keep()
    inference.ask(lambda _: "next", seen.append, seen.append)
    gate.opened.set()
    hands.run(3)
    assert seen == ["gate", "kept", "next"]


def test_a_cancelled_answer_is_never_delivered(inference, hands):
    gate, seen = Gate(), []
    ticket = inference.ask(gate, seen.append, seen.append)
    gate.entered.wait(20)
    ticket.cancel()
    inference.ask(lambda _: "after", seen.append, seen.append)
    hands.run()
    assert seen == ["after"]


def test_an_answer_on_its_way_is_dropped_when_it_is_cancelled(inference, hands):
    seen = []
    ticket = inference.ask(lambda _: "late", seen.append, seen.append)
    call = hands.calls.get(timeout=20)
    ticket.cancel()
    call()
    assert seen == []


def test_clicks_go_between_the_planes_of_a_stream(inference, hands):
    order, seen = [], []

    def planes(_cancelled):
        for plane in range(3):
            order.append(plane)
            if plane == 0:
                inference.ask(lambda _: order.append("click"), seen.append, seen.append)
            yield plane

    inference.stream(planes, seen.append, seen.append)
    hands.run(5)
    assert order == [0, "click", 1, 2]
    assert seen == [0, None, 1, 2, None]


def test_work_in_the_background_comes_last_and_can_see_who_waits(inference, hands):
    order, gate = [], Gate()

    def planes(name):
        def make(_cancelled):
            for plane in range(2):
                order.append(f"{name} {plane}")
                yield plane

        return make

    inference.ask(gate, lambda _: None, lambda _: None)
    assert gate.entered.wait(20)
    for name, priority in (("back", Priority.BACKGROUND), ("run", Priority.PLANE)):
        assert not inference.is_wanted_before(priority)
        inference.stream(planes(name), lambda _: None, lambda _: None, priority=priority)
    assert inference.is_wanted_before(Priority.BACKGROUND)
    assert not inference.is_wanted_before(Priority.PLANE)
    gate.opened.set()
    hands.run(7)
    assert order == ["run 0", "run 1", "back 0", "back 1"]


def test_a_stream_waits_for_its_reader(inference, hands):
    made = []

    def planes(_cancelled):
        for plane in range(50):
            made.append(plane)
            yield plane

    gate = Gate()
    inference.stream(planes, made.append, made.append)
    inference.ask(gate, made.append, made.append, priority=Priority.PLANE)
    assert gate.entered.wait(20)
    assert len(made) <= 5
    gate.opened.set()
    hands.run(52)


def test_a_cancelled_stream_ends_after_its_item_and_says_so(inference, hands):
    ended, seen = [], []

    def planes(cancelled):
        plane = 0
        while not cancelled():
            yield plane
            plane += 1

    ticket = inference.stream(planes, seen.append, ended.append)
    hands.run()
    ticket.cancel()
    while not ended:
        hands.run()
    assert ended == [None]
    assert seen == list(range(len(seen)))


def test_an_error_in_a_stream_is_delivered_at_its_end(inference, hands):
    ended = []

    def planes(_cancelled):
        yield 1
        raise ValueError("broken plane")

    inference.stream(planes, lambda _: None, ended.append)
    hands.run(2)
    assert str(ended[0]) == "broken plane"


def test_stop_ends_work_that_runs_and_delivers_nothing_more(hands):
    inference, gate, seen = InferenceThread(hands), Gate(), []
    inference.ask(gate, seen.append, seen.append)
    gate.entered.wait(20)
    assert inference.stop()
    assert not inference.is_alive
    assert hands.calls.empty()
