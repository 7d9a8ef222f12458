"""A stack encoded on the command line, and what goes wrong before."""

import pytest
import tifffile
from cli_helpers import MODEL

from napari_anysam import Prompt, load_model
from napari_anysam.images.conditioning import Conditioning
from napari_anysam.segmentation.embeddings import Statistics
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.stored_cache import user_cache


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYSAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "embeddings"


def test_planes_are_encoded_once_and_clicks_find_them(anysam, stack, folder):
    path, truth = stack
    options = ("precompute", path, "--model", MODEL, "--device", "cpu", "--contrast", 100, 900)
    code, out, _ = anysam(*options, "--stop", 2)
    assert (code, out) == (0, f"2 planes, 2 of them encoded now; {folder}\n")
    code, out, err = anysam(*options, "-q")
    assert (code, out, err) == (0, f"5 planes, 3 of them encoded now; {folder}\n", "")
    planes = tifffile.imread(path)
    predictor = PlanePredictor(load_model(MODEL, device="cpu"), user_cache())
    for plane in planes:
        predictor.predict(
            lambda plane=plane: Conditioning(((100, 900),)).apply(plane),
            float(plane.mean()),
            truth.shape[1:],
            Prompt(points=[(44, 50)]),
            region="plane",
        )
    assert predictor.cache.statistics == Statistics(disk=5)


def test_without_room_on_disk_it_is_refused(anysam, stack, folder, monkeypatch):
    monkeypatch.setenv("ANYSAM_EMBEDDING_DISK_GB", "0")
    code, out, err = anysam("precompute", stack[0])
    assert (code, out) == (1, "")
    assert "embedding_disk_gb is 0" in err


def test_planes_beyond_the_stack_are_refused(anysam, stack, folder):
    code, out, err = anysam("precompute", stack[0], "--model", MODEL, "--start", 3, "--stop", 9)
    assert (code, out) == (1, "")
    assert "use planes 0 to 4" in err


def test_one_plane_is_no_stack(anysam, image, folder):
    code, _, err = anysam("precompute", image[0])
    assert code == 1
    assert "segment it as an image instead" in err
    assert not folder.exists()
