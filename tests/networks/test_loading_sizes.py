"""``load_model(image_size=...)``: which networks take it, and that nothing of two sizes mixes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_anysam import Prompt, load_model, segment
from napari_anysam.errors import CapabilityError, SessionError
from napari_anysam.models.catalogue import catalogue
from napari_anysam.models.image_size import smaller_size
from napari_anysam.segmentation.embedding_store import content_name
from napari_anysam.segmentation.journal import record_of
from napari_anysam.segmentation.replay import load_recorded
from tiny_sam import tiny_sam

IMAGE = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def made():
    return load_model("anysam-nano", "cpu", "fp32")


@pytest.fixture(scope="module")
def halved():
    return load_model("anysam-nano", "cpu", "fp32", image_size=128)


def test_the_network_sees_that_size(made, halved):
    assert (made.image_size, halved.image_size) == (256, 128)
    assert made.name == halved.name
    assert halved.guidance == made.guidance
    side = halved.encode(IMAGE).tensors["image"].shape[-1]
    assert made.encode(IMAGE).tensors["image"].shape[-1] == 2 * side


def test_it_segments(halved):
    image = np.zeros((90, 120), np.uint8)
    image[30:60, 40:80] = 200
    labels = segment(image, [Prompt(1, box=(28, 38, 62, 82))], model=halved)
    truth = image > 0
    assert ((labels == 1) & truth).sum() > 0.8 * ((labels == 1) | truth).sum()


def test_an_embedding_of_one_size_is_none_of_the_other(made, halved):
    assert made.key != halved.key
    with pytest.raises(CapabilityError, match="encode the image again"):
        made.decode(halved.encode(IMAGE), [Prompt(points=[(40, 60)])])
    assert content_name(made, IMAGE) != content_name(halved, IMAGE)


def test_a_record_names_the_size_and_is_loaded_with_it(made, halved):
    record = record_of(halved)
    assert record.image_size == 128
    assert load_recorded(record).key == halved.key
    before = replace(record_of(made), image_size=None)  # of a session that did not tell
    assert load_recorded(before).key == made.key
    with pytest.raises(SessionError):
        load_recorded(replace(record, image_size=None))


@pytest.mark.parametrize("size", [0, -512, 96, 500, 2048])
def test_a_size_that_the_network_cannot_see_is_refused(size):
    with pytest.raises(CapabilityError, match="multiple of 32 from 128 to 1024"):
        load_model("anysam-nano", "cpu", "fp32", image_size=size)


def test_a_family_with_one_size_says_so(tmp_path):
    torch.save(tiny_sam().state_dict(), tmp_path / "mine.pth")
    with pytest.raises(CapabilityError, match="128 x 128 pixels and of no other size"):
        load_model(tmp_path / "mine.pth", "cpu", "fp32", image_size=512)
    assert load_model(tmp_path / "mine.pth", "cpu", "fp32", image_size=128).image_size == 128


def test_512_is_proposed_for_sam_2_only():
    proposed = {
        spec.name
        for spec in catalogue()
        if smaller_size(spec.image_size, other_sizes=spec.other_sizes) is not None
    }
    versions, sizes = ("sam2", "sam2.1"), ("tiny", "small", "base-plus", "large")
    assert proposed == {f"{version}-{size}" for version in versions for size in sizes}
