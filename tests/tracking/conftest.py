"""Synthetic scenes, the official predictor, and how the two engines are compared."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from discs import make_discs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    import numpy as np
    from numpy.typing import NDArray

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def load_official() -> ModuleType:
    """Import ``benchmarks/official.py``, which is no part of any package."""
    if "official" not in sys.modules:
        spec = importlib.util.spec_from_file_location("official", BENCHMARKS / "official.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["official"] = module
        spec.loader.exec_module(module)
    return sys.modules["official"]


@pytest.fixture(scope="session")
def official() -> ModuleType:
    return load_official()


@pytest.fixture(autouse=True)
def few_threads() -> Iterator[None]:
    """Small networks are fastest, and their answers steadiest, in one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def moving_discs() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """26 noisy planes (120, 150) with three discs that move, and their labels 1, 2, 3."""
    return make_discs(26)
