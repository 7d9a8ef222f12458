"""Which file of a Hugging Face repository is taken where none is named."""

import pytest

from napari_anysam.errors import DownloadError
from napari_anysam.models.hub import choose_file

TOKENS = ["README.md", "config.json", "preprocessor_config.json"]


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (["weights/mine.pth"], "weights/mine.pth"),
        (["pytorch_model.bin", "tf_model.h5", "model.safetensors"], "model.safetensors"),
        (["model.safetensors", "sam2.1_hiera_tiny.pt"], "sam2.1_hiera_tiny.pt"),
        (["training_args.bin", "model.safetensors", "onnx/model.safetensors"], "model.safetensors"),
    ],
    ids=["the only one", "what transformers reads", "the official one", "not the bookkeeping"],
)
def test_the_choice(files, chosen):
    assert choose_file("a/b", TOKENS + files) == chosen


def test_several_official_files_are_left_to_the_user():
    files = ["sam_hq_vit_b.pth", "sam_hq_vit_h.pth"]
    with pytest.raises(DownloadError, match=r"name one of sam_hq_vit_b\.pth, sam_hq_vit_h\.pth"):
        choose_file("lkeab/hq-sam", files)


def test_weights_in_parts_are_refused():
    files = [f"model-0000{part}-of-00002.safetensors" for part in (1, 2)]
    with pytest.raises(DownloadError, match=r"in several parts.*max_shard_size"):
        choose_file("a/b", [*files, "model.safetensors.index.json"])


def test_a_repository_without_weights_says_so():
    with pytest.raises(DownloadError, match="a/b holds no file of weights"):
        choose_file("a/b", TOKENS)
