"""The wheel brings all that the package needs, and only that."""

import subprocess
import sys
import zipfile
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(
    not (ROOT / "src").exists(), reason="the wheel is built from a checkout"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_brings_manifest_catalogue_and_weights(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        "napari.yaml",
        "py.typed",
        "models/catalogue.toml",
        "models/builtin/anysam-nano.yaml",
        "models/builtin/anysam-nano-3.safetensors",
        "models/builtin/anysam-nano-3.md",
    ):
        assert f"napari_anysam/{name}" in names


def test_shipped_weights_are_small(wheel):
    weights = zipfile.ZipFile(wheel).getinfo(
        "napari_anysam/models/builtin/anysam-nano-3.safetensors"
    )
    assert weights.file_size < 12e6


def test_installed_wheel_segments_away_from_the_checkout(wheel, tmp_path):
    target = tmp_path / "installed"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target, wheel],
        check=True,
        capture_output=True,
    )
    code = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "import numpy as np, napari_anysam as anysam\n"
        f"assert anysam.__file__.startswith({str(target)!r}), anysam.__file__\n"
        "image = np.zeros((96, 96), np.uint8); image[30:60, 30:60] = 200\n"
        "labels = anysam.segment(image, [anysam.Prompt(points=[(45, 45)])])\n"
        "assert labels[45, 45] == 1 and labels[5, 5] == 0\n"
        "from npe2 import PluginManifest\n"
        f"assert PluginManifest.from_file({str(target / 'napari_anysam' / 'napari.yaml')!r})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_manifest_is_valid_and_linked_at_the_top():
    from npe2 import PluginManifest

    link = ROOT / "napari.yaml"
    assert link.resolve() == (ROOT / "src" / "napari_anysam" / "napari.yaml").resolve()
    manifest = PluginManifest.from_file(link)
    manifest.validate_imports()
    assert {"Segment", "Model manager"} <= {
        widget.display_name for widget in manifest.contributions.widgets
    }


def test_no_qt_binding_among_the_dependencies():
    plain = [line for line in requires("napari-anysam") if "extra ==" not in line]
    assert plain
    assert not [line for line in plain if line.lower().startswith(("pyqt", "pyside"))]
    assert metadata("napari-anysam")["License-Expression"] == "BSD-3-Clause"
