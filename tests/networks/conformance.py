"""What every network must do; each family's tests subclass it."""

import gc
import weakref

import numpy as np
import pytest
import torch

import napari_anysam as anysam
from faults import CPU, decoder_of, network_of, no_room_for
from napari_anysam.errors import (
    Cancelled,
    CapabilityError,
    CheckpointError,
    EmbeddingError,
    NotEnoughMemoryError,
)
from napari_anysam.models.architecture import identify
from napari_anysam.networks import out_of_memory
from napari_anysam.networks.embedding_files import load_embedding, save_embedding
from napari_anysam.networks.protocol import BatchedModel, PromptableModel
from napari_anysam.segmentation.prompts import Prompt
from seeded_weights import seeded_image, seeded_state

DEVICES = [CPU, *([torch.device("cuda")] if torch.cuda.is_available() else [])]
SHAPE = (90, 150)

PROMPTS = (
    Prompt(1, points=[(20, 30)]),
    Prompt(2, box=(3, 5, 55, 70)),
    Prompt(3, points=[(60, 110), (5.5, 8)], polarity=[True, False]),
    Prompt(4, box=(30, 75, 80, 140)),
    Prompt(5, points=[(70, 100)], box=(50, 80, 88, 120)),
    Prompt(6, points=[(44, 66)]),
)

REQUESTS = {
    "points": Prompt(points=[(20, 30)]),
    "negative_points": Prompt(points=[(20, 30), (70, 100)], polarity=[True, False]),
    "boxes": Prompt(box=(3, 5, 55, 70)),
    "masks": Prompt(points=[(20, 30)], mask=np.tri(*SHAPE, dtype=bool)),
}

# Longer than wide beyond what is left of a pixel in a small square, and the smallest there is.
SHAPES = ((1, 1), (1, 50), (300, 7))


class Conformance:
    """Subclasses say what they test.

    family, architecture, image_size : as the model and its file should report them
    build : the family's builder
    layout : names and shapes of a file whose network computes fast
    prompts : of several layouts, all of which the family takes
    unused : tensors of the file that the network can do without
    extra : a name that no tensor of the file has
    tracking : whether it can follow objects
    reshaped : a tensor of the file with two dimensions or more, that is given another shape
    every : of so many tensors, one is left out and missed
    """

    prompts = PROMPTS
    unused = ()
    reshaped = "mask_decoder.iou_token.weight"
    extra = "image_encoder.extra"
    tracking = False
    every = 40

    @classmethod
    def built(cls, tensors, precision="fp32"):
        return cls.build(tensors, name="tiny", key="weights", device=CPU, precision=precision)

    @pytest.fixture(scope="class")
    @classmethod
    def tensors(cls):
        return seeded_state(cls.layout)

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, tensors):
        return cls.built(tensors)

    @pytest.fixture(scope="class")
    @classmethod
    def embedding(cls, model):
        return model.encode(seeded_image(*SHAPE))

    def test_serves_the_protocol(self, model):
        assert isinstance(model, PromptableModel)
        assert (model.family, model.image_size) == (self.family, self.image_size)
        assert model.capabilities.tracking == self.tracking

    def test_a_file_is_told_by_its_content(self, tensors):
        found = identify({name: tuple(tensor.shape) for name, tensor in tensors.items()})
        assert (str(found), found.family) == (self.architecture, self.family)

    def test_a_file_loads(self, tensors, embedding, tmp_path):
        torch.save({"model_state": tensors}, tmp_path / "mine.pt")
        model = anysam.load_model(tmp_path / "mine.pt", device="cpu", precision="fp32")
        assert (model.name, model.family) == ("mine", self.family)
        found = model.encode(seeded_image(*SHAPE)).tensors
        assert found.keys() == embedding.tensors.keys()
        assert all(tensor.equal(embedding.tensors[name]) for name, tensor in found.items())

    def test_the_same_image_gives_the_same_answer(self, model, embedding):
        again = model.encode(seeded_image(*SHAPE))
        first, second = (model.decode(e, self.prompts).logits for e in (embedding, again))
        assert torch.equal(first, second)
        assert first.std() > 1e-3

    def test_many_objects_equal_one_by_one(self, model, embedding):
        together = model.decode(embedding, self.prompts)
        assert len(together.scores) == len(self.prompts)
        for index, prompt in enumerate(self.prompts):
            alone = model.decode(embedding, [prompt])
            count = alone.scores.shape[1]
            close(together.logits[index, :count], alone.logits[0])
            close(together.scores[index, :count], alone.scores[0])

    def test_several_images_in_a_batch_equal_one_by_one(self, model):
        if not isinstance(model, BatchedModel):
            pytest.skip("answers one image at a time")
        shapes = [SHAPE, (60, 60), (144, 100)]
        prompts = [Prompt(points=[(20, 30)]), self.prompts[0], Prompt(points=[(50, 5.5)])]
        embeddings = [model.encode(seeded_image(*shape)) for shape in shapes]
        together = model.decode_each(embeddings, prompts)
        for index, (embedding, prompt) in enumerate(zip(embeddings, prompts, strict=True)):
            alone = model.decode(embedding, [prompt])
            count = alone.scores.shape[1]
            close(together.logits[index, :count], alone.logits[0])
            close(together.scores[index, :count], alone.scores[0])

    def test_masks_come_back_in_the_images_size(self, model, embedding):
        masks = model.decode(embedding, self.prompts[:1])
        assert model.upscale(masks.logits, SHAPE).shape == (*masks.scores.shape, *SHAPE)

    @pytest.mark.parametrize(("precision", "within"), [("bf16", 0.1), ("fp16", 0.01)])
    def test_half_precision_is_near_fp32(self, model, tensors, embedding, precision, within):
        rough = self.built(tensors, precision)
        exact = model.decode(embedding, self.prompts).logits
        half = rough.encode(seeded_image(*SHAPE))
        assert 2 * half.nbytes == embedding.nbytes
        found = rough.decode(half, self.prompts).logits
        assert found.dtype == torch.float32
        error = (found - exact).abs()
        assert 0 < error.mean() < within * exact.abs().mean()

    @pytest.mark.parametrize("shape", [*SHAPES, "large"], ids=str)
    def test_planes_of_any_size_and_aspect(self, model, shape):
        if shape == "large":
            shape = (self.image_size + 30, self.image_size // 2)
        embedding = model.encode(seeded_image(*shape))
        y, x = shape
        boxes = Prompt(box=(0, 0, max(1, y // 2), x)), Prompt(box=(0, 0, y, max(1, x // 2)))
        masks = model.decode(embedding, boxes)
        assert embedding.image_shape == shape
        assert model.upscale(masks.logits, shape).shape == (*masks.scores.shape, *shape)
        assert model.upscale(masks.logits, shape).isfinite().all()
        assert masks.scores.isfinite().all()

    @pytest.mark.parametrize("kind", REQUESTS)
    def test_a_kind_of_prompt_is_taken_or_refused(self, model, embedding, kind):
        prompt = REQUESTS[kind]
        needed = {"points", kind} if prompt.points else {kind}
        if all(getattr(model.capabilities, one) for one in needed):
            assert model.decode(embedding, [prompt]).logits.isfinite().all()
        else:
            with pytest.raises(CapabilityError, match="or choose another model"):
                model.decode(embedding, [prompt])

    @pytest.mark.parametrize("device", DEVICES, ids=str)
    def test_a_move_there_and_back_keeps_the_answer(self, tensors, embedding, device):
        model = self.built(tensors)
        before = model.decode(embedding, self.prompts).logits
        model.to(device)
        assert model.device.type == device.type
        there = model.decode(embedding, self.prompts).logits
        assert there.device.type == device.type
        close(there.cpu(), before, atol=1e-3)
        encoded = model.encode(seeded_image(*SHAPE))
        model.to(CPU)
        close(model.decode(encoded, self.prompts).logits, before, atol=2e-2)
        assert torch.equal(model.decode(embedding, self.prompts).logits, before)

    def test_a_saved_embedding_gives_the_same_masks(self, model, embedding, tmp_path):
        file = tmp_path / "plane.safetensors"
        save_embedding(embedding, file)
        assert list(tmp_path.iterdir()) == [file]
        loaded = load_embedding(file, model)
        assert loaded.image_shape == embedding.image_shape
        found = model.decode(loaded, self.prompts)
        expected = model.decode(embedding, self.prompts)
        assert torch.equal(found.logits, expected.logits)
        assert torch.equal(found.scores, expected.scores)

    def test_an_embedding_in_half_precision_is_saved_as_it_is(self, tensors, tmp_path):
        rough = self.built(tensors, "bf16")
        image = seeded_image(*SHAPE)
        save_embedding(rough.encode(image), tmp_path / "plane")
        found = load_embedding(tmp_path / "plane", rough)
        for name, tensor in rough.encode(image).tensors.items():
            assert found.tensors[name].dtype == tensor.dtype == torch.bfloat16
            assert torch.equal(found.tensors[name], tensor)
        with pytest.raises(EmbeddingError, match="was not made by tiny"):
            load_embedding(tmp_path / "plane", self.built(tensors))

    def test_a_batch_that_does_not_fit_is_halved(self, model, embedding):
        prompts = [*self.prompts, *self.prompts]
        expected = model.decode(embedding, prompts)
        with no_room_for(decoder_of(model), more_than=1) as refused:
            found = out_of_memory.decode(model, embedding, prompts)
        assert refused
        close(found.logits, expected.logits)
        close(found.scores, expected.scores)

    def test_what_fits_nowhere_is_one_clear_error(self, model, embedding):
        with (
            no_room_for(decoder_of(model), more_than=0),
            pytest.raises(NotEnoughMemoryError, match="close other programs"),
        ):
            out_of_memory.decode(model, embedding, self.prompts)

    def test_a_network_that_is_let_go_is_freed_at_once(self, tensors):
        model = self.built(tensors)
        model.decode(model.encode(seeded_image(*SHAPE)), self.prompts)
        weights = [weakref.ref(one) for one in network_of(model).parameters()]
        gc.collect()
        gc.disable()
        try:
            del model
            assert not any(weight() is not None for weight in weights)
        finally:
            gc.enable()

    def test_encoding_can_be_cancelled_between_blocks(self, model):
        asked = []

        def cancelled():
            asked.append(True)
            return len(asked) == 3

        with pytest.raises(Cancelled):
            model.encode(seeded_image(*SHAPE), cancelled=cancelled)
        assert len(asked) == 3

    def test_an_embedding_of_another_precision_is_refused(self, tensors, embedding):
        other = self.built(tensors, "bf16")
        with pytest.raises(CapabilityError, match="encode the image again"):
            other.decode(embedding, self.prompts)

    def test_a_missing_tensor_is_refused(self, tensors):
        for name in [name for name in tensors if name not in self.unused][:: self.every]:
            some = {other: tensor for other, tensor in tensors.items() if other != name}
            with pytest.raises(CheckpointError, match="get the complete file"):
                self.built(some)

    def test_an_unexpected_tensor_is_refused(self, tensors):
        with pytest.raises(CheckpointError, match=rf"1 unexpected \({self.extra}\)"):
            self.built({**tensors, self.extra: torch.ones(1)})

    def test_a_tensor_of_a_wrong_shape_is_refused(self, tensors):
        with pytest.raises(CheckpointError, match=rf"{self.reshaped} \(2, 3\) instead of"):
            self.built({**tensors, self.reshaped: torch.ones(2, 3)})


def close(found, expected, atol=1e-5):
    torch.testing.assert_close(found, torch.as_tensor(expected), rtol=0, atol=atol)


def like(found, expected):
    """Compare a sample of a tensor with what the official network gave on one thread."""
    close(torch.tensor(found), torch.tensor(expected), atol=1e-4)
