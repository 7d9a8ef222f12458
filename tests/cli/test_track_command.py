"""``anysam track``: from a series and prompts to labels and a lineage."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
import tifffile

from napari_anysam import cli_tracks
from napari_anysam.images import plane_chunks
from napari_anysam.images.files import read_labels
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
    tifffile.imwrite(
        tmp_path / "volumes.ome.tif",
        pixels.astype(np.uint16),
        ome=True,
        metadata={
            "axes": "TZYX",
            **{
                f"PhysicalSize{axis}": size for axis, size in zip("ZYX", (3, 0.5, 0.5), strict=True)
            },
        },
    )
    return tmp_path / "volumes.ome.tif", truth


@pytest.mark.parametrize("side", [4096, 20])
def test_volumes_keep_one_id(anysam, volumes, prompts, tmp_path, side, monkeypatch):
    monkeypatch.setattr(plane_chunks, "CHUNK_SIDE", side)
    monkeypatch.setattr(plane_chunks, "LARGEST_CHUNK", side**2)
    image, truth = volumes
    told = prompts({"time": 0, "plane": 1, "object_id": 4, "mask": encode_mask(truth[0, 1])})
    out = tmp_path / "labels.zarr"
    code, stdout, _ = anysam("track", image, "--prompts", told, "-o", out)
    assert (code, stdout) == (0, f"{out}\n{tmp_path / 'labels_lineage.csv'}\n")
    found = read_labels(out)
    assert (found.axes, found.scale) == ("TZYX", (1, 3, 0.5, 0.5))
    assert found.units == (None, "micrometer", "micrometer", "micrometer")
    labels = found.array[...]
    assert set(np.unique(labels)) == {0, 4}
    assert ((labels > 0) & truth).sum() / ((labels > 0) | truth).sum() > 0.8


def test_volumes_are_followed_within_a_range(anysam, volumes, prompts, tmp_path):
    image, truth = volumes
    told = prompts({"time": 0, "plane": 1, "object_id": 4, "mask": encode_mask(truth[0, 1])})
    out = tmp_path / "labels.tif"
    command = ("track", image, "--prompts", told, "-o", out, "-q", "--z-start", "1", "--stop", "1")
    assert anysam(*command)[0] == 0
    assert np.argwhere(tifffile.imread(out).any(axis=(2, 3))).tolist() == [[0, 1], [0, 2]]
    np.save(tmp_path / "film.npy", tifffile.imread(image)[:, 0])
    code, _, stderr = anysam(
        *("track", tmp_path / "film.npy", "--prompts", told, "-o", out, "--z-stop", "2", "--force")
    )
    assert (code, "are for volumes" in stderr) == (1, True)


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


def test_what_was_finished_before_ctrl_c_is_kept(anysam, volumes, prompts, tmp_path, monkeypatch):
    image, truth = volumes
    told = prompts({"time": 0, "plane": 1, "object_id": 4, "mask": encode_mask(truth[0, 1])})
    out, kept = tmp_path / "labels.tif", tmp_path / "labels.tif.unfinished.zarr"
    command = ("track", image, "--prompts", told, "-o", out, "-q")

    def interrupted(results, _options):
        yield from islice(results, 2)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cli_tracks, "_progress", interrupted)
        code, stdout, stderr = anysam(*command)
    assert (code, stdout) == (130, "")
    assert f"The finished planes are kept in {kept}" in stderr
    assert not out.exists()
    assert (read_labels(kept).array[...] == 4).any()
    assert anysam(*command)[0] == 0
    assert out.exists()
    assert not kept.exists()
