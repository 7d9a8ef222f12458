import re

import pytest

from napari_anysam.errors import ModelNotFoundError
from napari_anysam.models.architecture import Architecture
from napari_anysam.models.catalogue import (
    DEFAULT_MODEL,
    HASH_TRUST,
    IMAGE_KINDS,
    catalogue,
    check_kind,
    find_by_sha256,
    find_model,
    names,
    parse_catalogue,
)
from napari_anysam.networks.preprocessing import PREPROCESSINGS

MINIMAL = """
[[models]]
name = "a"
title = "A"
family = "sam"
architecture = "sam/vit_b"
file = "a.pth"
licence = "MIT"
parameters_millions = 1
image_size = 64
prompts = ["point"]
tracking = false
description = "Small."
good_for = []
citation = "A, 2026"
"""


def test_holds_the_shipped_model_and_the_official_sizes():
    sam2 = [f"sam2{v}-{s}" for v in ("", ".1") for s in ("tiny", "small", "base-plus", "large")]
    assert set(names()) >= {"anysam-nano-3", "sam-vit-b", "sam-vit-l", "sam-vit-h", *sam2}


def test_holds_the_relatives_of_sam():
    assert set(names()) >= {"mobile-sam", "edge-sam", "edge-sam-3x", "medsam", "medsam-lite"}
    assert set(names()) >= {"efficient-sam-vitt", "efficient-sam-vits", "sam-med2d"}
    assert set(names()) >= {f"sam-hq-vit-{size}" for size in ("tiny", "b", "l", "h")}


def test_the_models_of_micro_sam_have_the_names_that_its_users_know():
    for kind in ("lm", "em_organelles"):
        for size in ("vit_t", "vit_b", "vit_l"):
            spec = find_model(f"{size}_{kind}")
            assert spec.architecture.endswith(size)
            assert spec.name.startswith("micro-sam-")
    for size in ("vit_b", "vit_l", "vit_h"):
        assert find_model(f"{size}_histopathology").architecture == f"sam/{size}"
    assert find_model("vit_b_medical_imaging").architecture == "sam/vit_b"


def test_holds_the_relatives_of_sam2():
    assert set(names()) >= {"edgetam", "medsam2"}


def test_holds_fast_sam_whether_or_not_its_package_is_installed():
    for size, parameters in (("s", 11.8), ("x", 71.8)):
        spec = find_model(f"fastsam-{size}")
        assert (spec.architecture, spec.parameters_millions) == (f"fast_sam/{size}", parameters)
        assert (spec.licence, spec.restricted) == ("AGPL-3.0", True)  # asked before the download
        assert "ultralytics (AGPL-3.0)" in spec.description
        assert spec.urls[0].startswith("https://github.com/ultralytics/assets/releases/download/")
        assert spec.page.startswith("https://drive.google.com/")  # its authors' own


def test_says_what_must_not_be_used_commercially():
    for name in ("edge-sam", "edge-sam-3x"):
        spec = find_model(name)
        assert "non-commercial" in spec.licence
        assert "non-commercial" in spec.description


def test_no_two_models_share_a_file():
    files = [spec.file for spec in catalogue()]
    assert len(set(files)) == len(files)


def test_the_default_is_an_alias_of_the_shipped_model():
    spec = find_model(DEFAULT_MODEL)
    assert (spec.name, spec.builtin) == ("anysam-nano-3", True)


@pytest.mark.parametrize("spec", catalogue(), ids=lambda spec: spec.name)
class TestEveryRecord:
    def test_says_where_to_get_its_file(self, spec):
        assert spec.builtin or spec.urls
        assert all(re.match(r"https://.+/.*[^/]$", url) for url in spec.urls)
        assert not any(
            "/view" in url or "/folders/" in url for url in spec.urls
        )  # pages, not files

    def test_has_a_whole_hash_and_says_how_far_it_is_trusted(self, spec):
        assert spec.sha256 is None or re.fullmatch("[0-9a-f]{64}", spec.sha256)
        assert bool(spec.sha256) == bool(spec.sha256_trust) == bool(spec.sha256_source)
        assert spec.sha256_trust in HASH_TRUST

    def test_size_fits_the_number_of_parameters(self, spec):
        if spec.size_bytes is not None:
            assert spec.size_bytes / 4e6 == pytest.approx(spec.parameters_millions, rel=0.02)

    def test_has_a_title_that_a_narrow_dock_shows_whole(self, spec):
        assert len(spec.title) <= 24

    def test_describes_itself_in_known_words(self, spec):
        assert set(spec.prompts) <= {"point", "box", "mask"}
        assert spec.prompts
        assert set(spec.good_for) <= set(IMAGE_KINDS)
        assert list(spec.good_for) == [kind for kind in IMAGE_KINDS if kind in spec.good_for]
        assert spec.kinds
        assert spec.family == Architecture(*spec.architecture.split("/")).family
        assert spec.image_size % 16 == 0
        assert spec.preprocessing in {"", *PREPROCESSINGS}
        assert spec.licence
        assert spec.description.endswith(".")

    def test_says_what_to_cite(self, spec):
        if spec.builtin:
            assert spec.citation == "napari-anysam, model card"
        else:
            work = (
                r"[A-Z]\w+.* (et al\.|and \w+), .+, (\w.* )?20\d\d, (arXiv:\d{4}\.\d{5}|doi:10\..+)"
            )
            assert re.fullmatch(work, spec.citation)

    def test_reports_memory_with_its_source(self, spec):
        figures = (spec.memory_fp32_mb, spec.memory_bf16_mb)
        assert any(figures) == bool(spec.memory_source)
        if spec.memory_source:
            assert spec.size_bytes is None or spec.memory_fp32_mb * 1e6 > spec.size_bytes
            assert spec.memory_bf16_mb < spec.memory_fp32_mb


# Families of the facts that no loader was asked for.
NOT_ASKED_FOR = {
    "SAM-HQ 2", "Efficient MedSAM2", "EfficientTAM", "SAM 3", "SAM 3.1", "Grounding DINO",
    "SAM-Med3D",
}  # fmt: skip
OTHER_FILES = {"FastSAM"}  # fetched from other releases than those that the facts describe


def test_holds_every_checkpoint_that_was_asked_for_as_the_facts_have_it(models_facts):
    asked = [record for record in models_facts if record["family"] not in NOT_ASKED_FOR]
    assert len(asked) >= 40
    files = {spec.file: spec for spec in catalogue()}
    assert {record["filename"] for record in asked} <= set(files)
    for record in asked:
        spec = files[record["filename"]]
        if record["family"] not in OTHER_FILES:
            assert spec.size_bytes == record["size_bytes"]
            assert spec.sha256 == record["hashes"]["sha256"]
        assert spec.image_size == record["image_size"]


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ModelNotFoundError, match=r"'sam9'.*anysam-nano-3, sam-vit-b"):
        find_model("sam9")


def test_a_hash_leads_to_its_model():
    spec = find_model("sam2.1-tiny")
    assert find_by_sha256(spec.sha256) is spec
    assert find_by_sha256("0" * 64) is None


def test_lists_become_tuples_and_defaults_fill_the_rest():
    (spec,) = parse_catalogue(MINIMAL)
    assert spec.prompts == ("point",)
    assert (spec.aliases, spec.size_bytes, spec.builtin) == ((), None, False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('speed = "high"\n', "unknown fields: speed"),
        ('urls = "https://x"\n', "list of strings as urls"),
        ("size_bytes = true\n", "True as size_bytes"),
        ('aliases = ["a"]\n', "'a' twice"),
        ('sha256_trust = "somewhat"\n', "somewhat as sha256_trust; use one of official"),
        ("memory_fp32_mb = 1.5\n", "1.5 as memory_fp32_mb"),
    ],
)
def test_a_wrong_entry_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        parse_catalogue(MINIMAL + change)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("good_for = []", 'good_for = ["cake", "ct"]', "cake as good_for; use one of natural"),
        ('prompts = ["point"]', 'prompts = ["text"]', "text as prompts; use one of point, box"),
        ('citation = "A, 2026"', "", "incomplete.*citation"),
    ],
)
def test_a_word_that_is_none_of_its_vocabulary_is_refused(right, wrong, message):
    with pytest.raises(ValueError, match=message):
        parse_catalogue(MINIMAL.replace(right, wrong))


def test_kinds_of_images_have_words_for_a_person():
    assert find_model("micro-sam-em-organelles-vit-t").kinds == ("electron microscopy",)
    assert all(kind == kind.lower() and " " not in kind for kind in IMAGE_KINDS)
    for kind in IMAGE_KINDS:
        check_kind(kind)
        assert any(kind in spec.good_for for spec in catalogue())
    with pytest.raises(ModelNotFoundError, match=r"'cake'.*natural, fluorescence"):
        check_kind("cake")


def test_what_commerce_may_use_is_known():
    limited = {spec.licence for spec in catalogue() if not spec.for_commerce}
    assert "not stated by its authors" in limited
    assert any("non-commercial" in licence for licence in limited)
    assert not any(licence.startswith(("Apache", "BSD", "CC-BY")) for licence in limited)


def test_an_incomplete_entry_is_refused():
    with pytest.raises(ValueError, match=r"a is incomplete.*licence"):
        parse_catalogue(MINIMAL.replace('licence = "MIT"\n', ""))


def test_models_that_may_not_be_used_commercially_are_restricted():
    limited = [spec for spec in catalogue() if "non-commercial" in spec.licence]
    assert [spec.name for spec in limited] == ["edge-sam", "edge-sam-3x"]
    assert all(spec.restricted for spec in limited)
