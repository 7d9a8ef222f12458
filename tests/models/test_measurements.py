"""What models cost here, remembered in one file."""

from dataclasses import replace

import pytest
from filelock import FileLock, Timeout

from napari_anysam.models.measurements import Measurement, Measurements, default_measurements

ONE = Measurement("sam2.1-tiny", "cpu", "fp32", 2.9, 800_000_000, 2, "2026-05-01T10:00:00+00:00")


@pytest.fixture
def measurements(tmp_path):
    return Measurements(tmp_path / "cache" / "measurements.json")


def test_nothing_is_known_at_first(measurements):
    assert measurements.find("sam2.1-tiny") is None
    assert measurements.all() == ()


def test_what_was_recorded_is_found_again(measurements):
    measurements.record(ONE)
    assert Measurements(measurements.path).find("sam2.1-tiny", "cpu", "fp32") == ONE


def test_the_best_time_and_the_highest_memory_are_kept(measurements):
    measurements.record(ONE)
    later = "2026-05-01T10:00:03+00:00"
    measurements.record(replace(ONE, encode_seconds=1.5, memory_bytes=700_000_000, date=later))
    assert measurements.all() == (replace(ONE, encode_seconds=1.5, date=later, encodes=2),)
    measurements.record(replace(ONE, encode_seconds=4.0, memory_bytes=900_000_000, date=later))
    found = measurements.find("sam2.1-tiny")
    assert (found.encode_seconds, found.memory_bytes, found.encodes) == (1.5, 900_000_000, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "sam-vit-b"},
        {"device": "cuda"},
        {"precision": "bf16"},
        {"threads": 8},
        {"image_size": 512},
    ],
)
def test_what_was_measured_otherwise_is_kept_apart(measurements, change):
    measurements.record(ONE)
    measurements.record(replace(ONE, **change))
    assert measurements.all() == (ONE, replace(ONE, **change))


def test_the_latest_of_those_asked_for_is_found(measurements):
    half = replace(ONE, precision="bf16", date="2026-05-02T10:00:00+00:00")
    card = replace(ONE, device="cuda", date="2026-05-03T10:00:00+00:00")
    for one in (card, ONE, half):
        measurements.record(one)
    assert measurements.find("sam2.1-tiny") == card
    assert measurements.find("sam2.1-tiny", "cpu") == half
    assert measurements.find("sam2.1-tiny", "cpu", "fp32") == ONE
    assert measurements.find("sam2.1-tiny", "mps") is None


def test_the_nearest_is_of_that_input_if_it_was_measured(measurements):
    made = replace(ONE, image_size=1024)
    measurements.record(made)
    assert measurements.find("sam2.1-tiny", image_size=512) is None
    assert measurements.find_nearest("sam2.1-tiny", "cpu", None, 512) == made
    small = replace(ONE, image_size=512, date="2026-04-01T10:00:00+00:00")
    measurements.record(small)
    assert measurements.find_nearest("sam2.1-tiny", "cpu", None, 512) == small
    assert measurements.find_nearest("sam2.1-tiny", "cpu", "fp32", 1024) == made


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"a": 1}', '[{"model": "a", "encode_seconds": "fast"}]']
)
def test_a_damaged_file_starts_again(measurements, text):
    measurements.path.parent.mkdir()
    measurements.path.write_text(text)
    assert measurements.all() == ()
    measurements.record(ONE)
    assert measurements.all() == (ONE,)


def test_nobody_waits_for_another_process_that_writes(measurements):
    measurements.record(ONE)
    with FileLock(f"{measurements.path}.lock"), pytest.raises(Timeout):
        measurements.record(ONE)
    assert measurements.all() == (ONE,)


def test_nothing_half_written_is_left(measurements):
    for _ in range(3):
        measurements.record(ONE)
    names = {path.name for path in measurements.path.parent.iterdir()}
    assert names <= {"measurements.json", "measurements.json.lock"}


def test_the_cache_is_moved_by_a_variable_or_the_settings(monkeypatch, tmp_path):
    monkeypatch.setenv("ANYSAM_CACHE", str(tmp_path / "here"))
    assert default_measurements().path == tmp_path / "here" / "measurements.json"
    monkeypatch.delenv("ANYSAM_CACHE")
    monkeypatch.setenv("ANYSAM_CONFIG", str(tmp_path))
    (tmp_path / "settings.toml").write_text(f"cache = '{tmp_path / 'there'}'\n")
    assert default_measurements().path == tmp_path / "there" / "measurements.json"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0153, "15 ms"), (1.36, "1.4 s"), (14.3, "14.3 s")]
)
def test_figures_are_written_as_people_do(seconds, words):
    one = replace(ONE, encode_seconds=seconds)
    assert one.words == f"{words} an image, 800 MB on cpu in fp32"
