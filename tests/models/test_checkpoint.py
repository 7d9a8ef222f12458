import argparse
import collections
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_anysam.errors import CheckpointError, ModelNotFoundError
from napari_anysam.models.checkpoint import file_sha256, read_checkpoint

# torch remarks on the unusual files of these tests before it refuses them.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Detected pickle protocol:UserWarning", "ignore:Validating sparse:UserWarning"
)

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


class Evil:
    """Leaves a mark on disk if anything ever unpickles it."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


class EvilEval:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return eval, (f"open({str(self.mark)!r}, 'w')",)


def same(tensors, expected=STATE):
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "weights.dat"


def refusal(file):
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(file)
    message = str(error.value)
    assert str(file) in message
    assert message.endswith(".")
    assert "\n" not in message
    return message


class TestLayouts:
    def test_zip(self, file):
        torch.save(STATE, file)
        same(read_checkpoint(file).tensors)

    def test_legacy(self, file):
        torch.save(STATE, file, _use_new_zipfile_serialization=False)
        same(read_checkpoint(file).tensors)

    def test_safetensors_under_any_name(self, file):
        save_file(STATE, file)
        same(read_checkpoint(file).tensors)

    @pytest.mark.parametrize("wrapper", ["model", "state_dict", "model_state"])
    def test_wrapped(self, file, wrapper):
        torch.save({wrapper: STATE, "epoch": 3}, file)
        same(read_checkpoint(file).tensors)

    @pytest.mark.parametrize("prefix", ["", "sam."])
    def test_micro_sam_saves_a_decoder_for_instances_beside_the_network(self, file, prefix):
        # micro_sam/util.py export_custom_sam_model, training/joint_sam_trainer.py save_checkpoint
        state = {f"{prefix}{name}": tensor for name, tensor in STATE.items()}
        decoder = {
            "decoder.samplers.0.block.0.weight": torch.ones(2),
            "out_conv.bias": torch.ones(3),
        }
        torch.save({"decoder_state": decoder, "model_state": state}, file)
        same(read_checkpoint(file).tensors)

    def test_wrapped_twice_with_two_prefixes(self, file):
        state = {f"module.sam.{name}": tensor for name, tensor in STATE.items()}
        torch.save({"model": {"state_dict": state}}, file)
        same(read_checkpoint(file).tensors)

    def test_a_prefix_that_not_all_share_stays(self, file):
        state = {"sam.a": torch.ones(1), "b": torch.ones(1)}
        torch.save(state, file)
        same(read_checkpoint(file).tensors, state)

    def test_shapes_and_parameters(self, file):
        torch.save(STATE, file)
        checkpoint = read_checkpoint(file)
        assert checkpoint.shapes == {"a.weight": (2, 3), "a.bias": (2,)}
        assert checkpoint.parameters == 8


class TestHostile:
    @pytest.mark.parametrize("evil", [Evil, EvilEval])
    @pytest.mark.parametrize("protocol", range(6))
    def test_bare_pickle(self, file, tmp_path, protocol, evil):
        mark = tmp_path / "mark"
        file.write_bytes(pickle.dumps({"model": evil(mark)}, protocol=protocol))
        refusal(file)
        assert not mark.exists()

    @pytest.mark.parametrize("evil", [Evil, EvilEval])
    @pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
    @pytest.mark.parametrize("nested", [True, False], ids=["nested", "flat"])
    def test_inside_a_checkpoint(self, file, tmp_path, zipped, nested, evil):
        mark = tmp_path / "mark"
        bad = {**STATE, "extra": evil(mark)}
        content = {"model": STATE, "optimizer": [{"x": bad}]} if nested else bad
        torch.save(content, file, _use_new_zipfile_serialization=zipped)
        message = refusal(file)
        assert "could run foreign code" in message
        assert not mark.exists()

    def test_the_message_names_what_was_refused(self, file, tmp_path):
        torch.save({"model": Evil(tmp_path / "mark")}, file)
        assert "system" in refusal(file)

    def test_a_tensor_rebuilt_by_foreign_code(self, file, tmp_path):
        mark = tmp_path / "mark"
        names = b"\x80\x02cbuiltins\nexec\nX" + struct.pack("<I", len(code := _touch(mark))) + code
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", names + b"\x85R.")
            archive.writestr("archive/version", "3\n")
        refusal(file)
        assert not mark.exists()

    def test_torchscript(self, file):
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
        file.write_bytes(buffer.getvalue())
        assert "TorchScript program" in refusal(file)


class TestBookkeeping:
    """What fine-tuning scripts save beside the weights is left out, and never built."""

    @pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
    def test_a_pickled_optimiser(self, file, zipped):
        parameter = torch.nn.Parameter(torch.ones(3))
        optimiser = torch.optim.Adam([parameter])
        parameter.sum().backward()
        optimiser.step()
        content = {"model": STATE, "optimizer": optimiser}
        torch.save(content, file, _use_new_zipfile_serialization=zipped)
        same(read_checkpoint(file).tensors)

    @pytest.mark.parametrize(
        "extra",
        [
            np.float64(0.93),
            np.arange(3),
            argparse.Namespace(lr=0.1),
            Path("runs/1"),
            collections.defaultdict(dict, {"a": {}}),
            {"parameter": torch.nn.Parameter(torch.ones(2))},
        ],
        ids=lambda extra: type(extra).__name__,
    )
    @pytest.mark.parametrize("protocol", range(2, 6))
    def test_other_objects(self, file, extra, protocol):
        torch.save({"model": STATE, "extra": extra}, file, pickle_protocol=protocol)
        same(read_checkpoint(file).tensors)

    def test_parameters_as_values(self, file):
        torch.save({name: torch.nn.Parameter(value) for name, value in STATE.items()}, file)
        same(read_checkpoint(file).tensors)

    @pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
    def test_code_beside_an_optimiser_is_still_refused(self, file, tmp_path, zipped):
        mark = tmp_path / "mark"
        optimiser = torch.optim.Adam([torch.nn.Parameter(torch.ones(3))])
        content = {"model": STATE, "optimizer": optimiser, "extra": Evil(mark)}
        torch.save(content, file, _use_new_zipfile_serialization=zipped)
        assert "could run foreign code" in refusal(file)
        assert not mark.exists()

    @pytest.mark.parametrize("name", [b"torch.optim\nSGD\n", b"torch._utils\n_rebuild_tensor_v2\n"])
    def test_what_may_be_looked_up_cannot_be_changed(self, file, name):
        """A pickle's BUILD sets attributes of whatever lies on the stack, classes too."""
        set_evil_to_1 = b"N}X\x04\x00\x00\x00evilI1\ns\x86b"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", b"\x80\x02c" + name + set_evil_to_1 + b".")
            archive.writestr("archive/version", "3\n")
        refusal(file)


def _touch(mark):
    return f"open({str(mark)!r}, 'w')".encode()


class TestNoCheckpoint:
    def test_missing(self, file):
        with pytest.raises(ModelNotFoundError, match=r"no file .*weights\.dat; check its path"):
            read_checkpoint(file)

    def test_folder(self, tmp_path):
        assert "is a folder; choose" in refusal(tmp_path)

    def test_empty(self, file):
        file.write_bytes(b"")
        assert "is empty; download it again" in refusal(file)

    @pytest.mark.parametrize("start", ["<!DOCTYPE html>", "\n <html>", "\ufeff<!doctype HTML>"])
    def test_web_page(self, file, start):
        file.write_text(start + "<body>Please log in</body></html>", encoding="utf-8")
        assert "a web page" in refusal(file)

    def test_git_lfs_pointer(self, file):
        file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
        assert "git lfs pull" in refusal(file)

    @pytest.mark.parametrize("text", ["weights, honestly", '{"a": 1}', "name,value\n1,2\n"])
    def test_text(self, file, text):
        file.write_text(text)
        assert "a text file" in refusal(file)

    @pytest.mark.parametrize("seed", range(4))
    def test_random_bytes(self, file, seed):
        generator = torch.Generator().manual_seed(seed)
        values = torch.randint(0, 256, (5000,), generator=generator, dtype=torch.uint8)
        file.write_bytes(bytes(values.tolist()))
        refusal(file)

    @pytest.mark.parametrize("start", [b"\x80\x02", b"\x80\x04\x95", b"PK\x03\x04"])
    def test_random_bytes_with_a_checkpoints_start(self, file, start):
        file.write_bytes(start + bytes(range(256)) * 8)
        refusal(file)

    def test_zip_of_something_else(self, file):
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("word/document.xml", "<xml/>")
        refusal(file)

    @pytest.mark.parametrize(
        "content", [STATE["a.bias"], [STATE], {}, {"epoch": 3, "lr": 0.1}, {"model": "large"}]
    )
    def test_no_named_tensors(self, file, content):
        torch.save(content, file)
        assert "choose a file with the weights of a model" in refusal(file)

    def test_sparse_tensor(self, file):
        torch.save({"a": torch.eye(3).to_sparse()}, file)
        assert "neither quantised nor sparse" in refusal(file)


class TestTruncated:
    @pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
    def test_zip(self, file, kept):
        torch.save({"a": torch.ones(10_000)}, file)
        _cut(file, kept)
        assert "is cut short; download it again" in refusal(file)

    @pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
    def test_safetensors(self, file, kept):
        save_file({"a": torch.ones(10_000)}, file)
        _cut(file, kept)
        assert "is cut short; download it again" in refusal(file)

    @pytest.mark.parametrize("kept", [0.001, 0.1, 0.5, 0.9, 0.999])
    def test_legacy(self, file, kept):
        torch.save({"a": torch.ones(10_000)}, file, _use_new_zipfile_serialization=False)
        _cut(file, kept)
        assert "download it again" in refusal(file)

    @pytest.mark.parametrize("length", [2, 8, 9, 20, 60])
    def test_header_of_safetensors(self, file, length):
        save_file({"a": torch.ones(10)}, file)
        file.write_bytes(file.read_bytes()[:length])
        refusal(file)


def _cut(file, kept):
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * kept)])


class TestHash:
    def test_follows_the_content(self, file):
        file.write_bytes(b"abc")
        first = file_sha256(file)
        assert first == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        file.write_bytes(b"abcd")
        assert file_sha256(file) != first
