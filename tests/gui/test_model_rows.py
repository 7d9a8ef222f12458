"""What the table shows, without a window."""

import pytest

from napari_anysam._napari.model_rows import (
    COLUMNS,
    readable_seconds,
    readable_size,
    resolve_rows,
)
from napari_anysam.models.catalogue import catalogue
from napari_anysam.models.measurements import Measurement, Measurements
from napari_anysam.models.store import ModelStore


@pytest.fixture
def store(tmp_path):
    (tmp_path / "models").mkdir()
    return ModelStore(tmp_path / "models", tmp_path / "config")


@pytest.fixture
def measurements(tmp_path):
    return Measurements(tmp_path / "measurements.json")


@pytest.fixture
def row_of(store, measurements):
    def find(target):
        rows = resolve_rows(store, measurements)
        return next(row for row in rows if row.target == target)

    return find


def cell(row, title):
    return next(column.cell(row) for column in COLUMNS if column.title == title)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, ""),
        (12, "12 B"),
        (7_820_332, "7.8 MB"),
        (156_008_466, "156 MB"),
        (2_564_550_879, "2.6 GB"),
    ],
)
def test_sizes_are_written_as_people_do(count, text):
    assert readable_size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0151, "15 ms"), (0.9996, "1000 ms"), (2.94, "2.9 s"), (41.2, "41 s")]
)
def test_times_are_written_as_people_do(seconds, text):
    assert readable_seconds(seconds) == text


def test_every_model_of_the_catalogue_has_a_row(store, measurements):
    targets = [row.target for row in resolve_rows(store, measurements)]
    assert targets == [spec.name for spec in catalogue()]


def test_a_model_that_is_not_on_disk_ends_with_how_to_get_it(row_of):
    row = row_of("sam-vit-b")
    assert (row.status, row.available) == ("not on disk", False)
    assert row.details.startswith("Smallest of the original models")
    assert "SAM ViT-B is not on this computer; download it in the Model manager" in row.details


def test_a_model_in_the_folder_is_available_with_its_own_size(store, row_of):
    (store.models_folder / "sam_vit_b_01ec64.pth").write_bytes(bytes(2000))
    row = row_of("sam-vit-b")
    assert (row.status, row.available, cell(row, "Size")) == ("on disk", True, "2.0 kB")
    assert "https://" not in row.details


def test_an_added_file_comes_last_and_says_where_it_lies(store, measurements, tmp_path):
    file = tmp_path / "mine.pt"
    file.write_bytes(bytes(10))
    store.add(file)
    row = resolve_rows(store, measurements)[-1]
    assert (row.target, row.title, row.status, row.added) == (file, "mine.pt", "added", True)
    assert str(file) in row.details


def test_an_added_file_that_is_gone_says_so(store, measurements, tmp_path):
    store.add(tmp_path / "mine.pt")
    row = resolve_rows(store, measurements)[-1]
    assert (row.status, row.available) == ("file is gone", False)


def test_memory_and_speed_are_reported_ones_until_they_are_measured(row_of, measurements):
    before = row_of("sam-vit-b")
    assert (cell(before, "Speed"), cell(before, "Memory")) == ("", "(3.3 GB)")
    assert "graphics card: 3.3 GB in fp32" in before.details
    measurements.record(
        Measurement(
            "sam-vit-b", "cpu", "bf16", 4.5, 1_230_000_000, 2, "2026-01-01", image_size=1024
        )
    )
    row = row_of("sam-vit-b")
    assert (cell(row, "Speed"), cell(row, "Memory")) == ("4.5 s", "1.2 GB")
    measured = "Measured here on cpu in bf16 with 1024 pixels: 4.5 s an image, 1.2 GB of memory."
    assert measured in row.details


def test_what_another_size_costs_is_not_taken_for_the_model_as_it_was_made(row_of, measurements):
    figures = ("sam2.1-tiny", "cpu", "fp32", 0.9, 600_000_000, 2, "2026-01-01")
    measurements.record(Measurement(*figures, image_size=512))
    assert cell(row_of("sam2.1-tiny"), "Speed") == ""


def test_details_name_the_hash_and_what_to_cite(row_of):
    details = row_of("sam-vit-b").details
    assert "Hash: corroborated" in details
    assert "Cite: Kirillov" in details
