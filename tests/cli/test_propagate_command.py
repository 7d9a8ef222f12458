"""``anysam propagate``: what it does unless it is told otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from cli_helpers import discs

from napari_anysam.images.files import read_image


def coming_back():
    """Return a disc on two planes, no plane of it, and the disc again."""
    stack, truth = discs(count=2)
    blank = np.random.default_rng(1).normal(200, 20, (3, *stack.shape[1:])).astype(np.uint16)
    return np.concatenate([stack, blank, stack]), truth


@pytest.mark.parametrize(
    ("axes", "options", "ends"),
    [
        ("ZYX", (), True),
        ("ZYX", ("--no-stop-at-ends",), False),
        ("TYX", (), False),
        ("TYX", ("--stop-at-ends",), True),
    ],
)
def test_objects_end_unless_the_axis_is_time(anysam, prompts, tmp_path, axes, options, ends):
    stack, truth = coming_back()
    tifffile.imwrite(tmp_path / "stack.ome.tif", stack, ome=True, metadata={"axes": axes})
    given, out = prompts({"plane": 0, "points": [[44, 50]]}), tmp_path / "o.tif"
    code, _, err = anysam(
        *("propagate", tmp_path / "stack.ome.tif", "--prompts", given, "-o", out, "-q", *options)
    )
    assert code == 0, err
    labels = np.asarray(read_image(out).array[...])
    assert (labels[:2].astype(bool) & truth).sum() > 0.7 * truth.sum()
    assert labels[5:].any() != ends


def test_consensus_is_not_told_where_objects_end(anysam, stack, prompts, tmp_path):
    given = prompts({"plane": 2, "points": [[44, 50]]})
    command = ("propagate", stack[0], "--prompts", given, "-o", tmp_path / "o.tif", "--consensus")
    code, _, err = anysam(*command, "--stop-at-ends")
    assert code == 2
    assert "leave out --stop-at-ends" in err


def test_a_run_that_may_not_fit_is_warned_of_and_made(
    anysam, stack, prompts, tmp_path, monkeypatch
):
    free(monkeypatch, memory=10**8, disk=10**5)
    given, out = prompts({"plane": 2, "points": [[44, 50]]}), tmp_path / "o.tif"
    code, _, err = anysam(
        *("propagate", stack[0], "--prompts", given, "-o", out, "-q", "--direction", "forward"),
        *("--start", 2, "--stop", 3),
    )
    assert code == 0
    (warning,) = err.splitlines()
    assert warning.startswith("anysam: warning: the run may take up to ")
    assert "of memory, and 100 MB are free; take a smaller level" in warning
    assert "of the disk, and 0 MB are free; write to another disk" in warning
    assert out.exists()


def test_a_run_that_the_disk_cannot_hold_is_refused(anysam, stack, prompts, tmp_path, monkeypatch):
    free(monkeypatch, memory=10**12, disk=10**4)
    given, out = prompts({"plane": 2, "points": [[44, 50]]}), tmp_path / "o.nii"
    command = ("propagate", stack[0], "--prompts", given, "-o", out, "-q")
    code, _, err = anysam(*command)
    assert code == 1
    assert err.startswith("anysam: error: The run takes at least ")
    assert "write to another disk" in err
    assert not list(tmp_path.glob("o.nii*"))


def test_the_estimate_counts_what_the_output_and_three_axes_take(anysam, stack, prompts, tmp_path):
    given = prompts({"plane": 2, "points": [[44, 50]]})
    command = ("propagate", stack[0], "--prompts", given, "--estimate", "-o")
    code, told, err = anysam(*command, tmp_path / "o.nii.gz", "--consensus")
    assert (code, err) == (0, "")
    assert [line.split(":")[0] for line in told.splitlines()[:3]] == ["time", "memory", "disk"]


def test_a_second_stack_is_refused_with_what_to_do(anysam, stack, prompts, tmp_path):
    given = prompts({"plane": 2, "points": [[44, 50]]})
    code, _, err = anysam("propagate", stack[0], stack[0], "--prompts", given, "-o", tmp_path / "o")
    assert code == 2
    assert f"unrecognized arguments: {stack[0]}" in err
    assert "one image at a time" in err
    code, _, err = anysam(
        "propagate", stack[0], "--prompts", given, "-o", tmp_path / "o", "--everywhere"
    )
    assert code == 2
    assert "unrecognized arguments: --everywhere" in err
    assert "one image" not in err


@pytest.mark.parametrize("seconds", ["often", "-1", "nan"])
def test_seconds_that_are_none_are_refused(anysam, stack, prompts, tmp_path, seconds):
    given = prompts({"plane": 2, "points": [[44, 50]]})
    command = ("propagate", stack[0], "--prompts", given, "-o", tmp_path / "o.tif")
    code, _, err = anysam(*command, f"--save-every={seconds}")
    assert code == 2
    assert f"'{seconds}' is no number of seconds; use one from 0 up" in err


def free(monkeypatch, memory, disk):
    """Let the machine have so much room; a full one is not made in a test."""
    from napari_anysam.segmentation import run_estimate

    monkeypatch.setattr(run_estimate, "free_room", lambda _: (memory, disk))
