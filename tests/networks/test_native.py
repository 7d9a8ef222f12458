import sys

import pytest

from napari_anysam.networks import native
from napari_anysam.networks.native import without_clashing_triton


@pytest.fixture
def no_triton_yet(monkeypatch):
    monkeypatch.delitem(sys.modules, "triton", raising=False)


def test_triton_cannot_be_imported_beside_another_llvm(no_triton_yet, monkeypatch):
    monkeypatch.setattr(native, "_llvm_is_loaded", lambda: True)
    with without_clashing_triton(), pytest.raises(ImportError):
        import triton  # noqa: F401
    assert "triton" not in sys.modules


def test_without_another_llvm_nothing_changes(no_triton_yet, monkeypatch):
    monkeypatch.setattr(native, "_llvm_is_loaded", lambda: False)
    with without_clashing_triton():
        assert "triton" not in sys.modules


def test_triton_that_is_there_stays(monkeypatch):
    there = object()
    monkeypatch.setitem(sys.modules, "triton", there)
    monkeypatch.setattr(native, "_llvm_is_loaded", lambda: True)
    with without_clashing_triton():
        assert sys.modules["triton"] is there
    assert sys.modules["triton"] is there
