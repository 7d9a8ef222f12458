"""MobileSAM.

The numbers were made with ChaoningZhang/MobileSAM@34bbbfdf, ``build_sam_vit_t`` and
``SamPredictor``, after ``eval()`` with the weights in place.
"""

import pytest
from conformance import CPU, Conformance, like

from napari_anysam.errors import CheckpointError
from napari_anysam.networks.mobile_sam import build_mobile_sam
from napari_anysam.segmentation.prompts import Prompt
from official_layouts import (
    TINY_VIT_HEAD,
    narrow_decoders,
    narrow_tiny_vit,
    sam_decoders,
    tiny_vit,
)
from seeded_weights import sample, seeded_image, seeded_state

pytestmark = pytest.mark.usefixtures("one_thread")  # as the official numbers were made

# fmt: off
FEATURES = [0.056908, 0.076552, -1.1529, -3.0232, 0.47855, -0.65955, 0.43235, 0.24533,
            -0.046721, 0.79321, 0.34396, 1.1917, 0.88108, 1.5332, -0.29123, 0.79394]
POINT_LOGITS = [0.066726, -0.7494, -1.4034, 1.0416, 0.15058, -0.45453, -0.11699, -0.071671,
                -0.2438, -0.44537, 0.66101, 0.31097, 0.69783, -0.18103, 0.73136, -0.59532]
POINT_SCORES = [0.38833, -0.48989, -0.26851]
BOX_LOGITS = [0.24302, 0.44694, -0.68966, -0.19151, -0.076748, 0.5839, -0.74792, -0.16003,
              -0.03348, 0.50056, -0.71715, -0.11609, 0.11209, 0.51897, -0.75161, 0.19986]
BOX_SCORES = [-0.070673]
# fmt: on


def test_gives_the_official_numbers():
    tensors = seeded_state({**tiny_vit(), **sam_decoders()})
    assert len(tensors) == 439
    model = build_mobile_sam(tensors, name="m", key="k", device=CPU, precision="fp32")
    embedding = model.encode(seeded_image(120, 200))
    like(sample(embedding.tensors["features"]), FEATURES)
    point = model.decode(embedding, [Prompt(points=[(40, 90)])])
    like(sample(point.logits), POINT_LOGITS)
    like(sample(point.scores, 3), POINT_SCORES)
    box = model.decode(embedding, [Prompt(box=(10, 20, 100, 150))])
    like(sample(box.logits), BOX_LOGITS)
    like(sample(box.scores, 1), BOX_SCORES)


LAYOUT = {**narrow_tiny_vit(), **narrow_decoders()}


class TestMobileSam(Conformance):
    family, architecture, image_size = "mobile_sam", "mobile_sam/vit_t", 1024
    build = build_mobile_sam
    layout = LAYOUT
    unused = TINY_VIT_HEAD

    def test_the_classifier_is_not_needed(self, tensors, embedding):
        bare = {name: tensor for name, tensor in tensors.items() if name not in TINY_VIT_HEAD}
        assert len(bare) == len(tensors) - 4
        found = self.built(bare).encode(seeded_image(90, 150)).tensors["features"]
        assert found.equal(embedding.tensors["features"])

    def test_every_attention_bias_counts(self, tensors, embedding):
        biases = [name for name in tensors if name.endswith("attention_biases")]
        assert len(biases) == 4
        for name in biases:
            other = self.built({**tensors, name: 0 * tensors[name]})
            found = other.encode(seeded_image(90, 150)).tensors["features"]
            assert (found - embedding.tensors["features"]).abs().max() > 1e-3

    @pytest.mark.parametrize(
        "name",
        [
            "image_encoder.patch_embed.seq.0.c.weight",
            "image_encoder.layers.1.blocks.0.attn.attention_biases",
            "image_encoder.layers.0.blocks.0.conv1.c.weight",
        ],
    )
    @pytest.mark.parametrize("shape", [(), (0,), (0, 0, 0, 0)], ids=str)
    def test_tensors_that_describe_no_network(self, tensors, name, shape):
        with pytest.raises(CheckpointError, match="get the complete file"):
            self.built({**tensors, name: tensors[name].new_ones(shape)})
