"""``anysam propagate --consensus``."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_anysam.cli_consensus import sizes_of_consensus
from napari_anysam.images.files import read_image, read_labels


@pytest.fixture
def volume(tmp_path):
    """Write a ball in voxels three times as deep as wide; return its file and truth."""
    z, y, x = np.ogrid[:5, :22, :24]
    truth = np.hypot(np.hypot(3 * (z - 2), y - 11), x - 12) < 7
    pixels = np.random.default_rng(0).normal(300, 25, truth.shape) + 700 * truth
    tifffile.imwrite(
        tmp_path / "volume.ome.tif",
        pixels.astype(np.uint16),
        ome=True,
        metadata={
            "axes": "ZYX",
            **{f"PhysicalSize{axis}": size for axis, size in zip("ZYX", (3, 1, 1), strict=True)},
        },
    )
    return tmp_path / "volume.ome.tif", truth


def test_a_ball_is_found_with_the_spacing_of_its_file(anysam, volume, prompts, tmp_path):
    image, truth = volume
    out = tmp_path / "labels.tif"
    told = prompts({"plane": 2, "box": [4, 5, 18, 19]})
    command = ("propagate", image, "--prompts", told, "-o", out, "--consensus")
    code, stdout, stderr = anysam(*command)
    assert (code, stdout) == (0, f"{out}\n")
    assert "Three axes" in stderr
    labels = tifffile.imread(out)
    assert (labels.astype(bool) & truth).sum() / (labels.astype(bool) | truth).sum() > 0.7


def test_zarr_labels_have_the_sizes_of_voxels(anysam, volume, prompts, tmp_path):
    out, told = tmp_path / "labels.zarr", prompts({"plane": 2, "box": [4, 5, 18, 19]})
    command = ("propagate", volume[0], "--prompts", told, "-o", out, "-q", "--consensus")
    code, _, stderr = anysam(*command)
    assert code == 0, stderr
    labels = read_labels(out)
    assert (labels.axes, labels.scale, labels.units) == ("ZYX", (3, 1, 1), ("micrometer",) * 3)
    assert labels.array[...].any()


def test_a_spacing_that_is_given_has_no_unit(volume):
    image = read_image(volume[0])
    own = sizes_of_consensus(image, None, [3, 1, 1])
    assert own == {"axes": "zyx", "scale": (3, 1, 1), "units": ["micrometer"] * 3}
    other = sizes_of_consensus(image, None, [2.5, 1, 1])
    assert other == {"axes": "zyx", "scale": (2.5, 1, 1), "units": ()}


@pytest.mark.parametrize(
    "wrong",
    [
        ("--spacing", "3", "1", "1"),
        ("--consensus", "--direction", "forward"),
        ("--consensus", "--start", "1"),
        ("--consensus", "--follow-brightness"),
    ],
)
def test_what_does_not_go_together_is_refused(anysam, volume, prompts, tmp_path, wrong):
    out = tmp_path / "labels.tif"
    code, _, stderr = anysam("propagate", volume[0], "--prompts", prompts(), "-o", out, *wrong)
    assert code == 2
    assert "leave" in stderr
    assert not out.exists()


def test_a_spacing_of_nothing_is_refused(anysam, volume, prompts, tmp_path):
    told = prompts({"plane": 2, "points": [[11, 12]]})
    command = ("propagate", volume[0], "--prompts", told, "-o", tmp_path / "labels.tif")
    code, _, stderr = anysam(*command, "-q", "--consensus", "--spacing", "0", "1", "1")
    assert code == 1
    assert "three numbers" in stderr
