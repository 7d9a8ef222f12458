"""``anysam segment --everything``."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch

from fast_sam_oracle import needs_ultralytics, oracle_network
from seeded_weights import seeded_image


def test_a_model_that_answers_prompts_is_asked_at_a_grid_of_points(anysam, tmp_path):
    rows, columns = np.indices((80, 80))
    disc = (rows - 40) ** 2 + (columns - 36) ** 2 <= 15**2
    tifffile.imwrite(tmp_path / "i.tif", np.where(disc, 190, 40).astype(np.uint8))
    output = tmp_path / "o.tif"
    code, out, err = anysam("segment", tmp_path / "i.tif", "--everything", "-q", "-o", output)
    assert (code, out, err) == (0, f"{output}\n", "")
    labels = tifffile.imread(output)
    assert labels[40, 36] > 0
    assert labels[2, 78] == 0


def test_options_of_proposals_are_refused_for_it(anysam, tmp_path, image):
    output = tmp_path / "o.tif"
    code, out, err = anysam("segment", image[0], "--everything", "--conf", "0.5", "-o", output)
    assert (code, out) == (1, "")
    assert "proposes no objects by itself" in err
    assert not output.exists()


def test_options_of_proposals_with_prompts_need_such_a_model_too(anysam, tmp_path, image, prompts):
    answer = anysam(
        "segment", image[0], "--prompts", prompts(), "--no-retina-masks", "-o", tmp_path / "o.tif"
    )
    assert answer[0] == 1
    assert "answers prompts only" in answer[2]


def test_a_confidence_beyond_1_is_told_before_a_model_is_loaded(anysam, tmp_path, image):
    output = tmp_path / "o.tif"
    answer = anysam(
        "segment", image[0], "--everything", "--model", "none", "--conf", "2", "-o", output
    )
    assert answer == (1, "", "anysam: error: conf is 2; give a number from 0 to 1.\n")


@needs_ultralytics
class TestFastSam:
    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, tmp_path_factory):
        path = tmp_path_factory.mktemp("models") / "mine.pt"
        torch.save({"model": oracle_network(), "ema": None}, path)
        return path

    @pytest.fixture
    def picture(self, tmp_path):
        tifffile.imwrite(tmp_path / "picture.tif", seeded_image(40, 200), photometric="rgb")
        return tmp_path / "picture.tif"

    def labels(self, anysam, picture, model, *options):
        output = picture.with_name("labels.tif")
        arguments = ("--model", model, "--precision", "fp32", "-q", "-o", output)
        code, out, err = anysam("segment", picture, *arguments, *options)
        assert (code, out, err) == (0, f"{output}\n", "")
        return tifffile.imread(output)

    def test_everything(self, anysam, picture, model):
        many = self.labels(anysam, picture, model, "--everything", "--conf", "0.3")
        few = self.labels(anysam, picture, model, "--everything", "--conf", "0.6", "--iou", "0.2")
        assert many.shape == (40, 200)
        assert many.max() > few.max() > 0

    def test_quick_masks_differ_a_little(self, anysam, picture, model):
        fine = self.labels(anysam, picture, model, "--everything", "--retina-masks")
        quick = self.labels(anysam, picture, model, "--everything", "--no-retina-masks")
        assert 0 < np.mean((fine > 0) != (quick > 0)) < 0.2

    def test_prompts_with_options(self, anysam, picture, model, prompts):
        entry = {"object_id": 3, "box": [2, 2, 38, 80]}
        found = self.labels(anysam, picture, model, "--prompts", prompts(entry), "--conf", "0.3")
        assert set(np.unique(found)) == {0, 3}
