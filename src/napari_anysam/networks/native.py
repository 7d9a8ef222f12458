"""Two native libraries that must not meet: Mesa's LLVM and triton's.

Importing torchvision imports ``torch._dynamo``, which imports triton where it is installed. triton
brings an LLVM of its own; if Mesa has loaded its ``libLLVM`` for software rendering before, symbols
are mixed up and the process dies (seen with Mesa 22.3 and triton 3.x under napari in Xvfb). No
network here needs triton, so torch is told that it is not installed.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["without_clashing_triton"]


@contextmanager
def without_clashing_triton() -> Iterator[None]:
    """Keep triton from being imported inside, if its LLVM would meet another one."""
    if "triton" in sys.modules or not _llvm_is_loaded():
        yield
        return
    modules: dict[str, Any] = sys.modules
    modules["triton"] = None  # "import triton" now raises ImportError, which torch expects
    try:
        yield
    finally:
        if modules.get("triton", True) is None:
            del modules["triton"]


def _llvm_is_loaded() -> bool:
    """Whether this process has mapped a libLLVM; only Linux tells."""
    try:
        return "libLLVM" in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
