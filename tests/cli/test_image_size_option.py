"""``--image-size``: what the network sees, in runs, their requests and their estimates."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tifffile
from cli_helpers import iou

from napari_anysam.models.measurements import Measurement, default_measurements


@pytest.fixture
def arguments(stack, prompts, tmp_path, monkeypatch):
    """A run of the shipped model, whose embeddings and measurements are nobody else's."""
    monkeypatch.setenv("ANYSAM_CACHE", str(tmp_path / "cache"))
    path = prompts({"plane": 2, "points": [[44, 50]]})
    return ["propagate", stack[0], "--prompts", path, "-o", tmp_path / "o.tif", "-q"]


def test_images_and_stacks_are_answered(anysam, arguments, image, prompts, stack, tmp_path):
    code, _, err = anysam(*arguments, "--image-size", 128)
    assert code == 0, err
    found = tifffile.imread(tmp_path / "o.tif")
    assert all(iou(mask, truth) > 0.8 for mask, truth in zip(found == 1, stack[1], strict=True))
    assert {one.image_size for one in default_measurements().all()} == {128}
    output = tmp_path / "image_labels.tif"
    click = prompts(name="click.json")
    code, _, err = anysam(
        *("segment", image[0], "--prompts", click, "-o", output, "--image-size", 128, "-q")
    )
    assert code == 0, err
    assert iou(tifffile.imread(output) == 1, image[1]) > 0.8


def test_a_run_goes_on_with_the_size_that_it_began_with(anysam, arguments, monkeypatch):
    from napari_anysam.images.label_stack import LabelStack

    write = LabelStack.write

    def failing(self, index, part):
        if index == 4:
            raise KeyboardInterrupt
        write(self, index, part)

    with monkeypatch.context() as patch:
        patch.setattr(LabelStack, "write", failing)
        assert anysam(*arguments, "--image-size", 128)[0] == 130
    code, _, err = anysam(*arguments, "--resume")
    assert code == 1
    assert "began with another model" in err
    assert anysam(*arguments, "--image-size", 128, "--resume")[0] == 0


def test_a_model_of_one_size_says_so_before_it_is_loaded(anysam, arguments):
    code, _, err = anysam(*arguments, "--model", "sam-vit-b", "--image-size", 512, "--estimate")
    assert code == 1
    assert "of no other size" in err


def test_the_proposed_size_takes_the_promised_time(anysam, stack, prompts, tmp_path, monkeypatch):
    monkeypatch.setenv("ANYSAM_CACHE", str(tmp_path / "cache"))
    tifffile.imwrite(tmp_path / "long.tif", np.zeros((300, 96, 96), np.uint8))
    default_measurements().record(
        Measurement(
            *("sam2.1-tiny", "cpu", "fp32", 5.0, 10**8, 1, "2026"),
            track_seconds=8.0,
            image_size=1024,
        )
    )
    run = [
        "propagate",
        tmp_path / "long.tif",
        "--prompts",
        prompts({"plane": 2, "points": [[9, 9]]}),
    ]
    run += ["-o", tmp_path / "o.tif", "--model", "sam2.1-tiny", "--device", "cpu", "--estimate"]
    code, said, err = anysam(*run)
    assert code == 0, err
    assert "time: about 65 min" in said
    proposed = re.search(r"\((--image-size 512)\), which gives coarser masks: (about .*)\.", said)
    code, followed, err = anysam(*run, *proposed[1].split())
    assert code == 0, err
    assert f"time: {proposed[2]}" in followed
    assert "--image-size" not in followed
    assert float(re.search(r"memory: up to (\d+)", followed)[1]) < 1000
