import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from napari_anysam.errors import AnySAMError, ModelNotFoundError
from napari_anysam.models.catalogue import find_model
from napari_anysam.models.store import ModelStore, builtin_folder, default_store, hash_trust


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models", tmp_path / "config")


def test_a_model_lies_under_its_official_name(store):
    spec = find_model("sam2.1-tiny")
    store.models_folder.mkdir()
    file = store.models_folder / "sam2.1_hiera_tiny.pt"
    file.write_bytes(b"weights")
    assert store.locate(spec) == file


def test_a_model_that_is_not_there_is_named_with_address_and_folder(store):
    with pytest.raises(ModelNotFoundError) as error:
        store.locate(find_model("sam2.1-tiny"))
    assert "https://dl.fbaipublicfiles.com" in str(error.value)
    assert str(store.models_folder) in str(error.value)


def test_a_file_whose_address_ends_otherwise_is_named_as_it_shall_be_saved(store):
    folder = re.escape(str(store.models_folder))
    for name, words in {
        "sam-vit-b": rf"put sam_vit_b_01ec64\.pth \(https://.*\) into {folder}\.",
        "medsam": rf"put medsam_vit_b\.pth \(https://.*\?download=1\) into {folder}\.",
        "vit_b_lm": rf"save https://.*/vit_b\.pt as vit_b_lm\.pt in {folder}\.",
        "efficient-sam-vits": rf"unpack https://.*\.zip and put \S+\.pt into {folder}\.",
        "medsam-lite": rf"save https://.*&id=\S+ as lite_medsam\.pth in {folder}\.",
    }.items():
        assert re.search(words, store.remedy(find_model(name)))


def test_the_shipped_model_does_not_depend_on_the_models_folder(store):
    spec = find_model("anysam-nano")
    expected = builtin_folder() / spec.file
    assert store.find(spec) == (expected if expected.is_file() else None)


def test_added_files_are_remembered_once_and_in_order(store, tmp_path):
    for name in ("b.pt", "a.pt", "b.pt"):
        store.add(tmp_path / name)
    assert store.added() == (tmp_path / "b.pt", tmp_path / "a.pt")


def test_another_process_sees_them(store, tmp_path):
    store.add(tmp_path / "a.pt")
    again = ModelStore(store.models_folder, store.config_folder)
    assert again.added() == (tmp_path / "a.pt",)


def test_a_removed_file_is_forgotten_and_stays_on_disk(store, tmp_path):
    file = tmp_path / "a.pt"
    file.write_bytes(b"weights")
    store.add(file)
    store.remove(file)
    assert store.added() == ()
    assert file.exists()


def test_what_a_file_is_said_to_be_is_remembered_beside_it(store, tmp_path):
    file = tmp_path / "tuned.pth"
    file.write_bytes(b"weights")
    store.add(file, variant="medsam2-latest")
    store.add(file)  # by somebody who says nothing
    assert store.remembered_variant(file) == "medsam2"
    assert store.added() == (file,)
    store.add(file, variant="sam2.1-tiny")
    assert store.remembered_variant(file) == "sam2.1-tiny"


def test_what_was_said_of_other_content_does_not_count(store, tmp_path):
    file = tmp_path / "tuned.pth"
    file.write_bytes(b"weights")
    store.add(file, variant="medsam")
    file.write_bytes(b"another file under that name")
    assert store.remembered_variant(file) is None
    file.unlink()
    assert store.remembered_variant(file) is None


def test_a_removed_file_takes_what_was_said_of_it_along(store, tmp_path):
    file = tmp_path / "tuned.pth"
    file.write_bytes(b"weights")
    store.add(file, variant="medsam")
    store.remove(file)
    store.add(file)
    assert store.remembered_variant(file) is None


def test_a_variant_must_be_known_and_belong_to_a_file(store, tmp_path):
    with pytest.raises(ModelNotFoundError, match="No model is called 'medsam3'"):
        store.add(tmp_path / "a.pt", variant="medsam3")
    with pytest.raises(ModelNotFoundError, match=r"no file .*a\.pt"):
        store.add(tmp_path / "a.pt", variant="medsam")
    assert store.added() == ()


def test_a_list_without_variants_is_read_and_completed(store, tmp_path):
    file = tmp_path / "b.pt"
    file.write_bytes(b"weights")
    store.config_folder.mkdir()
    (store.config_folder / "local_models.json").write_text('{"files": ["/a.pt"]}')
    store.add(file, variant="medsam")
    assert store.added() == (Path("/a.pt"), file)
    assert store.remembered_variant("/a.pt") is None
    assert store.remembered_variant(file) == "medsam"


def test_writing_leaves_no_temporary_file(store, tmp_path):
    store.add(tmp_path / "a.pt")
    assert [entry.name for entry in store.config_folder.iterdir()] == ["local_models.json"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"files": 3}',
        "{",
        json.dumps({"models": []}),
        '{"files": [], "variants": 3}',
        '{"files": [], "variants": {"/a.pt": {"variant": "medsam"}}}',
    ],
)
def test_a_damaged_list_is_named_with_its_file(store, text):
    store.config_folder.mkdir()
    (store.config_folder / "local_models.json").write_text(text)
    with pytest.raises(AnySAMError, match=r"local_models\.json is damaged"):
        store.added()


def test_environment_variables_move_the_folders(monkeypatch):
    monkeypatch.setenv("ANYSAM_MODELS", "/somewhere/models")
    monkeypatch.setenv("ANYSAM_CONFIG", "/somewhere/config")
    assert default_store() == ModelStore(Path("/somewhere/models"), Path("/somewhere/config"))


def test_a_site_shares_a_folder_that_comes_after_the_users_own(store, tmp_path):
    spec = find_model("sam2.1-tiny")
    site = ModelStore(store.models_folder, store.config_folder, tmp_path / "site")
    for folder in (tmp_path / "site", store.models_folder):
        folder.mkdir()
        (folder / spec.file).write_bytes(b"weights")
        assert site.find(spec) == folder / spec.file


def test_the_cache_of_the_hub_is_looked_at(store, tmp_path, monkeypatch):
    spec = replace(
        find_model("sam2.1-tiny"), urls=("https://huggingface.co/a/b/resolve/main/folder/c.pt",)
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = tmp_path / "hub" / "models--a--b" / "snapshots" / "123" / "folder"
    snapshot.mkdir(parents=True)
    (snapshot / "c.pt").write_bytes(b"weights")
    (tmp_path / "hub" / "models--a--b" / "refs").mkdir()
    (tmp_path / "hub" / "models--a--b" / "refs" / "main").write_text("123")
    assert store.find(spec) == snapshot / "c.pt"


def test_only_models_of_the_users_own_folder_are_deleted(store, tmp_path):
    spec = find_model("sam2.1-tiny")
    site = ModelStore(store.models_folder, store.config_folder, tmp_path / "site")
    for folder in (tmp_path / "site", store.models_folder):
        folder.mkdir()
        (folder / spec.file).write_bytes(b"weights")
    site.delete(spec)
    with pytest.raises(ModelNotFoundError, match="site"):
        site.delete(spec)
    assert (tmp_path / "site" / spec.file).exists()
    with pytest.raises(ModelNotFoundError):
        site.delete(find_model("anysam-nano"))


def test_without_them_the_folders_are_the_users_own(monkeypatch):
    monkeypatch.delenv("ANYSAM_MODELS", raising=False)
    assert default_store().models_folder.name == "models"
    assert "napari-anysam" in str(default_store().models_folder)


class TestHashTrust:
    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("anysam-nano", "comes with the package"),
            ("edgetam", "official"),
            ("sam-vit-b", "corroborated by several sources"),
            ("efficient-sam-vits", "from a single source"),
            ("medsam2", "none yet"),
        ],
    )
    def test_is_told_in_words(self, store, name, words):
        assert hash_trust(find_model(name), store) == words

    def test_of_a_download_whose_hash_nobody_publishes(self, store):
        spec = find_model("medsam2")
        store.models_folder.mkdir()
        (store.models_folder / spec.file).write_bytes(b"weights")
        store.record_download(spec, spec.urls[0])
        assert re.fullmatch(
            r"recorded at the first download on 20\d\d-\d\d-\d\d; nobody publishes one",
            hash_trust(spec, store),
        )
