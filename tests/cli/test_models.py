"""``anysam models`` and ``anysam doctor``: real files, and a real server on loopback."""

import json
from dataclasses import replace

import pytest
import torch

from loopback import Serving, serve
from napari_anysam.models import catalogue as catalogue_module
from napari_anysam.models.catalogue import catalogue, find_model
from napari_anysam.models.checkpoint import file_sha256
from napari_anysam.models.store import builtin_folder, default_store
from tiny_sam import save_vit_b

CONTENT = bytes(range(256)) * 100


@pytest.fixture(autouse=True)
def models(monkeypatch, tmp_path):
    """Give this user empty folders, and return the one of models."""
    monkeypatch.setenv("ANYSAM_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("ANYSAM_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "models"


@pytest.fixture
def address():
    with serve(Serving(CONTENT)) as found:
        yield found


@pytest.fixture
def small(monkeypatch, address, tmp_path):
    """Put a model of two addresses' content into the catalogue; it can be changed."""
    (tmp_path / "content").write_bytes(CONTENT)

    def add(**changes):
        spec = replace(
            find_model("sam-vit-b"),
            name="small", title="Small", file="small.pth", urls=(f"{address}/small.pth",),
            size_bytes=len(CONTENT), sha256=file_sha256(tmp_path / "content"), **changes,
        )  # fmt: skip
        known = (*catalogue(), spec)
        monkeypatch.setattr(catalogue_module, "catalogue", lambda: known)
        return spec

    return add


def answer_of(anysam, *arguments):
    code, out, err = anysam("models", *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


class TestList:
    def test_every_model_has_a_line(self, anysam):
        code, out, _ = anysam("models", "list")
        assert code == 0
        lines = out.splitlines()
        assert lines[0].split() == ["NAME", "STATUS", "MB", "STACKS", "LICENCE"]
        assert [line.split()[0] for line in lines[1:]] == [spec.name for spec in catalogue()]

    def test_for_programs(self, anysam, models):
        models.mkdir()
        (models / find_model("sam-vit-b").file).write_bytes(b"weights")
        records = {record["name"]: record for record in answer_of(anysam, "list")}
        assert records["sam-vit-b"]["status"] == "on disk"
        assert records["sam-vit-b"]["path"] == str(models / find_model("sam-vit-b").file)
        assert records["sam2.1-tiny"]["status"] == "not on disk"


def test_info_tells_what_the_catalogue_holds(anysam):
    code, out, _ = anysam("models", "info", "sam2.1-tiny")
    assert code == 0
    assert "architecture: sam2.1/tiny" in out
    assert "status: not on disk" in out
    assert answer_of(anysam, "info", "sam2.1-tiny")["sha256"] == find_model("sam2.1-tiny").sha256


class TestDownload:
    def test_download_verify_and_remove(self, anysam, small, models):
        small()
        code, out, _ = anysam("models", "download", "small", "-q")
        assert (code, out) == (0, f"{models / 'small.pth'}\n")
        assert (models / "small.pth").read_bytes() == CONTENT
        assert answer_of(anysam, "verify", "small")["small"].startswith("right")
        assert anysam("models", "remove", "small")[0] == 0
        assert not (models / "small.pth").exists()

    def test_progress_goes_to_stderr(self, anysam, small):
        small()
        _, out, err = anysam("models", "download", "small")
        assert "Small" in err
        assert "100%" in err
        assert out.count("\n") == 1

    def test_a_changed_file_is_found(self, anysam, small, models):
        small()
        anysam("models", "download", "small", "-q")
        (models / "small.pth").write_bytes(CONTENT[::-1])
        code, out, err = anysam("models", "verify")
        assert code == 1
        assert "wrong hash" in out
        assert "small differ" in err

    def test_a_licence_that_limits_the_use_must_be_agreed_to(self, anysam, small, models):
        small(restricted=True, licence="Strict 1.0")
        code, _, err = anysam("models", "download", "small", "-q")
        assert code == 1
        assert "Strict 1.0" in err
        assert "--accept-licence" in err
        assert not models.exists()
        assert anysam("models", "download", "small", "-q", "--accept-licence")[0] == 0

    def test_an_unfinished_download_is_listed_and_removed(self, anysam, small, models):
        small()
        models.mkdir()
        (models / "small.pth.part").write_bytes(CONTENT[:100])
        record = answer_of(anysam, "info", "small")
        assert (record["status"], record["downloaded_bytes"]) == ("unfinished", 100)
        assert anysam("models", "remove", "small")[0] == 0
        assert not (models / "small.pth.part").exists()

    def test_offline(self, anysam, monkeypatch):
        monkeypatch.setenv("ANYSAM_OFFLINE", "1")
        code, _, err = anysam("models", "download", "sam2.1-tiny")
        assert code == 1
        assert "switched off" in err

    @pytest.mark.parametrize("arguments", [[], ["sam9"], ["--hub", "no repository"]])
    def test_nothing_that_can_be_downloaded(self, anysam, arguments):
        code, out, err = anysam("models", "download", *arguments)
        assert (code, out) == (1, "")
        assert err.count("\n") == 1


def test_the_shipped_model_is_not_removed(anysam):
    code, _, err = anysam("models", "remove", "anysam-nano")
    assert code == 1
    assert "can be deleted" in err
    assert (builtin_folder() / find_model("anysam-nano").file).is_file()


class TestIdentify:
    def test_the_shipped_file_under_another_name(self, anysam, tmp_path):
        spec = find_model("anysam-nano")
        copy = tmp_path / "mine.bin"
        copy.write_bytes((builtin_folder() / spec.file).read_bytes())
        answer = answer_of(anysam, "identify", copy)
        assert answer["architecture"] == spec.architecture
        assert answer["variants"] == [spec.name]

    def test_what_it_may_be_is_told_apart(self, anysam, tmp_path):
        file = save_vit_b(tmp_path / "tuned.pth")
        answer = answer_of(anysam, "identify", file)
        assert [one["name"] for one in answer["possible_variants"]] == ["sam-vit-b", "medsam"]
        assert answer["remembered_variant"] is None
        _, out, _ = anysam("models", "identify", file)
        assert "used as: sam-vit-b, unless --variant says otherwise" in out
        assert "  medsam: MedSAM or a model that was fine-tuned from it: " in out

    def test_what_was_said_when_it_was_added_is_told(self, anysam, tmp_path):
        file = save_vit_b(tmp_path / "tuned.pth")
        default_store().add(file, variant="medsam")
        assert answer_of(anysam, "identify", file)["remembered_variant"] == "medsam"
        _, out, _ = anysam("models", "identify", file)
        assert "used as: medsam, as was said when it was added" in out

    def test_something_else(self, anysam, tmp_path):
        torch.save({"a": torch.ones(2)}, tmp_path / "a.pt")
        code, _, err = anysam("models", "identify", tmp_path / "a.pt")
        assert code == 1
        assert "belong to no model" in err


class TestDoctor:
    def test_for_people(self, anysam):
        code, out, _ = anysam("doctor")
        assert code == 0
        for word in ("torch", "usable cores", "auto", "settings", "anysam-nano"):
            assert word in out

    def test_for_programs(self, anysam, models):
        code, out, _ = anysam("doctor", "--json")
        report = json.loads(out)
        assert code == 0
        assert report["folders"]["models"] == str(models)
        assert report["processor"]["usable cores"] >= 1


def test_settings_that_are_none_are_told_in_one_line(anysam, tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "settings.toml").write_text("speed = 'high'\n")
    code, _, err = anysam("models", "list")
    assert code == 1
    assert "speed" in err
    assert "settings.toml" in err
    (tmp_path / "config" / "settings.toml").write_text("speed =\n")
    assert "no TOML" in anysam("models", "list")[2]
