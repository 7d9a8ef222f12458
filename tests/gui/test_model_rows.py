"""What the table shows, without a window."""

import pytest

from napari_anysam._napari.model_rows import readable_size, resolve_rows
from napari_anysam.models.catalogue import catalogue
from napari_anysam.models.store import ModelStore


@pytest.fixture
def store(tmp_path):
    (tmp_path / "models").mkdir()
    return ModelStore(tmp_path / "models", tmp_path / "config")


def row_of(store, target):
    return next(row for row in resolve_rows(store) if row.target == target)


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


def test_every_model_of_the_catalogue_has_a_row(store):
    assert [row.target for row in resolve_rows(store)] == [spec.name for spec in catalogue()]


def test_a_model_that_is_not_on_disk_ends_with_how_to_get_it(store):
    row = row_of(store, "sam-vit-b")
    assert (row.status, row.available) == ("not on disk", False)
    assert row.details.startswith("Smallest of the original models")
    assert "SAM ViT-B is not on this computer; download it in the Model manager" in row.details


def test_a_model_in_the_folder_is_available_with_its_own_size(store):
    (store.models_folder / "sam_vit_b_01ec64.pth").write_bytes(bytes(2000))
    row = row_of(store, "sam-vit-b")
    assert (row.status, row.available, row.size) == ("on disk", True, "2.0 kB")
    assert "https://" not in row.details


def test_an_added_file_comes_last_and_says_where_it_lies(store, tmp_path):
    file = tmp_path / "mine.pt"
    file.write_bytes(bytes(10))
    store.add(file)
    row = resolve_rows(store)[-1]
    assert (row.target, row.title, row.status, row.added) == (file, "mine.pt", "added", True)
    assert str(file) in row.details


def test_an_added_file_that_is_gone_says_so(store, tmp_path):
    store.add(tmp_path / "mine.pt")
    row = resolve_rows(store)[-1]
    assert (row.status, row.available) == ("file is gone", False)
