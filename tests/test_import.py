"""Importing the package must cost napari nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import napari_anysam

HEAVY = ("torch", "napari", "qtpy", "PyQt6", "PySide6", "sam2", "segment_anything")


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*(n for n in {HEAVY!r} if n in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_package_import_brings_in_no_torch_qt_or_napari():
    assert loaded_after("import napari_anysam") == set()


@pytest.mark.parametrize(
    "module",
    [
        "segmentation.everything",
        "segmentation.prompts",
        "segmentation.session",
        "segmentation.labels",
        "segmentation.derived_prompts",
        "segmentation.label_prompts",
        "segmentation.mask_options",
        "segmentation.divisions",
        "segmentation.lineage",
        "images.planes",
        "images.conditioning",
        "export.formats",
        "models.catalogue",
        "models.chooser",
        "models.measurements",
        "networks.measuring",
        "cli",
    ],
)
def test_light_modules_bring_in_no_torch_qt_or_napari(module):
    assert loaded_after(f"import napari_anysam.{module}") == set()


@pytest.mark.parametrize(
    "module",
    [
        "segmentation.interactive",
        "segmentation.tracking",
        "segmentation.time_lapse",
        "networks.load",
    ],
)
def test_core_brings_in_no_qt_or_napari(module):
    assert loaded_after(f"import napari_anysam.{module}") <= {"torch", "sam2", "segment_anything"}


def test_only_the_networks_know_what_networks_are_made_of():
    package = Path(napari_anysam.__file__).parent
    imports = re.compile(
        r"^\s*(import|from) (timm|torchvision|segment_anything|sam2)\b", re.MULTILINE
    )
    files = {path for path in package.rglob("*.py") if imports.search(path.read_text("utf-8"))}
    assert {path.parent.name for path in files} == {"networks"}


def test_public_names_are_listed_and_reachable():
    for name in napari_anysam.__all__:
        assert name in dir(napari_anysam)
        assert getattr(napari_anysam, name)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = napari_anysam.nothing
