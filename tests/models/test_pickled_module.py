"""Networks that were pickled as a whole: read as data, and never built."""

import pickle
import struct
import sys
import zipfile

import pytest
import torch
from test_checkpoint import Evil, refusal

from napari_anysam.errors import CheckpointError
from napari_anysam.models.checkpoint import read_checkpoint
from pickled_networks import (
    Conv,
    network_of,
    prompt,
    save_as_ultralytics,
    ultralytics_while_writing,
)

STATE = {
    "0.conv.weight": torch.arange(6.0).reshape(2, 3),
    "0.bn.running_mean": torch.ones(2),
    "0.bn.num_batches_tracked": torch.tensor(3),
    "1.bias": torch.zeros(4),
}

# torch remarks on unusual protocols and on sources that it cannot find.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Detected pickle protocol:UserWarning", "ignore:Couldn't retrieve source:UserWarning"
)

CONV = b"cultralytics.nn.modules.conv\nConv\n"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "weights.dat"


def same(tensors, expected=STATE):
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


def write_pickle(file, code):
    """Write a checkpoint from pickle's own instructions."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + code + b".")
        archive.writestr("archive/version", "3\n")


def under_model(code):
    """Return instructions for a dict that holds under "model" what the code leaves behind."""
    return b"}" + text("model") + code + b"s"


def text(words):
    return b"X" + struct.pack("<I", len(words)) + words.encode()


class TestReading:
    def test_tensors_have_the_names_of_a_state_dict(self, file):
        network = network_of(STATE)
        save_as_ultralytics(file, network)
        assert set(network.state_dict()) == {f"model.{name}" for name in STATE}
        same(read_checkpoint(file).tensors)

    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_any_protocol(self, file, protocol):
        with ultralytics_while_writing():
            torch.save({"model": network_of(STATE)}, file, pickle_protocol=protocol)
        same(read_checkpoint(file).tensors)

    def test_legacy_files(self, file):
        with ultralytics_while_writing():
            torch.save({"model": network_of(STATE)}, file, _use_new_zipfile_serialization=False)
        same(read_checkpoint(file).tensors)

    def test_half_precision_stays_as_it_is_in_the_file(self, file):
        save_as_ultralytics(file, network_of(STATE).half())
        found = read_checkpoint(file).tensors
        assert found["0.conv.weight"].dtype == torch.float16
        assert found["0.bn.num_batches_tracked"].dtype == torch.int64

    def test_the_moving_average_is_what_predicts(self, file):
        averaged = {name: tensor + 1 for name, tensor in STATE.items()}
        save_as_ultralytics(file, network_of(STATE), ema=network_of(averaged))
        same(read_checkpoint(file).tensors, averaged)

    def test_layers_of_torch_beside_those_of_ultralytics(self, file):
        network = network_of({})
        network.add_module("model", torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.SiLU()))
        save_as_ultralytics(file, network)
        expected = network.model.state_dict()
        same(read_checkpoint(file).tensors, expected)

    def test_a_module_alone(self, file):
        layer = torch.nn.Linear(2, 3, bias=False)
        torch.save(layer, file)
        same(read_checkpoint(file).tensors, {"weight": layer.weight})

    def test_a_buffer_that_is_not_saved_with_the_state_is_left_out(self, file):
        network = network_of(STATE)
        network.register_buffer("anchors", torch.ones(3), persistent=False)
        save_as_ultralytics(file, network)
        same(read_checkpoint(file).tensors)

    def test_a_network_that_holds_itself_ends(self, file):
        network = network_of(STATE)
        network.model.add_module("again", network)
        save_as_ultralytics(file, network)
        same(read_checkpoint(file).tensors)

    def test_a_layer_met_twice_by_every_layer_is_not_followed_twice(self, file):
        network = network_of(STATE)
        inner = Conv()
        for _ in range(60):  # 2**60 paths lead to the innermost one
            outer = Conv()
            outer.add_module("one", inner)
            outer.add_module("other", inner)
            inner = outer
        network.model.add_module("deep", inner)
        save_as_ultralytics(file, network)
        same(read_checkpoint(file).tensors)

    def test_nothing_of_ultralytics_is_imported(self, file, monkeypatch):
        save_as_ultralytics(file, network_of(STATE))
        monkeypatch.setitem(sys.modules, "ultralytics", None)  # an import would fail
        same(read_checkpoint(file).tensors)


class TestHostile:
    """Refused, and nothing of the file has run."""

    def refused(self, file, mark):
        message = refusal(file)
        assert not mark.exists()
        return message

    def test_code_in_the_state_of_a_layer(self, file, tmp_path):
        mark = tmp_path / "mark"
        network = network_of(STATE)
        network.model.criterion = Evil(mark)
        save_as_ultralytics(file, network)
        assert "system" in self.refused(file, mark)

    def test_code_beside_the_network(self, file, tmp_path):
        mark = tmp_path / "mark"
        save_as_ultralytics(file, network_of(STATE), optimizer=Evil(mark))
        assert "could run foreign code" in self.refused(file, mark)

    def test_code_in_the_place_of_a_tensor(self, file, tmp_path):
        mark = tmp_path / "mark"
        network = network_of(STATE)
        network.model._parameters["weight"] = Evil(mark)
        save_as_ultralytics(file, network)
        assert "system" in self.refused(file, mark)

    @pytest.mark.parametrize("protocol", [0, 1])
    def test_protocols_that_rebuild_objects_by_a_function(self, file, protocol):
        with ultralytics_while_writing():
            torch.save({"model": network_of(STATE)}, file, pickle_protocol=protocol)
        assert "_reconstructor" in refusal(file)

    def test_a_function_of_ultralytics(self, file):
        network = network_of(STATE)
        network.model.criterion = prompt
        save_as_ultralytics(file, network)
        assert "ultralytics.models.fastsam.predict.prompt" in refusal(file)

    @pytest.mark.parametrize(
        "name",
        ["torch.nn.functional\nconv2d", "torch.nn.modules.conv\n_ConvNd", "ultralytics\nYOLO"],
    )
    def test_what_is_no_class_of_layers(self, file, name):
        write_pickle(file, under_model(f"c{name}\n)R".encode()))
        assert name.replace("\n", ".") in refusal(file)

    @pytest.mark.parametrize("name", ["Conv.forward", "Conv.__init__.__globals__"])
    def test_what_hangs_on_a_class(self, file, name):
        names = text("ultralytics.nn.modules.conv") + text(name)
        write_pickle(file, b"\x80\x04" + under_model(names + b"\x93)R"))
        assert "could run foreign code" in refusal(file)

    @pytest.mark.parametrize(
        "arguments",
        [b"(I1\nt", b"(" + text("touch") + b"t", b"(cposix\nsystem\nt"],
        ids=["number", "text", "function"],
    )
    @pytest.mark.parametrize("instruction", [b"R", b"\x81"], ids=["REDUCE", "NEWOBJ"])
    def test_a_layer_made_with_arguments(self, file, arguments, instruction):
        write_pickle(file, under_model(CONV + arguments + instruction))
        refusal(file)

    @pytest.mark.parametrize(
        "state",
        [b"I1\n", text("state"), b"]", b"(}}t", b"N}\x86"],
        ids=["number", "text", "list", "pair", "slots"],
    )
    def test_a_state_that_is_no_dict(self, file, state):
        write_pickle(file, under_model(CONV + b")\x81" + state + b"b"))
        refusal(file)

    @pytest.mark.parametrize("kind", ["_parameters", "_buffers", "_modules"])
    @pytest.mark.parametrize("value", [b"I1\n", b"]", CONV + b")\x81"])
    def test_a_layer_that_registers_in_no_dict(self, file, kind, value):
        write_pickle(file, under_model(CONV + b")\x81}" + text(kind) + value + b"sb"))
        refusal(file)

    @pytest.mark.parametrize("value", [b"I1\n", CONV, b"}"], ids=["number", "class", "dict"])
    @pytest.mark.parametrize("kind", ["_parameters", "_modules"])
    def test_something_else_registered(self, file, kind, value):
        registered = b"}" + text(kind) + b"}" + text("x") + value + b"ss"
        write_pickle(file, under_model(CONV + b")\x81" + registered + b"b"))
        refusal(file)

    def test_the_stand_in_cannot_be_changed(self, file):
        change = b"N}" + text("tensors") + b"I1\ns\x86b"
        write_pickle(file, CONV + change)
        refusal(file)

    @pytest.mark.parametrize("instruction", [b"I1\na", text("x") + b"I1\ns"])
    def test_a_layer_is_no_container(self, file, instruction):
        write_pickle(file, under_model(CONV + b")\x81" + instruction))
        refusal(file)

    def test_a_layer_among_loose_tensors(self, file):
        with ultralytics_while_writing():
            torch.save({"weight": torch.ones(2), "layer": network_of(STATE)}, file)
        with pytest.raises(CheckpointError, match="'layer' of type PickledModule"):
            read_checkpoint(file)

    def test_a_reducer_of_the_files_own(self, file, tmp_path):
        mark = tmp_path / "mark"

        class Reduced:
            def __reduce__(self):
                return Conv, (Evil(mark),)

        with ultralytics_while_writing():
            torch.save({"model": Reduced()}, file)
        self.refused(file, mark)

    def test_the_same_way_of_writing_without_malice_is_read(self, file):
        """What the instructions above end in is due to them, not to the way they are written."""
        write_pickle(file, under_model(CONV + b")\x81}b"))
        assert "holds no named tensors" in refusal(file)


def test_such_files_are_no_plain_pickles_either(tmp_path):
    with ultralytics_while_writing():
        (tmp_path / "weights.dat").write_bytes(pickle.dumps({"model": network_of(STATE)}))
    refusal(tmp_path / "weights.dat")
