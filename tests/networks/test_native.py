import sys
from threading import Event, Thread

import pytest

from napari_anysam.networks import native
from napari_anysam.networks.native import without_clashing_triton


@pytest.fixture
def no_triton_yet(monkeypatch):
    monkeypatch.delitem(sys.modules, "triton", raising=False)


@pytest.fixture
def no_window(monkeypatch):
    for name in native._WINDOW_MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(native, "_llvm_is_loaded", lambda: False)


def is_hidden():
    return sys.modules.get("triton", True) is None


@pytest.mark.usefixtures("no_triton_yet", "no_window")
def test_triton_cannot_be_imported_beside_another_llvm(monkeypatch):
    monkeypatch.setattr(native, "_llvm_is_loaded", lambda: True)
    with without_clashing_triton(), pytest.raises(ImportError):
        import triton  # noqa: F401
    assert "triton" not in sys.modules


@pytest.mark.usefixtures("no_triton_yet", "no_window")
def test_triton_cannot_be_imported_where_a_window_may_draw_meanwhile(monkeypatch):
    monkeypatch.setitem(sys.modules, "PySide6.QtGui", object())
    with without_clashing_triton():
        assert is_hidden()
    assert "triton" not in sys.modules


@pytest.mark.usefixtures("no_triton_yet", "no_window")
def test_without_llvm_or_window_nothing_changes():
    with without_clashing_triton():
        assert "triton" not in sys.modules


@pytest.mark.usefixtures("no_window")
def test_triton_that_is_there_stays(monkeypatch):
    there = object()
    monkeypatch.setitem(sys.modules, "triton", there)
    monkeypatch.setattr(native, "_llvm_is_loaded", lambda: True)
    with without_clashing_triton():
        assert sys.modules["triton"] is there
    assert sys.modules["triton"] is there


@pytest.mark.usefixtures("no_triton_yet", "no_window")
def test_of_two_threads_that_load_the_last_lets_triton_in_again(monkeypatch):
    monkeypatch.setattr(native, "_llvm_is_loaded", lambda: True)
    entered, leave = Event(), Event()

    def load():
        with without_clashing_triton():
            entered.set()
            leave.wait(30)

    other = Thread(target=load)
    other.start()
    try:
        assert entered.wait(30)
        with without_clashing_triton():
            assert is_hidden()
        assert is_hidden()
    finally:
        leave.set()
        other.join()
    assert "triton" not in sys.modules
