"""Fixtures that every area shares."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_anysam.networks.protocol import PromptableModel

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def nano() -> PromptableModel:
    """The shipped model, loaded once, in the precision that parity is stated for."""
    from napari_anysam import load_model

    return load_model("anysam-nano", device="cpu", precision="fp32")


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what tests measure out of this user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("ANYSAM_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: two share the work, and round, differently each time."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def models_facts() -> list[dict[str, Any]]:
    """The project's facts about checkpoints, collected with their sources before any code."""
    default = ROOT.parent / "shared" / "models_facts.json"
    path = Path(os.environ.get("ANYSAM_FACTS", default))
    if not path.is_file():
        pytest.skip(f"no facts at {path}; set ANYSAM_FACTS to the file models_facts.json")
    records: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["records"]
    return records


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images with true labels; tests that need it skip where it is missing."""
    folder = Path(os.environ.get("ANYSAM_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "INDEX.md").exists():
        pytest.skip(f"no real images at {folder}; set ANYSAM_DATA to the folder that holds them")
    return folder


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 400 kB, where this machine lets us."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
