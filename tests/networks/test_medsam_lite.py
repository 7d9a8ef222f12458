"""MedSAM-Lite.

The numbers were made with bowang-lab/MedSAM, branch LiteMedSAM, at b0fab47: the functions and the
network of ``CVPR24_LiteMedSAM_infer.py``, opencv-python 4.10.
"""

import numpy as np
import pytest
from conformance import CPU, Conformance, close, like

from napari_anysam.errors import CapabilityError
from napari_anysam.networks.medsam_lite import build_medsam_lite
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.prompts import Prompt
from official_layouts import narrow_decoders, narrow_tiny_vit, sam_decoders, tiny_vit
from seeded_weights import sample, seeded_image, seeded_state

pytestmark = pytest.mark.usefixtures("one_thread")  # as the official numbers were made

# fmt: off
# The first image is shrunk by a fraction, the second one doubled.
SHRUNK = [-0.26724, 0.15215, -0.99556, -3.1599, 0.52386, -0.58838, 0.26341, 0.30081,
          -0.07951, 0.78279, 0.31036, 1.2235, 0.87298, 1.4678, -0.26659, 0.73242]
ENLARGED = [-0.26971, 0.1115, -1.0211, -3.0548, 0.51884, -0.61979, 0.19741, 0.30301,
            -0.090415, 0.75699, 0.24621, 1.204, 0.87338, 1.2351, -0.2241, 0.71525]
LOGITS = [0.31377, 0.46692, -0.6337, -0.38071, -0.051646, 0.49479, -0.63074, -0.33673,
          -0.062247, 0.43185, -0.63741, -0.31982, -0.041519, 0.40178, -0.63907, 0.17334]
SCORES = [0.065778]
# fmt: on


def test_gives_the_official_numbers():
    tensors = seeded_state({**tiny_vit(patch=1, classes=0), **sam_decoders()})
    assert len(tensors) == 435
    model = build_medsam_lite(tensors, name="m", key="k", device=CPU, precision="fp32")
    like(sample(model.encode(seeded_image(128, 100)).tensors["features"]), ENLARGED)
    embedding = model.encode(seeded_image(300, 470))
    like(sample(embedding.tensors["features"]), SHRUNK)
    masks = model.decode(embedding, [Prompt(box=(12, 31, 83, 140))])
    like(sample(masks.logits), LOGITS)
    like(sample(masks.scores, 1), SCORES)


LAYOUT = {**narrow_tiny_vit(patch=1, classes=0), **narrow_decoders()}


class TestMedSamLite(Conformance):
    family, architecture, image_size = "medsam_lite", "medsam_lite/vit_t", 256
    build = build_medsam_lite
    layout = LAYOUT
    prompts = (Prompt(1, box=(3, 5, 55, 70)), Prompt(2, box=(30.5, 75, 80, 140)))

    @pytest.mark.parametrize("said", [{"points": [(20, 30)]}, {"mask": np.ones((90, 150), bool)}])
    def test_anything_but_a_box_is_refused(self, model, embedding, said):
        kind = "points" if "points" in said else "masks"
        with pytest.raises(
            CapabilityError, match=f"takes boxes but no {kind}; prompt it with boxes"
        ):
            model.decode(embedding, [Prompt(**said)])
        with pytest.raises(CapabilityError, match=f"no {kind}"):
            model.decode(embedding, [Prompt(box=(1, 2, 30, 40), **said)])

    def test_refining_is_refused(self, model, embedding):
        before = model.decode(embedding, self.prompts).logits
        with pytest.raises(CapabilityError, match="no masks"):
            model.decode(embedding, self.prompts, previous_logits=before)

    def test_a_box_drawn_again_is_answered_afresh(self, model):
        predictor, image = PlanePredictor(model), seeded_image(90, 150)
        first, second = (
            predictor.predict(lambda: image, "key", (90, 150), prompt) for prompt in self.prompts
        )
        again = predictor.predict(lambda: image, "key", (90, 150), self.prompts[1], previous=first)
        np.testing.assert_array_equal(again.best.logits, second.best.logits)

    def test_intensities_are_stretched_over_the_image(self, model):
        dark = seeded_image(256, 256) // 3
        bright = 3 * dark + 2
        first, second = (model.encode(image).tensors["features"] for image in (dark, bright))
        close(first, second)

    def test_a_uniform_image_is_no_trouble(self, model):
        features = model.encode(np.full((40, 60, 3), 7, np.uint8)).tensors["features"]
        assert features.isfinite().all()
