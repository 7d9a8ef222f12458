"""Two native libraries that must not meet: Mesa's LLVM and triton's.

Importing torchvision imports ``torch._dynamo``, which imports triton where it is installed. triton
brings an LLVM of its own; if Mesa has loaded its ``libLLVM`` for software rendering before, symbols
are mixed up and the process dies (seen with Mesa 22.3 and triton 3.x under napari in Xvfb). No
network here needs triton, so torch is told that it is not installed.

Networks are imported in a thread that loads, and a window may draw for the first time meanwhile, so
in a process with Qt triton is kept away before there is any LLVM too. The other way round, triton
first and Mesa after it, does no harm.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["without_clashing_triton"]

_WINDOW_MODULES = ("PyQt5.QtGui", "PyQt6.QtGui", "PySide2.QtGui", "PySide6.QtGui")


@contextmanager
def without_clashing_triton() -> Iterator[None]:
    """Keep triton from being imported inside, if its LLVM would or could meet another one.

    It may be entered by several threads at a time; triton is let in again when the last has left.
    """
    if not (_llvm_is_loaded() or _window_may_draw()):
        yield
        return
    _HIDDEN.enter()
    try:
        yield
    finally:
        _HIDDEN.leave()


class _Hidden:
    """Counts who wants triton hidden."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._count = 0

    def enter(self) -> None:
        modules: dict[str, Any] = sys.modules
        with self._lock:
            self._count += 1
            # "import triton" now raises ImportError, which torch expects. One that is there stays.
            modules.setdefault("triton", None)

    def leave(self) -> None:
        modules: dict[str, Any] = sys.modules
        with self._lock:
            self._count -= 1
            if not self._count and modules.get("triton", True) is None:
                del modules["triton"]


_HIDDEN = _Hidden()


def _window_may_draw() -> bool:
    """Whether this process has imported a Qt with windows."""
    return any(name in sys.modules for name in _WINDOW_MODULES)


def _llvm_is_loaded() -> bool:
    """Whether this process has mapped a libLLVM; only Linux tells."""
    try:
        return "libLLVM" in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
