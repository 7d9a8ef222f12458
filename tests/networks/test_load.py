import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from safetensors.torch import save_file
from segment_anything import SamPredictor

import napari_anysam as anysam
from napari_anysam.errors import (
    CapabilityError,
    CheckpointError,
    ModelNotFoundError,
    UnknownArchitectureError,
)
from napari_anysam.models.catalogue import catalogue
from napari_anysam.models.store import builtin_folder, default_store
from napari_anysam.networks.load import load_with_report
from napari_anysam.networks.sam2_build import official_configuration, read_configuration
from tiny_sam import save_vit_b, tiny_sam

IMAGE = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def models_folder(tmp_path, monkeypatch):
    """Keep the user's own folders out of the tests."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("ANYSAM_MODELS", str(folder))
    monkeypatch.setenv("ANYSAM_CONFIG", str(tmp_path / "config"))
    return folder


@pytest.fixture(scope="module")
def sam():
    return tiny_sam()


@pytest.fixture(scope="module")
def nano():
    """State of the shipped architecture with seeded random weights."""
    torch.manual_seed(0)
    configuration = read_configuration(builtin_folder() / "anysam-nano.yaml")
    return instantiate(configuration.model, _recursive_=True).state_dict()


@pytest.fixture(scope="module")
def sam21_tiny(tmp_path_factory):
    """An official SAM 2.1 tiny file in all but its values."""
    torch.manual_seed(0)
    network = instantiate(official_configuration("2.1", "tiny").model, _recursive_=True)
    file = tmp_path_factory.mktemp("sam2") / "renamed.bin"
    torch.save({"model": network.state_dict()}, file)
    return file


def saved(tensors, file):
    torch.save(tensors, file)
    return file


class TestFiles:
    def test_sam_gives_the_official_answer(self, sam, tmp_path):
        model = anysam.load_model(saved(sam.state_dict(), tmp_path / "mine.pth"))
        assert (model.name, model.family) == ("mine", "sam")
        predictor = SamPredictor(sam)
        predictor.set_image(IMAGE)
        expected = predictor.predict(np.array([[30, 20]]), np.array([1]))[2]
        found = model.decode(model.encode(IMAGE), [anysam.Prompt(points=[(20, 30)])])
        np.testing.assert_allclose(found.logits[0].numpy(), expected, rtol=0, atol=1e-5)

    def test_the_shipped_architecture_is_told_by_content(self, nano, tmp_path):
        file = tmp_path / "sam_vit_h_4b8939.pth"  # a name that says something else
        save_file(nano, file)
        model = anysam.load_model(file)
        assert (model.family, model.image_size, model.precision) == ("sam2", 256, "fp32")
        assert model.capabilities.tracking

    @pytest.mark.filterwarnings("ignore:Nothing tells whether:UserWarning")
    def test_an_official_sam2_file(self, sam21_tiny):
        model = anysam.load_model(sam21_tiny, precision="fp32")
        assert (model.name, model.family, model.image_size) == ("renamed", "sam2", 1024)

    def test_what_training_scripts_save(self, sam, tmp_path):
        state = {f"module.sam.{name}": value for name, value in sam.state_dict().items()}
        plain = anysam.load_model(saved(sam.state_dict(), tmp_path / "a.pth"))
        wrapped = anysam.load_model(saved({"model_state": state, "epoch": 1}, tmp_path / "b.pth"))
        first, second = (m.encode(IMAGE).tensors["features"] for m in (plain, wrapped))
        assert torch.equal(first, second)

    def test_a_path_may_be_a_string(self, nano, tmp_path):
        assert anysam.load_model(str(saved(nano, tmp_path / "n.pt"))).name == "n"

    def test_half_precision_weights_compute_in_fp32(self, sam, tmp_path):
        half = {name: value.half() for name, value in sam.state_dict().items()}
        model = anysam.load_model(saved(half, tmp_path / "half.pth"))
        assert model.encode(IMAGE).tensors["features"].dtype == torch.float32

    def test_the_file_can_go_once_it_is_loaded(self, sam, tmp_path):
        file = saved(sam.state_dict(), tmp_path / "a.pth")
        model = anysam.load_model(file)
        before = model.encode(IMAGE).tensors["features"]
        file.write_bytes(b"something else")
        file.unlink()
        assert torch.equal(model.encode(IMAGE).tensors["features"], before)


class TestNames:
    def test_a_model_of_the_folder_is_found_by_name(self, sam21_tiny, models_folder):
        (models_folder / "sam2.1_hiera_tiny.pt").symlink_to(sam21_tiny)
        with pytest.warns(UserWarning, match="not the official file of SAM 2.1 tiny"):
            model = anysam.load_model("sam2.1-tiny")
        assert model.name == "sam2.1-tiny"

    def test_a_file_of_another_model_in_its_place_is_refused(self, nano, models_folder):
        saved(nano, models_folder / "sam2.1_hiera_tiny.pt")
        with pytest.raises(CheckpointError, match=r"holds anysam/nano and not sam2\.1/tiny"):
            anysam.load_model("sam2.1-tiny")

    @pytest.mark.parametrize("spec", [s for s in catalogue() if not s.builtin], ids=str)
    def test_a_model_that_is_not_on_disk_says_where_to_get_it(self, spec, models_folder):
        with pytest.raises(ModelNotFoundError) as error:
            anysam.load_model(spec.name)
        assert spec.urls[0] in str(error.value)
        assert str(models_folder) in str(error.value)

    @pytest.mark.parametrize("name", ["sam3", "", "anysam"])
    def test_an_unknown_name_lists_the_known_ones(self, name):
        with pytest.raises(ModelNotFoundError, match=r"use one of anysam-nano-3, sam-vit-b"):
            anysam.load_model(name)

    @pytest.mark.parametrize("path", ["nowhere/model", "model.pt", Path("sam-vit-b")], ids=str)
    def test_a_path_without_a_file_says_so(self, path):
        with pytest.raises(ModelNotFoundError, match="There is no file"):
            anysam.load_model(path)

    @pytest.mark.skipif(
        not (builtin_folder() / "anysam-nano-3.safetensors").exists(),
        reason="the weights are not in this checkout",
    )
    def test_the_shipped_model_is_the_default(self):
        model = anysam.load_model()
        assert model.name == "anysam-nano-3"
        assert model.capabilities.tracking


class TestKey:
    def test_changes_with_weights_precision_and_nothing_else(self, nano, tmp_path):
        file = saved(nano, tmp_path / "a.pt")
        changed = {name: value + (name == "no_mem_embed") for name, value in nano.items()}
        other = saved(changed, tmp_path / "b.pt")
        key = anysam.load_model(file).key
        (tmp_path / "c.pt").write_bytes(file.read_bytes())
        assert anysam.load_model(tmp_path / "c.pt").key == key
        assert anysam.load_model(other).key != key
        assert anysam.load_model(file, precision="bf16").key != key


class TestVariant:
    def test_a_member_of_the_family_is_named_with_the_file(self, nano, tmp_path):
        model = anysam.load_model(saved(nano, tmp_path / "a.pt"), variant="anysam-nano")
        assert model.name == "a (anysam-nano-3)"

    def test_another_one_lists_the_choices(self, nano, tmp_path):
        file = saved(nano, tmp_path / "a.pt")
        with pytest.raises(ModelNotFoundError, match=r"no variant of anysam/nano.*anysam-nano-3"):
            anysam.load_model(file, variant="sam2.1-tiny")


class TestAmbiguousFile:
    """A file that may be SAM or MedSAM, by its tensors."""

    @pytest.fixture
    def file(self, tmp_path):
        return save_vit_b(tmp_path / "tuned.pth")

    def test_a_warning_says_what_is_assumed_and_how_to_say_otherwise(self, file):
        with pytest.warns(
            UserWarning, match=r"tuned\.pth is SAM ViT-B or MedSAM; it is used as SAM"
        ) as caught:
            model = anysam.load_model(file)
        assert "sam-vit-b or medsam" in str(caught[0].message)
        assert caught[0].filename == __file__
        assert (model.name, model.capabilities.points) == ("tuned", True)

    @pytest.mark.parametrize("variant", ["sam-vit-b", "medsam"])
    def test_what_the_caller_says_ends_the_doubt(self, file, variant):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            model = anysam.load_model(file, variant=variant)
        assert model.capabilities.points == (variant == "sam-vit-b")

    def test_what_was_said_when_it_was_added_counts(self, file):
        default_store().add(file, variant="medsam")
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            model = anysam.load_model(file)
        assert (model.name, model.capabilities.points) == ("tuned (medsam)", False)

    def test_what_is_said_now_counts_more(self, file):
        default_store().add(file, variant="medsam")
        assert anysam.load_model(file, variant="sam-vit-b").capabilities.points

    def test_what_was_said_of_a_network_that_is_not_there_does_not_count(self, file):
        default_store().add(file, variant="medsam2")
        with pytest.warns(UserWarning, match="used as SAM ViT-B"):
            anysam.load_model(file)


class TestRefusals:
    def test_an_unknown_family(self, tmp_path):
        file = saved(torch.nn.Linear(2, 2).state_dict(), tmp_path / "resnet.pt")
        with pytest.raises(UnknownArchitectureError, match=r"resnet\.pt cannot be loaded.*choose"):
            anysam.load_model(file)

    def test_a_network_with_a_tensor_too_few(self, nano, tmp_path):
        short = {name: value for name, value in nano.items() if name != "no_mem_embed"}
        with pytest.raises(CheckpointError, match=r"missing.*no_mem_embed"):
            anysam.load_model(saved(short, tmp_path / "a.pt"))

    def test_a_network_with_a_tensor_too_many(self, nano, tmp_path):
        with pytest.raises(CheckpointError, match=r"unexpected.*extra"):
            anysam.load_model(saved({**nano, "extra": torch.ones(1)}, tmp_path / "a.pt"))

    def test_a_network_with_a_tensor_of_a_wrong_shape(self, nano, tmp_path):
        with pytest.raises(CheckpointError, match=r"no_mem_embed.*\(7,\)"):
            anysam.load_model(saved({**nano, "no_mem_embed": torch.ones(7)}, tmp_path / "a.pt"))

    def test_code_in_a_file_is_not_run(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "mark"),)

        file = tmp_path / "a.pt"
        file.write_bytes(pickle.dumps(Evil(), protocol=2))
        with pytest.raises(CheckpointError):
            anysam.load_model(file)
        assert not (tmp_path / "mark").exists()

    def test_a_wrong_device_or_precision_is_told_before_anything_is_read(self, tmp_path):
        with pytest.raises(CapabilityError, match="no device 'tpu'"):
            anysam.load_model(tmp_path / "missing.pt", device="tpu")
        with pytest.raises(CapabilityError, match="no precision 'fp8'"):
            anysam.load_model(tmp_path / "missing.pt", precision="fp8")


class TestReport:
    def test_each_step_is_said_in_words(self, nano, tmp_path):
        words = []
        load_with_report(saved(nano, tmp_path / "a.pt"), "cpu", report=words.append)
        assert [word.split()[0] for word in words] == ["Reading", "Checking", "Building"]

    def test_what_the_report_raises_ends_the_loading(self, nano, tmp_path):
        def stop(words):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            load_with_report(saved(nano, tmp_path / "a.pt"), report=stop)


def test_a_good_file_loads_without_a_warning(nano, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        anysam.load_model(saved(nano, tmp_path / "a.pt"))
