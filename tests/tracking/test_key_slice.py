"""A lesion from its key slice: the steps of MedSAM2's recipe, each against what they shall give."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import label

import napari_anysam as anysam
from napari_anysam import Prompt
from napari_anysam.errors import AnySAMError, CapabilityError, ImageError, PromptError
from napari_anysam.networks.sam import SamModel
from napari_anysam.networks.sam2_build import official_configuration
from napari_anysam.segmentation.key_slice import (
    largest_component,
    largest_part,
    recist_box,
    segment_lesion,
)
from napari_anysam.segmentation.windows import tight_window
from random_networks import random_tensors
from tiny_sam import tiny_sam

places = st.floats(0, 63)


@pytest.fixture(scope="module")
def nano():
    return anysam.load_model("anysam-nano", device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def medsam2(tmp_path_factory):
    file = tmp_path_factory.mktemp("medsam2") / "any.pt"
    torch.save({"model": random_tensors(official_configuration("2.1", "tiny"))}, file)
    return anysam.load_model(file, device="cpu", precision="fp32", variant="medsam2")


@pytest.fixture(scope="module")
def ball():
    """A ball of 60 HU in noise around -700 HU, int16 (13, 96, 96), and its truth."""
    z, y, x = np.ogrid[-6:7, -40:56, -50:46]
    truth = (z * 3.0) ** 2 + y**2 + x**2 < 17**2
    values = np.random.default_rng(0).normal(-700, 30, truth.shape) + 760 * truth
    return values.astype(np.int16), truth


def dice(found, truth):
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


@pytest.mark.parametrize(
    "prompt", [{"box": (23, 33, 58, 68)}, {"recist": ((40, 34), (40, 66))}], ids=["box", "recist"]
)
def test_a_ball_is_found_from_its_middle_slice(nano, ball, prompt):
    volume, truth = ball
    found = segment_lesion(volume, 6, **prompt, model=nano, window="lung")
    assert (found.dtype, found.shape) == (np.uint8, volume.shape)
    assert dice(found == 1, truth) > 0.9


def test_the_axis_may_be_another_one(nano, ball):
    volume, truth = (np.moveaxis(one, 0, 2) for one in ball)
    found = segment_lesion(volume, 6, (23, 33, 58, 68), model=nano, window=(-1000, 200), axis=2)
    assert dice(found == 1, truth) > 0.9


@pytest.mark.slow
def test_both_directions_begin_afresh_and_one_component_stays(medsam2):
    volume = np.random.default_rng(1).integers(0, 255, (3, 32, 32), dtype=np.uint8)
    prompt = Prompt(1, 1, box=(6, 8, 20, 24))
    found = segment_lesion(volume, 1, prompt.box, model=medsam2, window=(0, 255))
    union = np.zeros(volume.shape, bool)
    for direction in ("forward", "backward"):
        for result in anysam.propagate(
            volume, [prompt], medsam2, direction=direction, region="plane", contrast=(0, 255)
        ):
            union[result.index] |= result.labels > 0
    parts = label(union)
    assert parts.max() >= 1
    np.testing.assert_array_equal(found == 1, parts == np.bincount(parts[union]).argmax())


@given(st.tuples(places, places), st.tuples(places, places))
def test_a_recist_line_becomes_the_square_of_its_length(first, last):
    length = math.dist(first, last)
    if length < 2:
        with pytest.raises(PromptError, match="shorter than two pixels"):
            recist_box((first, last), (64, 64))
        return
    y0, x0, y1, x1 = recist_box((first, last), (64, 64))
    middle = [int((one + other) / 2) for one, other in zip(first, last, strict=True)]
    half = int(length / 2)
    assert (y0, y1) == (max(0, middle[0] - half), min(63, middle[0] + half))
    assert (x0, x1) == (max(0, middle[1] - half), min(63, middle[1] + half))


def test_voxels_that_touch_at_a_corner_are_one_component():
    mask = np.zeros((3, 5, 5), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[2, 2, 2] = True
    mask[0, 4, 3:] = True
    found = largest_component(mask)
    assert found.sum() == 3
    assert found[1, 1, 1]
    assert not largest_component(mask & False).any()


@given(arrays(bool, (4, 5, 6)), st.integers(0, 50), st.tuples(places, places))
def test_planes_lose_what_is_not_in_the_largest_component(volume, first, corner):
    origin = (int(corner[0]), int(corner[1]))
    windows = {first + place: tight_window(plane, origin) for place, plane in enumerate(volume)}
    stays = largest_component(volume)
    expected = {
        first + place: plane
        for place, plane in enumerate(stays)
        if plane.sum() < volume[place].sum()
    }
    found = largest_part(windows)
    assert found.keys() == expected.keys()
    for place, plane in expected.items():
        window, same = found[place], tight_window(plane, origin)
        assert (window is None) == (same is None)
        if window is not None:
            assert (window.origin, window.area) == (same.origin, same.area)
            np.testing.assert_array_equal(window.mask, same.mask)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, PromptError, "either a box or a RECIST"),
        ({"box": (1, 1, 9, 9), "recist": ((1, 1), (9, 9))}, PromptError, "either a box"),
        ({"recist": ((1, 1), (9, 99))}, PromptError, "lies outside the plane"),
        ({"recist": ((1, 1), (9, 9), (3, 3))}, PromptError, "two ends"),
        ({"box": (1, 1, 9, 9), "window": "lungs"}, ImageError, "use auto, mr, brain"),
        ({"box": (90, 90, 99, 99)}, PromptError, "outside"),
        ({"box": (1, 1, 9, 9), "axis": 3}, AnySAMError, "axis"),
    ],
)
def test_what_makes_no_sense_is_refused(nano, arguments, error, message):
    with pytest.raises(error, match=message):
        segment_lesion(np.zeros((3, 16, 16), np.uint8), 1, model=nano, **arguments)


def test_a_slice_outside_the_volume_is_refused(nano):
    with pytest.raises(PromptError, match="plane"):
        segment_lesion(np.zeros((3, 16, 16), np.uint8), 3, (1, 1, 9, 9), model=nano)


def test_an_image_model_is_refused():
    model = SamModel(tiny_sam(), name="vit-b", key="vit-b", precision="fp32")
    with pytest.raises(CapabilityError, match="cannot follow"):
        segment_lesion(np.zeros((3, 16, 16), np.uint8), 1, (1, 1, 9, 9), model=model)


def test_a_real_lesion_keeps_one_component_around_its_box(nano, real_data):
    with np.load(real_data / "deeplesion_ct" / "CT_Lesion_000002_03_01_035-047.npz") as file:
        volume, truth = file["imgs"][3:10], file["gts"][3:10] > 0
    rows, columns = np.nonzero(truth[3])
    box = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
    found = segment_lesion(volume, 3, box, model=nano, window=(0, 255)) == 1
    assert label(found).max() == 1
    assert dice(found[3], truth[3]) > 0.5
