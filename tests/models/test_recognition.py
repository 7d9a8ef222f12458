import pytest
import torch

from napari_anysam.errors import UnknownArchitectureError
from napari_anysam.models import recognition
from napari_anysam.models.architecture import Architecture
from napari_anysam.models.catalogue import catalogue, find_model
from napari_anysam.models.recognition import distinction, possible_variants, unlike_members
from napari_anysam.models.store import builtin_folder
from tiny_sam import save_vit_b, tiny_sam

ARCHITECTURES = sorted({spec.architecture for spec in catalogue()})


def names(specs):
    return [spec.name for spec in specs]


def test_a_file_that_may_be_sam_or_medsam(tmp_path):
    assert names(possible_variants(save_vit_b(tmp_path / "a.pth"))) == ["sam-vit-b", "medsam"]


def test_a_published_file_is_known_by_its_hash(tmp_path, monkeypatch):
    monkeypatch.setattr(recognition, "file_sha256", lambda path: find_model("medsam").sha256)
    assert possible_variants(save_vit_b(tmp_path / "a.pth")) == ()


def test_a_file_of_which_there_is_one_kind_only(tmp_path):
    assert possible_variants(builtin_folder() / find_model("anysam-nano").file) == ()
    torch.save(tiny_sam().state_dict(), tmp_path / "a.pth")  # of a size that nobody published
    assert possible_variants(tmp_path / "a.pth") == ()


def test_a_file_of_another_family_is_named(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "a.pth")
    with pytest.raises(UnknownArchitectureError, match=r"a\.pth cannot be loaded"):
        possible_variants(tmp_path / "a.pth")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_members_that_are_treated_alike_are_one(architecture):
    members = unlike_members(Architecture(*architecture.split("/")))
    treatments = [(m.preprocessing, m.image_size, set(m.prompts)) for m in members]
    assert all(treatments.count(treatment) == 1 for treatment in treatments)
    # What is assumed without an answer is how the network is loaded without a variant.
    assert members[0].preprocessing == ""
    assert all(set(members[0].prompts) >= set(member.prompts) for member in members)


def test_medsam2_sees_smaller_images_than_sam2():
    members = unlike_members(Architecture("sam2.1", "tiny"))
    assert names(members)[:2] == ["sam2.1-tiny", "medsam2"]
    assert [member.image_size for member in members[:2]] == [1024, 512]


def test_the_distinction_is_a_sentence():
    assert distinction(find_model("medsam")) == (
        "MedSAM or a model that was fine-tuned from it: it sees images of 1024 x 1024 pixels, "
        "preprocessed in a way of their own, and takes boxes only."
    )
    assert "(such as micro-sam LM ViT-B)" in distinction(find_model("sam-vit-b"))
    assert "takes points, boxes and masks" in distinction(find_model("sam-vit-b"))
