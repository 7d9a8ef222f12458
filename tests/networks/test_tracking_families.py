"""The networks that follow objects: SAM 2, the shipped model, MedSAM2 and EdgeTAM."""

import pytest
import torch
from conformance import CPU, PROMPTS, SHAPE, Conformance, close
from hydra.utils import instantiate

import napari_anysam as anysam
from faults import decoder_of, no_room_for
from napari_anysam.models.catalogue import DEFAULT_MODEL, catalogue, find_model
from napari_anysam.models.checkpoint import read_checkpoint
from napari_anysam.models.store import builtin_folder, default_store
from napari_anysam.networks import out_of_memory
from napari_anysam.networks.edge_tam import build_edge_tam, edge_tam_configuration
from napari_anysam.networks.sam2 import build_sam2
from napari_anysam.networks.sam2_build import (
    official_configuration,
    read_configuration,
    resized_configuration,
)
from napari_anysam.networks.tracking_protocol import Recall, TrackingModel
from seeded_weights import he_seeded_state, seeded_image

pytestmark = pytest.mark.usefixtures("one_thread")


class TrackingConformance(Conformance):
    """Subclasses say what ``Conformance`` asks for, and what they add.

    configuration : of the network, at a size that computes fast
    variant : what the caller says of a file
    published_size : side of the input of a network that was loaded from a file
    followed_in : half precisions in which objects are followed; CPUs are slow in fp16
    """

    family, build = "sam2", build_sam2
    tracking = True
    reshaped = "sam_mask_decoder.iou_token.weight"
    every = 200
    variant = None
    followed_in = ("bf16",)

    @classmethod
    def built(cls, tensors, precision="fp32", device=CPU):
        return cls.build(
            tensors,
            cls.configuration,
            name="tiny",
            key="weights",
            device=device,
            precision=precision,
        )

    @pytest.fixture(scope="class")
    @classmethod
    def tensors(cls):
        network = instantiate(cls.configuration.model, _recursive_=True)
        tensors = he_seeded_state(network.state_dict(), gain=0.5)
        # The object is always there, or every mask would be the same.
        tensors["sam_mask_decoder.pred_obj_score_head.layers.2.bias"].fill_(10.0)
        return tensors

    def test_a_file_loads(self, tensors, model, tmp_path):
        torch.save({"model": tensors}, tmp_path / "mine.pt")
        found = anysam.load_model(tmp_path / "mine.pt", "cpu", "fp32", variant=self.variant)
        said = f" ({self.variant})" if self.variant else ""
        assert (found.name, found.family) == (f"mine{said}", self.family)
        assert found.image_size == self.published_size
        assert isinstance(found, TrackingModel)
        expected = model.network.state_dict()
        for name, tensor in found.network.state_dict().items():
            assert torch.equal(tensor, expected[name])

    def test_the_catalogue_says_whether_it_takes_other_sizes(self, model):
        members = [spec for spec in catalogue() if spec.family == self.family]
        assert {spec.other_sizes for spec in members} == {model.capabilities.other_sizes}

    def test_objects_are_followed_in_half_precision(self, model, tensors, embedding):
        exact = followed(model, embedding)
        for precision in self.followed_in:
            rough = self.built(tensors, precision)
            found = followed(rough, rough.encode(seeded_image(*SHAPE)))
            error = (found.logits - exact.logits).abs().mean()
            assert 0 < error < 0.1 * exact.logits.abs().mean()

    def test_a_batch_of_followed_objects_that_does_not_fit_is_halved(self, model, embedding):
        expected = followed(model, embedding)
        with no_room_for(decoder_of(model), more_than=1) as refused:
            found = followed(model, embedding)
        assert refused
        close(found.logits, expected.logits)
        close(found.pointers, expected.pointers)

    def test_memories_follow_a_move(self, model, tensors, embedding):
        other = self.built(tensors)
        recalls = remembered(other, embedding)
        other.to(CPU)
        found = other.follow(embedding, recalls, plane_count=9)
        close(found.logits, followed(model, embedding).logits)


def remembered(model, embedding):
    """Return what objects remember of a plane on which they were prompted."""
    answers = out_of_memory.anchor(model, embedding, PROMPTS[1:4:2])
    memories = out_of_memory.remember(model, embedding, answers, anchored=True)
    return [
        Recall((memory,), (0,), (pointer,), (1,))
        for memory, pointer in zip(memories, answers.pointers, strict=True)
    ]


def followed(model, embedding):
    """Find objects again on the plane on which they were prompted."""
    return out_of_memory.follow(model, embedding, remembered(model, embedding), plane_count=9)


class TestSam2(TrackingConformance):
    architecture, image_size, published_size = "sam2/tiny", 128, 1024
    configuration = resized_configuration(official_configuration("2", "tiny"), 128)


class TestMedSam2(TrackingConformance):
    """SAM 2.1 tiny, which only its caller can tell from MedSAM2."""

    architecture, image_size, published_size = "sam2.1/tiny", 128, 512
    configuration = resized_configuration(official_configuration("2.1", "tiny"), 128)
    variant = "medsam2"


class TestEdgeTam(TrackingConformance):
    family, build = "edge_tam", build_edge_tam
    architecture, image_size, published_size = "edge_tam/repvit_m1", 256, 1024
    configuration = edge_tam_configuration(256)
    followed_in = ("bf16", "fp16")


class TestShippedModel(TrackingConformance):
    architecture, image_size, published_size = "anysam/nano", 256, 256
    configuration = read_configuration(builtin_folder() / "anysam-nano.yaml")
    followed_in = ("bf16", "fp16")

    @pytest.fixture(scope="class")
    @classmethod
    def tensors(cls):
        checkpoint = read_checkpoint(default_store().locate(find_model(DEFAULT_MODEL)))
        return {name: tensor.float() for name, tensor in checkpoint.tensors.items()}
