"""What every relative of SAM must do; each family's tests subclass it."""

import pytest
import torch

import napari_anysam as anysam
from napari_anysam.errors import Cancelled, CheckpointError
from napari_anysam.models.architecture import identify
from napari_anysam.networks.protocol import PromptableModel
from napari_anysam.segmentation.prompts import Prompt
from seeded_weights import seeded_image, seeded_state

CPU = torch.device("cpu")
SHAPE = (90, 150)

PROMPTS = (
    Prompt(1, points=[(20, 30)]),
    Prompt(2, box=(3, 5, 55, 70)),
    Prompt(3, points=[(60, 110), (5.5, 8)], polarity=[True, False]),
    Prompt(4, box=(30, 75, 80, 140)),
    Prompt(5, points=[(70, 100)], box=(50, 80, 88, 120)),
    Prompt(6, points=[(44, 66)]),
)


class Conformance:
    """Subclasses say what they test.

    family, architecture, image_size : as the model and its file should report them
    build : the family's builder
    layout : names and shapes of a file whose network computes fast
    prompts : of several layouts, all of which the family takes
    matrix : a tensor of the file with two dimensions or more
    unused : tensors of the file that the network can do without
    """

    prompts = PROMPTS
    unused = ()
    matrix = "mask_decoder.iou_token.weight"

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
        assert not model.capabilities.tracking

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

    def test_masks_come_back_in_the_images_size(self, model, embedding):
        masks = model.decode(embedding, self.prompts[:1])
        assert model.upscale(masks.logits, SHAPE).shape == (*masks.scores.shape, *SHAPE)

    def test_bf16_is_near_fp32(self, model, tensors, embedding):
        rough = self.built(tensors, "bf16")
        exact = model.decode(embedding, self.prompts).logits
        found = rough.decode(rough.encode(seeded_image(*SHAPE)), self.prompts).logits
        assert found.dtype == torch.float32
        error = (found - exact).abs()
        assert 0 < error.mean() < 0.1 * exact.abs().mean()

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
        with pytest.raises(ValueError, match="not of weights:bf16"):
            other.decode(embedding, self.prompts)

    def test_a_missing_tensor_is_refused(self, tensors):
        for name in [name for name in tensors if name not in self.unused][::40]:
            some = {other: tensor for other, tensor in tensors.items() if other != name}
            with pytest.raises(CheckpointError, match="get the complete file"):
                self.built(some)

    def test_an_unexpected_tensor_is_refused(self, tensors):
        with pytest.raises(CheckpointError, match=r"1 unexpected \(image_encoder\.extra\)"):
            self.built({**tensors, "image_encoder.extra": torch.ones(1)})

    def test_a_tensor_of_a_wrong_shape_is_refused(self, tensors):
        with pytest.raises(CheckpointError, match=rf"{self.matrix} \(2, 3\) instead of"):
            self.built({**tensors, self.matrix: torch.ones(2, 3)})


def close(found, expected, atol=1e-5):
    torch.testing.assert_close(found, torch.as_tensor(expected), rtol=0, atol=atol)


def like(found, expected):
    """Compare a sample of a tensor with what the official network gave on one thread."""
    close(torch.tensor(found), torch.tensor(expected), atol=1e-4)
