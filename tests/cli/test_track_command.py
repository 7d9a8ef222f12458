"""``anysam track``: from a series and prompts to labels and a lineage."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from napari_anysam.images import plane_chunks
from napari_anysam.images.synthetic import synthetic_divisions
from napari_anysam.segmentation.lineage import read_lineage
from napari_anysam.segmentation.prompt_files import encode_mask


def test_a_dividing_cell_ends_in_the_format_of_the_challenge(
    anysam, prompts, tmp_path, monkeypatch
):
    monkeypatch.setattr(plane_chunks, "CHUNK_SIDE", 50)  # as large planes are
    monkeypatch.setattr(plane_chunks, "LARGEST_CHUNK", 50**2)
    image, truth, parents = synthetic_divisions(0, (6, 128, 128), divisions=1)
    (mother,) = set(parents.values())
    tifffile.imwrite(tmp_path / "series.tif", image)
    told = prompts({"object_id": mother, "plane": 0, "mask": encode_mask(truth[0] == mother)})
    out = tmp_path / "labels.ome.tif"
    lineage = tmp_path / "labels_lineage.csv"
    command = ("track", tmp_path / "series.tif", "--prompts", told, "-o", out, "-q")
    assert anysam(*command) == (0, f"{out}\n{lineage}\n", "")
    links = read_lineage(lineage)
    assert list(links.values()) == [mother, mother]
    labels = tifffile.imread(out)
    assert labels.shape == image.shape
    assert set(np.unique(labels[-1])) == {0, *links}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []

    folder = tmp_path / "01_RES"
    command = ("export", out, "-o", folder, "--format", "ctc", "--lineage", lineage)
    assert anysam(*command)[0] == 0
    lines = (folder / "res_track.txt").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ["0", str(mother), str(mother)]


@pytest.fixture
def volumes(tmp_path):
    """Write (2, 3, 48, 56): a bright disc in every plane; return file and truth."""
    rows, columns = np.ogrid[:48, :56]
    truth = np.stack([[np.hypot(rows - 20 - 2 * t, columns - 25) < 9] * 3 for t in range(2)])
    pixels = np.random.default_rng(0).normal(300, 25, truth.shape) + 700 * truth
    np.save(tmp_path / "volumes.npy", pixels.astype(np.uint16))
    return tmp_path / "volumes.npy", truth


@pytest.mark.parametrize("side", [4096, 20])
def test_volumes_keep_one_id(anysam, volumes, prompts, tmp_path, side, monkeypatch):
    monkeypatch.setattr(plane_chunks, "CHUNK_SIDE", side)
    monkeypatch.setattr(plane_chunks, "LARGEST_CHUNK", side**2)
    image, truth = volumes
    told = prompts({"time": 0, "plane": 1, "object_id": 4, "mask": encode_mask(truth[0, 1])})
    out = tmp_path / "labels.tif"
    code, stdout, _ = anysam("track", image, "--prompts", told, "-o", out)
    assert (code, stdout) == (0, f"{out}\n")
    labels = tifffile.imread(out)
    assert set(np.unique(labels)) == {0, 4}
    assert ((labels > 0) & truth).sum() / ((labels > 0) | truth).sum() > 0.8


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([{"plane": 1, "points": [[5, 5]]}], 'no "time"'),
        ([{"time": 0, "plane": 1}], "entry 1"),
        ([{"time": 9, "plane": 1, "points": [[5, 5]]}], "outside the series"),
    ],
)
def test_wrong_prompts_are_named(anysam, volumes, tmp_path, entries, words):
    (tmp_path / "prompts.json").write_text(json.dumps(entries))
    out = tmp_path / "labels.tif"
    code, _, stderr = anysam(
        *("track", volumes[0], "--prompts", tmp_path / "prompts.json", "-o", out, "-q")
    )
    assert code == 1
    assert words in stderr
    assert not out.exists()


def test_other_inputs_and_targets_are_refused(anysam, volumes, prompts, tmp_path):
    np.save(tmp_path / "plane.npy", np.zeros((8, 8)))
    told = prompts({"time": 0, "plane": 1, "points": [[5, 5]]})
    out = tmp_path / "labels.tif"
    answer = anysam("track", tmp_path / "plane.npy", "--prompts", told, "-o", out)
    assert answer[0] == 1
    assert "no time series" in answer[2]
    answer = anysam("track", volumes[0], "--prompts", told, "-o", tmp_path / "labels.csv")
    assert "use .tif or .zarr" in answer[2]
    out.touch()
    assert "exists already" in anysam("track", volumes[0], "--prompts", told, "-o", out)[2]
