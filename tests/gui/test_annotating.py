"""The scripted annotation of the docs, in a short form: one real image, by mouse and keys alone."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_anysam.images.files import read_labels
from napari_anysam.segmentation.session_files import load_session

pytestmark = pytest.mark.gui

TOOLS = Path(__file__).parents[2] / "tools"
if not TOOLS.is_dir():
    pytest.skip("the tools are only in a source checkout", allow_module_level=True)


@pytest.fixture
def annotate_nuclei(monkeypatch):
    """Import the script, which finds its own parts beside it."""
    monkeypatch.syspath_prepend(str(TOOLS))
    spec = importlib.util.spec_from_file_location("annotate_nuclei", TOOLS / "annotate_nuclei.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "annotate_nuclei", module)
    spec.loader.exec_module(module)
    return module


def test_nuclei_are_annotated_by_mouse_and_keys(
    make_napari_viewer, loaded_model, annotate_nuclei, real_data, tmp_path
):
    folder = real_data / "dsb2018_nuclei2d"
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1100, 760)
    report = annotate_nuclei.annotate(
        viewer,
        folder / "02903040_image.png",
        folder / "02903040_labels.tif",
        tmp_path,
        objects=2,
    )
    assert len(report.overlaps) == 4
    assert min(report.overlaps.values()) > 0.7
    assert np.mean(list(report.overlaps.values())) > 0.8
    done = " ".join(report.said)
    assert all(words in done for words in ("boxes drawn", "undone and redone", "merged", "session"))
    loaded = load_session(tmp_path / "02903040_image.anysam")
    exported = np.asarray(read_labels(tmp_path / "nuclei.tif").array)
    assert np.array_equal(loaded.labels, exported)
    assert len(list(tmp_path.glob("annotate_*.png"))) == 4
