import re

import pytest

from napari_anysam.errors import ModelNotFoundError
from napari_anysam.models.architecture import Architecture
from napari_anysam.models.catalogue import (
    DEFAULT_MODEL,
    catalogue,
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
        assert bool(spec.sha256) == bool(spec.sha256_trust)

    def test_size_fits_the_number_of_parameters(self, spec):
        if spec.size_bytes is not None:
            assert spec.size_bytes / 4e6 == pytest.approx(spec.parameters_millions, rel=0.02)

    def test_has_a_title_that_a_narrow_dock_shows_whole(self, spec):
        assert len(spec.title) <= 24

    def test_describes_itself_in_known_words(self, spec):
        assert set(spec.prompts) <= {"point", "box", "mask"}
        assert spec.family == Architecture(*spec.architecture.split("/")).family
        assert spec.image_size % 16 == 0
        assert spec.preprocessing in {"", *PREPROCESSINGS}
        assert spec.licence
        assert spec.description.endswith(".")


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
    ],
)
def test_a_wrong_entry_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        parse_catalogue(MINIMAL + change)


def test_an_incomplete_entry_is_refused():
    with pytest.raises(ValueError, match=r"a is incomplete.*licence"):
        parse_catalogue(MINIMAL.replace('licence = "MIT"\n', ""))


def test_models_that_may_not_be_used_commercially_are_restricted():
    limited = [spec for spec in catalogue() if "non-commercial" in spec.licence]
    assert [spec.name for spec in limited] == ["edge-sam", "edge-sam-3x"]
    assert all(spec.restricted for spec in limited)
