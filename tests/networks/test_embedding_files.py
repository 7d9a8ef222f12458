import os

import pytest
import torch
from safetensors.torch import save_file

from napari_anysam import load_model
from napari_anysam.errors import EmbeddingError
from napari_anysam.networks.embedding_files import load_embedding, save_embedding
from napari_anysam.networks.protocol import Embedding
from seeded_weights import seeded_image


@pytest.fixture(scope="module")
def embedding(nano):
    return nano.encode(seeded_image(60, 80))


@pytest.fixture
def file(embedding, tmp_path):
    save_embedding(embedding, tmp_path / "plane.safetensors")
    return tmp_path / "plane.safetensors"


def test_what_was_saved_comes_back(nano, embedding, file):
    found = load_embedding(file, nano)
    assert found.image_shape == (60, 80)
    assert found.model_key == nano.key
    assert found.tensors.keys() == embedding.tensors.keys()
    assert all(torch.equal(one, found.tensors[name]) for name, one in embedding.tensors.items())


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_tensors_lie_in_memory_as_before(precision, tmp_path):
    model = load_model("anysam-nano", device="cpu", precision=precision)
    embedding = model.encode(seeded_image(60, 80))
    assert not all(one.is_contiguous() for one in embedding.tensors.values())
    save_embedding(embedding, tmp_path / "plane")
    found = load_embedding(tmp_path / "plane", model)
    for name, one in embedding.tensors.items():
        assert found.tensors[name].stride() == one.stride()
        assert torch.equal(found.tensors[name], one)


def test_a_loaded_embedding_does_not_need_its_file(nano, embedding, file):
    found = load_embedding(file, nano)
    file.write_bytes(bytes(file.stat().st_size))
    assert all(torch.equal(one, found.tensors[name]) for name, one in embedding.tensors.items())


def test_a_file_of_another_model_is_refused(nano, embedding, tmp_path):
    other = Embedding(embedding.tensors, embedding.image_shape, "another")
    save_embedding(other, tmp_path / "plane")
    with pytest.raises(EmbeddingError, match="as it is loaded now; delete it and encode"):
        load_embedding(tmp_path / "plane", nano)


@pytest.mark.parametrize("length", [0, 5, 500, -1])
def test_a_file_that_was_cut_off_is_refused(nano, file, length):
    whole = file.read_bytes()
    file.write_bytes(whole[:length])
    with pytest.raises(EmbeddingError, match="is damaged, or no embedding"):
        load_embedding(file, nano)


def test_a_file_with_a_wrong_bit_is_refused(nano, file):
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    with pytest.raises(EmbeddingError, match="is damaged; delete it and encode the image again"):
        load_embedding(file, nano)


def test_no_wrong_bit_in_what_describes_the_tensors_is_trusted(nano, tmp_path):
    tensors = {"features": torch.arange(12.0).reshape(3, 4), "fine": torch.ones(2).half()}
    path = tmp_path / "plane"
    save_embedding(Embedding(tensors, (60, 80), nano.key), path)
    content = path.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(EmbeddingError):
            load_embedding(path, nano)


def test_another_safetensors_file_is_refused(nano, tmp_path):
    save_file({"weight": torch.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(EmbeddingError, match="is no embedding"):
        load_embedding(tmp_path / "model.safetensors", nano)


def test_a_missing_file_is_told_from_a_damaged_one(nano, tmp_path):
    with pytest.raises(FileNotFoundError):
        load_embedding(tmp_path / "none", nano)


def test_saving_again_replaces_the_file_and_leaves_no_other(nano, embedding, file):
    before = os.stat(file).st_ino
    save_embedding(embedding, file)
    assert os.stat(file).st_ino != before
    assert list(file.parent.iterdir()) == [file]
    assert load_embedding(file, nano).image_shape == (60, 80)


def test_a_failure_leaves_nothing(embedding, tmp_path):
    (tmp_path / "plane").mkdir()
    with pytest.raises(OSError, match="plane"):
        save_embedding(embedding, tmp_path / "plane")
    assert list(tmp_path.iterdir()) == [tmp_path / "plane"]
