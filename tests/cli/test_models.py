"""``anysam models`` and ``anysam doctor``: real files, and a real server on loopback."""

import json
from dataclasses import replace

import pytest
import torch

from loopback import Serving, serve
from napari_anysam.models import catalogue as catalogue_module
from napari_anysam.models.catalogue import IMAGE_KINDS, catalogue, find_model
from napari_anysam.models.checkpoint import file_sha256
from napari_anysam.models.measurements import Measurement, default_measurements
from napari_anysam.models.store import builtin_folder, default_store
from tiny_sam import save_vit_b

CONTENT = bytes(range(256)) * 100
MEASURED = Measurement(
    "sam2.1-tiny", "cpu", "bf16", 1.36, 890_000_000, 2, "2026-05-01T10:00:00Z", image_size=1024
)


@pytest.fixture(autouse=True)
def models(monkeypatch, tmp_path):
    """Give this user empty folders, and return the one of models."""
    monkeypatch.setenv("ANYSAM_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("ANYSAM_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("ANYSAM_CACHE", str(tmp_path / "cache"))
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
        titles = ["NAME", "STATUS", "MB", "MEMORY", "HERE", "STACKS", "LICENCE"]
        assert lines[0].split() == titles
        assert [line.split()[0] for line in lines[1:]] == [spec.name for spec in catalogue()]

    def test_for_programs(self, anysam, models):
        models.mkdir()
        (models / find_model("sam-vit-b").file).write_bytes(b"weights")
        records = {record["name"]: record for record in answer_of(anysam, "list")}
        assert records["sam-vit-b"]["status"] == "on disk"
        assert records["sam-vit-b"]["path"] == str(models / find_model("sam-vit-b").file)
        assert records["sam2.1-tiny"]["status"] == "not on disk"

    def test_shows_reported_and_measured_figures(self, anysam):
        default_measurements().record(MEASURED)
        lines = anysam("models", "list")[1].splitlines()
        row = next(line for line in lines if line.startswith("sam2.1-tiny "))
        assert "1574/1194" in row
        assert "1.4 s an image, 890 MB" in row
        record = next(r for r in answer_of(anysam, "list") if r["name"] == "sam2.1-tiny")
        assert record["measured"][0]["encode_seconds"] == 1.36
        assert (record["memory_fp32_mb"], record["memory_bf16_mb"]) == (1574, 1194)

    def test_sorted(self, anysam):
        listed = [record["name"] for record in answer_of(anysam, "list", "--sort", "name")]
        assert listed == sorted(spec.name for spec in catalogue())
        for field, order in {"size_bytes": "size", "memory_fp32_mb": "memory"}.items():
            values = [record[field] for record in answer_of(anysam, "list", "--sort", order)]
            known = [value for value in values if value is not None]
            assert values == sorted(known) + [None] * (len(values) - len(known))

    def test_of_one_kind_of_image(self, anysam):
        records = answer_of(anysam, "list", "--kind", "electron")
        assert [record["name"] for record in records] == [
            f"micro-sam-em-organelles-vit-{size}" for size in "tbl"
        ]
        code, out, err = anysam("models", "list", "--kind", "cake")
        assert (code, out) == (1, "")
        assert "natural, fluorescence" in err


class TestChoose:
    def test_without_a_kind_lists_the_kinds(self, anysam):
        _, out, _ = anysam("models", "choose")
        assert [line.split()[0] for line in out.splitlines()[1:]] == list(IMAGE_KINDS)
        assert answer_of(anysam, "choose") == dict(IMAGE_KINDS)

    def test_says_what_to_take_and_why(self, anysam):
        code, out, _ = anysam("models", "choose", "fluorescence", "--device", "cpu")
        assert code == 0
        assert out.startswith("micro-sam-lm-vit-t (not on disk): Trained on fluorescence")
        assert "anysam-nano-3 (built in): Comes with the package" in out

    def test_for_stacks_and_commerce(self, anysam):
        wish = ("choose", "histopathology", "--device", "cpu", "--stack", "--commercial")
        answers = answer_of(anysam, *wish)
        assert answers
        assert all(answer["tracking"] for answer in answers)
        assert all(answer["reason"] for answer in answers)
        licences = {answer["licence"] for answer in answers}
        assert "not stated by its authors" not in licences

    def test_an_unknown_kind_lists_the_known_ones(self, anysam):
        code, out, err = anysam("models", "choose", "cake")
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert "natural, fluorescence" in err


def test_info_tells_what_was_measured_here(anysam):
    default_measurements().record(MEASURED)
    out = anysam("models", "info", "sam2.1-tiny")[1]
    assert "measured: 1.4 s an image, 890 MB on cpu in bf16" in out
    assert "memory fp32 mb: 1574" in out
    assert "citation: Ravi et al." in out
    assert "hash trust: corroborated by several sources" in out


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

    def test_tells_what_was_measured(self, anysam):
        default_measurements().record(MEASURED)
        assert "sam2.1-tiny, cpu, bf16, threads 2: 1.4 s an image, 890 MB" in anysam("doctor")[1]

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
