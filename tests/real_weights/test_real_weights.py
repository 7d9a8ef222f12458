"""Official weights: downloaded, verified, and asked for coins. One model per family.

    make test-network

Skipped otherwise. The files (about 3.5 GB) stay in the user's folder of models, so that a second
run downloads nothing.
"""

import os

import numpy as np
import pytest
from scipy import ndimage
from skimage import data, filters, measure, morphology

import napari_anysam as anysam
from napari_anysam.models.catalogue import catalogue, find_model
from napari_anysam.models.checkpoint import file_sha256
from napari_anysam.models.download import download
from napari_anysam.models.store import default_store
from napari_anysam.settings import read_settings

# The smallest of each family, and the mean IoU that it must reach on coins from boxes: those for
# natural images draw a coin's outline well; those for medicine were never shown one.
MODELS = {
    "sam-vit-b": 0.85,
    "sam-hq-vit-tiny": 0.85,
    "mobile-sam": 0.85,
    "edge-sam": 0.8,
    "efficient-sam-vitt": 0.8,
    "sam2-tiny": 0.85,
    "sam2.1-tiny": 0.85,
    "edgetam": 0.8,
    "medsam": 0.6,
    "medsam-lite": 0.5,
    "sam-med2d": 0.5,
    "medsam2": 0.6,
    "fastsam-s": 0.7,
    "micro-sam-lm-vit-t": 0.7,
    "micro-sam-em-organelles-vit-t": 0.5,
    "micro-sam-histopathology-vit-b": 0.6,
    "micro-sam-medical-vit-b": 0.5,
}


@pytest.fixture(scope="module")
def coins():
    """Return the image and the labels of its bright discs."""
    image = data.coins()
    flat = image - filters.gaussian(image, 40, preserve_range=True)
    coarse = flat > filters.threshold_otsu(flat)
    filled = ndimage.binary_fill_holes(morphology.closing(coarse, morphology.disk(3)))
    labels = measure.label(morphology.opening(filled, morphology.disk(5)))
    return image, labels


def test_every_family_is_here():
    families = {spec.family for spec in catalogue() if not spec.builtin}
    assert {find_model(name).family for name in MODELS} == families


@pytest.mark.network
@pytest.mark.timeout(7200)
@pytest.mark.skipif(
    os.environ.get("ANYSAM_TEST_NETWORK") != "1",
    reason="downloads official weights; run it with: make test-network",
)
@pytest.mark.parametrize("name", MODELS)
def test_official_weights_segment_coins(name, coins):
    spec = find_model(name)
    if spec.family == "fast_sam":
        pytest.importorskip("ultralytics")
    store = default_store()
    path = download(spec, store, read_settings())
    if spec.sha256 is None:
        print(f"{name}: SHA-256 as first downloaded {store.recorded_sha256(spec)}")
    else:
        assert file_sha256(path) == spec.sha256
    model = anysam.load_model(name, precision="fp32")
    image, labels = coins
    regions = [one for one in measure.regionprops(labels) if one.area > 800][:12]
    prompts = [anysam.Prompt(number, box=one.bbox) for number, one in enumerate(regions, start=1)]
    answer = anysam.segment(image, prompts, model=model)
    ious = []
    for number, one in enumerate(regions, start=1):
        found, truth = answer == number, labels == one.label
        ious.append((found & truth).sum() / (found | truth).sum())
    print(f"{name}: mean IoU {np.mean(ious):.3f} on {len(ious)} coins")
    assert np.mean(ious) >= MODELS[name]
