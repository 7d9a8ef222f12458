"""EdgeSAM.

The numbers were made with chongzhou96/EdgeSAM@b53372c0, its RepViT m1 and its ``SamPredictor`` with
``use_stability_score=True``.
"""

import pytest
import torch
from conformance import CPU, PROMPTS, Conformance, like

from napari_anysam.errors import CheckpointError
from napari_anysam.models.architecture import identify
from napari_anysam.networks.edge_sam import build_edge_sam
from napari_anysam.segmentation.prompts import Prompt
from official_layouts import narrow_decoders, rep_vit, sam_decoders
from seeded_weights import sample, seeded_image, seeded_state

pytestmark = pytest.mark.usefixtures("one_thread")  # as the official numbers were made

# fmt: off
FEATURES = [-0.34222, -1.2315, -0.82751, -1.0232, -2.0858, -1.1051, -1.2406, 1.6511,
            -0.60604, 0.056521, 1.5045, 1.6021, -1.8458, -0.35082, 0.79666, 1.1392]
POINT_LOGITS = [0.96587, -0.45028, -0.80815, -0.35973, 0.5113, -0.35736, 0.086257, -0.7971,
                0.48592, -0.27025, -0.070257, 1.2775, 2.7046, 0.37, 0.27509, 0.67514]
POINT_SCORES = [0.0010407, 0.031826, 0.13713]
BOX_LOGITS = [0.55108, -0.076926, 0.4501, -0.11439, 0.81918, -0.095672, 0.50017, -0.094526,
              0.67894, -0.20363, 0.81273, -0.03026, 0.55438, -0.047809, 0.47971, -0.29723]
BOX_SCORES = [0.012633]
# fmt: on

OFFICIAL = {**rep_vit(), **sam_decoders()}
LAYOUT = {**rep_vit((8, 16, 24, 32), (1, 2, 3, 1), out=32), **narrow_decoders()}


def test_gives_the_official_numbers():
    assert len(OFFICIAL) == 821
    tensors = seeded_state(OFFICIAL)
    model = build_edge_sam(tensors, name="m", key="k", device=CPU, precision="fp32")
    embedding = model.encode(seeded_image(120, 200))
    like(sample(embedding.tensors["features"]), FEATURES)
    point = model.decode(embedding, [Prompt(points=[(40, 90)])])
    like(sample(point.logits), POINT_LOGITS)
    like(sample(point.scores, 3), POINT_SCORES)
    box = model.decode(embedding, [Prompt(box=(10, 20, 100, 150))])
    like(sample(box.logits), BOX_LOGITS)
    like(sample(box.scores, 1), BOX_SCORES)


def test_the_published_size_is_told_by_its_content():
    assert str(identify(OFFICIAL)) == "edge_sam/repvit_m1"


class TestEdgeSam(Conformance):
    family, architecture, image_size = "edge_sam", "edge_sam/repvit_8x13", 1024
    build = build_edge_sam
    layout = LAYOUT

    def test_the_finer_features_count(self, tensors, embedding):
        name = "image_encoder.fuse_stage2.weight"
        other = self.built({**tensors, name: 0 * tensors[name]})
        found = other.encode(seeded_image(90, 150)).tensors["features"]
        assert (found - embedding.tensors["features"]).abs().max() > 0.1

    def test_an_empty_mask_has_no_score(self, tensors):
        even = {"output_upscaling.3.": 10.0}
        even |= {f"output_hypernetworks_mlps.{mask}.layers.2.": -1.0 for mask in range(4)}
        state = dict(tensors)
        for place, value in even.items():
            for kind, fill in (("weight", 0.0), ("bias", value)):
                name = f"mask_decoder.{place}{kind}"
                state[name] = torch.full_like(tensors[name], fill)
        nothing = self.built(state)
        image = seeded_image(90, 150)
        masks = nothing.decode(nothing.encode(image), PROMPTS[:1])
        assert (masks.logits < -1).all()
        assert (masks.scores == 0).all()

    def test_a_missing_block_is_told(self, tensors):
        some = {name: t for name, t in tensors.items() if ".features.4." not in name}
        with pytest.raises(CheckpointError, match="blocks are missing"):
            self.built(some)

    def test_a_block_far_away_is_told(self, tensors):
        name = "image_encoder.features.999999999.token_mixer.2.c.weight"
        with pytest.raises(CheckpointError, match="blocks are missing"):
            self.built({**tensors, name: torch.ones(1)})
