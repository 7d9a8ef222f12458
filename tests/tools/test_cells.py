"""How ``benchmarks/cells.py`` counts switches and lost cells."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from napari_anysam.segmentation.confidence import Assessment
from napari_anysam.segmentation.tracking_results import PropagationResult
from napari_anysam.segmentation.windows import tight_window

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are only in a source checkout", allow_module_level=True)
pytest.importorskip("nibabel")

FRAMES = 4


@pytest.fixture(scope="module")
def cells():
    """Import the benchmark, a script beside others, not a package."""
    before = set(sys.modules)
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import cells

        yield cells
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in set(sys.modules) - before:
            if Path(getattr(sys.modules[name], "__file__", None) or "").parent == BENCHMARKS:
                del sys.modules[name]


@pytest.fixture
def truth():
    """Cell 1 and cell 2 side by side, on every frame."""
    labels = np.zeros((FRAMES, 8, 20), np.int32)
    labels[:, 1:7, 1:7] = 1
    labels[:, 1:7, 12:18] = 2
    return labels


def answer(frame, mask):
    """The answer for cell 1."""
    one = np.zeros(1, np.float32)
    assessed = (Assessment(0.0, 0.0, int(mask.sum())),)
    windows = (tight_window(mask),)
    return PropagationResult(frame, mask.shape, (1,), windows, windows, one, one, assessed)


def course_of(cells, truth, *followed):
    """Walk through the frames with the cell (0 is none) on which the answer for cell 1 is."""
    course = cells.Course([1], truth)
    for frame, cell in enumerate(followed):
        mask = (truth[frame] == cell) & (cell > 0)
        course.note(answer(frame, mask))
    return course


@pytest.mark.parametrize(
    ("followed", "switches", "lost"),
    [
        ((1, 1, 1, 1), 0, 0),
        ((1, 0, 0, 1), 0, 0),  # found again
        ((1, 1, 0, 0), 0, 1),
        ((1, 2, 2, 2), 1, 1),
        ((1, 0, 2, 1), 2, 0),
    ],
)
def test_switches_and_losses_are_counted(cells, truth, followed, switches, lost):
    course = course_of(cells, truth, *followed)
    assert (course.switches(), course.lost()) == (switches, lost)


def test_an_answer_on_the_background_is_on_no_cell(cells, truth):
    course = cells.Course([1], truth)
    course.note(answer(0, truth[0] == 0))
    assert course.on[1] == [0]
    assert course.ious == [0.0]
