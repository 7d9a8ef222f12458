"""Embeddings on disk: under a budget, safe among processes, and never trusted when damaged."""

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from embedding_writer import NAMES, Model, embedding_of, is_right
from faults import no_file_larger_than
from napari_anysam import load_model
from napari_anysam.errors import AnySAMWarning, EmbeddingError
from napari_anysam.images.conditioning import Conditioning
from napari_anysam.segmentation.embedding_store import EmbeddingStore, content_name
from seeded_weights import seeded_image

SIZE = embedding_of(0).nbytes
WRITER = Path(__file__).resolve().parents[1] / "embedding_writer.py"


@pytest.fixture
def store(tmp_path):
    return EmbeddingStore(tmp_path / "embeddings", 10 * SIZE)


def put(store, *numbers):
    for number in numbers:
        store.put(str(number), embedding_of(number))
        age(store, number)


def age(store, number):
    """Let the files be used one second after the other, in the order of their last use."""
    age.clock = getattr(age, "clock", time.time() - 1000) + 1
    os.utime(store.folder / f"{number}.safetensors", (age.clock, age.clock))


def held(store):
    return {int(path.stem) for path in store.folder.iterdir()}


def test_what_was_put_comes_back(store):
    put(store, 3)
    assert is_right(3, store.get("3", Model))
    assert store.holds("3")


def test_what_was_never_put_is_missing(store):
    assert store.get("3", Model) is None
    assert not store.holds("3")
    assert store.nbytes == 0
    assert not store.folder.exists()


def test_the_folder_stays_below_its_budget(store):
    for number in range(25):
        put(store, number)
        assert store.nbytes <= store.max_bytes
    assert len(held(store)) == 8


def test_the_least_recently_used_goes_first(store):
    put(store, *range(8))
    before = time.time()
    assert store.get("0", Model) is not None
    assert store.holds("1")
    assert (store.folder / "0.safetensors").stat().st_mtime >= before - 1
    put(store, 8, 9)
    assert held(store) == {0, 1, 4, 5, 6, 7, 8, 9}


def test_another_process_counts_into_the_budget(store):
    put(store, *range(8))
    put(EmbeddingStore(store.folder, store.max_bytes), 8)
    assert len(held(store)) == 8
    assert 0 not in held(store)


def test_what_is_larger_than_the_budget_is_not_kept(tmp_path):
    store = EmbeddingStore(tmp_path, SIZE)
    store.put("0", embedding_of(0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "emptied", "zeroed", "flipped"])
def test_a_damaged_file_is_no_hit_and_goes(store, damage):
    put(store, 3)
    path = store.folder / "3.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[random.Random(0).randrange(len(content))] ^= 16
    kept = {"cut": content[:-1], "emptied": b"", "zeroed": bytes(len(content))}
    path.write_bytes(kept.get(damage, content))
    assert store.get("3", Model) is None
    assert not path.exists()


def test_a_full_disk_is_named_and_leaves_nothing(store):
    put(store, 1)
    with (
        no_file_larger_than(SIZE // 2),
        pytest.raises(EmbeddingError, match=r"cannot be written .*too large.*embedding_disk_gb"),
    ):
        store.put("2", embedding_of(2))
    assert held(store) == {1}
    put(store, 2)
    assert held(store) == {1, 2}


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "embeddings").write_text("mine")
    store = EmbeddingStore(tmp_path / "embeddings", 10 * SIZE)
    with pytest.raises(EmbeddingError, match="cannot be written"):
        store.put("1", embedding_of(1))


def test_what_cannot_be_read_is_warned_of_once(store):
    (store.folder / "1.safetensors").mkdir(parents=True)
    with pytest.warns(AnySAMWarning, match="cannot be read"):
        assert store.get("1", Model) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.get("1", Model) is None


def test_an_unfinished_file_goes_when_it_is_an_hour_old(store):
    put(store, 1)
    young, old = store.folder / "2.safetensors.abc", store.folder / "3.safetensors.def"
    for part in (young, old):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 4000,) * 2)
    EmbeddingStore(store.folder, store.max_bytes).put("4", embedding_of(4))
    assert young.exists()
    assert not old.exists()


def start_writer(folder, budget, seconds):
    arguments = [sys.executable, str(WRITER), str(folder), str(budget), str(seconds)]
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    writer = subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert writer.stdout.readline() == "started\n", writer.stderr.read()
    return writer


def test_two_processes_write_read_and_evict_in_one_folder(store):
    writers = [start_writer(store.folder, store.max_bytes, 3) for _ in range(2)]
    largest = 0
    while any(writer.poll() is None for writer in writers):
        largest = max(largest, store.nbytes)
        time.sleep(0.01)
    for writer in writers:
        said, complaints = writer.communicate()
        assert writer.returncode == 0, complaints
        hits, writes = map(int, said.split())
        assert hits > 20
        assert writes > 20
    # Beside what is finished, each process may have one file in hand.
    assert 0 < largest <= store.max_bytes + 2 * 1.01 * SIZE
    assert all(path.suffix == ".safetensors" for path in store.folder.iterdir())


def test_a_killed_process_leaves_no_wrong_embedding(store):
    for attempt in range(3):
        writer = start_writer(store.folder, store.max_bytes, 60)
        time.sleep(0.1 + 0.137 * attempt)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        finished = {path.stem for path in store.folder.iterdir() if path.suffix == ".safetensors"}
        found = {number: store.get(str(number), Model) for number in range(NAMES)}
        right = {str(number) for number, one in found.items() if one and is_right(number, one)}
        assert finished
        assert right == finished


class TestContentName:
    def test_equal_pixels_and_model_have_one_name(self, nano):
        again = load_model("anysam-nano", device="cpu", precision="fp32")
        image = seeded_image(20, 30)
        assert content_name(nano, image) == content_name(again, image.copy())

    def test_a_pixel_counts(self, nano):
        image = seeded_image(20, 30)
        other = image.copy()
        other[3, 4, 1] ^= 1
        assert content_name(nano, image) != content_name(nano, other)

    def test_the_shape_counts(self, nano):
        image = seeded_image(20, 30)
        assert content_name(nano, image) != content_name(nano, image.reshape(30, 20, 3))

    def test_a_view_has_the_name_of_its_pixels(self, nano):
        image = seeded_image(20, 30)
        window = image[2:12, 5:15]
        assert content_name(nano, window) == content_name(nano, window.copy())

    @pytest.mark.parametrize("other", [((0, 900), 1.0), ((0, 1000), 0.8)])
    def test_contrast_and_gamma_count(self, nano, other):
        plane = np.random.default_rng(0).integers(0, 1000, (20, 30)).astype(np.uint16)
        seen = Conditioning(((0, 1000),)).apply(plane)
        window, gamma = other
        assert content_name(nano, seen) != content_name(
            nano, Conditioning((window,), gamma).apply(plane)
        )

    def test_the_precision_counts(self, nano):
        other = load_model("anysam-nano", device="cpu", precision="bf16")
        assert content_name(nano, seeded_image(20, 30)) != content_name(other, seeded_image(20, 30))

    def test_the_weights_count(self, nano, tmp_path):
        from safetensors.torch import load_file, save_file

        from napari_anysam.models.store import builtin_folder

        tensors = load_file(next(builtin_folder().glob("*.safetensors")))
        name = sorted(tensors)[0]
        tensors[name] = tensors[name] + torch.full_like(tensors[name], 0.5)
        save_file(tensors, tmp_path / "other.safetensors")
        other = load_model(tmp_path / "other.safetensors", device="cpu", precision="fp32")
        assert content_name(nano, seeded_image(20, 30)) != content_name(other, seeded_image(20, 30))
