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
