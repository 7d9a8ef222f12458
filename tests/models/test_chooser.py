"""Which model is proposed for what, as a table."""

from dataclasses import replace

import pytest

from napari_anysam.errors import CapabilityError, ModelNotFoundError
from napari_anysam.models.catalogue import IMAGE_KINDS, find_model
from napari_anysam.models.chooser import Machine, propose, this_machine
from napari_anysam.models.measurements import Measurement, default_measurements

GB = 10**9
LAPTOP = Machine("cpu", 16 * GB, 8)
SMALL_LAPTOP = Machine("cpu", 4 * GB, 2)
WORKSTATION = Machine("cuda", 12 * GB, 16)
MACHINES = (LAPTOP, SMALL_LAPTOP, WORKSTATION, Machine("mps", 16 * GB, 8))


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Give this user an empty cache."""
    monkeypatch.setenv("ANYSAM_CACHE", str(tmp_path))


def names(*arguments, **options):
    return [proposal.spec.name for proposal in propose(*arguments, **options)]


@pytest.mark.parametrize(
    ("kind", "machine", "tracking", "expected"),
    [
        ("fluorescence", LAPTOP, False, ["micro-sam-lm-vit-t", "anysam-nano-3"]),
        ("fluorescence", WORKSTATION, False, ["micro-sam-lm-vit-l", "micro-sam-lm-vit-b"]),
        ("fluorescence", LAPTOP, True, ["anysam-nano-3", "edgetam"]),
        ("fluorescence", WORKSTATION, True, ["sam2.1-large"]),
        ("phase-contrast", LAPTOP, False, ["micro-sam-lm-vit-t"]),
        ("electron", LAPTOP, False, ["micro-sam-em-organelles-vit-t"]),
        (
            "electron",
            WORKSTATION,
            False,
            ["micro-sam-em-organelles-vit-l", "micro-sam-em-organelles-vit-b"],
        ),
        ("histopathology", LAPTOP, False, ["micro-sam-histopathology-vit-b"]),
        ("histopathology", WORKSTATION, False, ["micro-sam-histopathology-vit-l"]),
        ("ct", LAPTOP, False, ["medsam-lite", "sam-med2d"]),
        ("ct", WORKSTATION, False, ["medsam"]),
        ("ct", LAPTOP, True, ["medsam2"]),
        ("ct", WORKSTATION, True, ["medsam2"]),
        ("pet", LAPTOP, True, ["medsam2"]),
        ("natural", LAPTOP, False, ["sam2.1-tiny", "mobile-sam"]),
        ("natural", WORKSTATION, False, ["sam2.1-large"]),
        ("natural", LAPTOP, True, ["edgetam", "sam2.1-tiny"]),
        ("natural", WORKSTATION, True, ["sam2.1-large"]),
    ],
)
def test_the_best_come_first(kind, machine, tracking, expected):
    assert names(kind, machine, tracking=tracking)[: len(expected)] == expected


@pytest.mark.parametrize("kind", IMAGE_KINDS)
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.device)
class TestEveryWish:
    def test_has_one_to_three_answers_with_reasons(self, kind, machine):
        for tracking in (False, True):
            found = propose(kind, machine, tracking=tracking)
            assert 1 <= len(found) <= 3
            assert all(proposal.reason.endswith(".") for proposal in found)
            assert all(proposal.reason[0].isupper() for proposal in found)

    def test_only_models_that_follow_are_proposed_for_stacks(self, kind, machine):
        assert all(p.spec.tracking for p in propose(kind, machine, tracking=True))

    def test_commerce_leaves_out_limited_and_unknown_licences(self, kind, machine):
        for proposal in propose(kind, machine, commercial=True):
            assert not proposal.spec.restricted
            assert "not stated" not in proposal.spec.licence

    def test_nothing_above_vit_b_without_a_graphics_card(self, kind, machine):
        work = [
            p.spec.parameters_millions * (p.spec.image_size / 1024) ** 2
            for p in propose(kind, machine)
        ]
        assert machine.has_gpu or max(work) < 100


def test_what_does_not_fit_into_memory_is_left_out():
    assert names("natural", Machine("cuda", 3 * GB, 8))[0] == "sam2.1-base-plus"
    assert "micro-sam-lm-vit-l" not in names("fluorescence", Machine("cuda", 6 * GB, 8))
    assert "micro-sam-lm-vit-b" in names("fluorescence", LAPTOP)
    assert "micro-sam-lm-vit-b" not in names("fluorescence", SMALL_LAPTOP)


def test_commerce_takes_another_model_for_stained_tissue():
    assert names("histopathology", WORKSTATION, commercial=True)[0] == "medsam"


class TestReasons:
    def reason(self, name, *arguments, **options):
        found = propose(*arguments, **options)
        return next(p.reason for p in found if p.spec.name == name)

    def test_name_what_it_was_trained_on(self):
        reason = self.reason("micro-sam-lm-vit-t", "fluorescence", LAPTOP)
        assert reason.startswith("Trained on fluorescence microscopy; ")
        assert "drawn images" in self.reason("anysam-nano-3", "fluorescence", LAPTOP)
        reason = self.reason("sam2.1-tiny", "electron", LAPTOP)
        assert reason.startswith("A general model, trained on photographs and films; ")

    @pytest.mark.parametrize(
        ("cores", "words"), [(2, "ten seconds"), (8, "a few seconds"), (32, "about a second")]
    )
    def test_estimate_the_speed_by_size_and_cores(self, cores, words):
        machine = replace(LAPTOP, cores=cores)
        reason = self.reason("micro-sam-histopathology-vit-b", "histopathology", machine)
        assert words in reason
        assert f"on {cores} cores, estimated" in reason

    def test_take_the_speed_that_was_measured_here(self):
        one = Measurement(
            "sam2.1-tiny", "cpu", "bf16", 1.36, GB, 2, "2026-05-01T10:00:00+00:00", image_size=1024
        )
        default_measurements().record(one)
        reason = self.reason("sam2.1-tiny", "natural", LAPTOP)
        assert "measured here: 1.4 s an image, 1000 MB on cpu in bf16" in reason
        card = self.reason("sam2.1-small", "natural", WORKSTATION)
        assert "measured" not in card

    def test_name_what_limits_it(self):
        assert "takes boxes" in self.reason("medsam", "ct", WORKSTATION).lower()
        pathology = self.reason("micro-sam-histopathology-vit-b", "histopathology", LAPTOP)
        assert "licence is not stated by its authors" in pathology
        assert "CC-BY-SA-4.0" in self.reason("medsam2", "ct", LAPTOP, tracking=True)
        films = self.reason("sam2.1-tiny", "natural", LAPTOP, tracking=True)
        assert "for each plane" in films


def test_a_model_that_was_slow_here_goes_behind_the_quick_ones():
    one = Measurement(
        "sam2.1-tiny", "cpu", "fp32", 9.0, GB, 1, "2026-05-01T10:00:00+00:00", image_size=1024
    )
    default_measurements().record(one)
    assert names("natural", LAPTOP)[0] == "mobile-sam"
    assert names("natural", WORKSTATION)[0] == "sam2.1-large"


def test_an_unknown_kind_lists_the_known_ones():
    with pytest.raises(ModelNotFoundError, match=r"'cake'.*natural, fluorescence"):
        propose("cake", LAPTOP)


def test_an_unknown_device_is_refused():
    with pytest.raises(CapabilityError, match=r"'tpu'.*cpu, cuda, mps"):
        Machine("tpu", GB, 1)


def test_this_machine_tells_memory_and_cores():
    machine = this_machine("cpu")
    assert machine.device == "cpu"
    assert machine.memory_bytes > GB
    assert machine.cores >= 1
    assert this_machine().device in {"cpu", "cuda", "mps"}


def test_a_card_that_is_not_there_is_not_promised():
    if this_machine().device == "cuda":
        pytest.skip("this computer has a CUDA graphics card")
    with pytest.raises(CapabilityError, match="no CUDA"):
        this_machine("cuda")


def test_every_proposed_model_is_in_the_catalogue_under_its_own_name():
    from napari_anysam.models.chooser import _PROPOSED

    assert [find_model(name).name for name in _PROPOSED] == list(_PROPOSED)
