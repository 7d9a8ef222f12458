import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest

from loopback import Serving, serve
from napari_anysam.errors import Cancelled, DownloadError
from napari_anysam.models import transfer
from napari_anysam.models.catalogue import ModelSpec
from napari_anysam.models.download import discard_partial, download, downloaded_bytes
from napari_anysam.models.partial_file import PartialFile
from napari_anysam.models.store import ModelStore
from napari_anysam.settings import Settings

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No settings, caches or proxies of this machine; short pauses and pieces."""
    monkeypatch.setenv("ANYSAM_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(transfer, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(transfer, "_PIECE", 10_000)


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models", tmp_path / "config")


@pytest.fixture
def serving():
    return Serving(CONTENT)


@pytest.fixture
def address(serving):
    with serve(serving) as found:
        yield found


def spec_of(*urls, **changes):
    values = {
        "name": "small", "title": "Small", "family": "sam", "architecture": "sam/vit_b",
        "file": "small.pth", "licence": "MIT", "parameters_millions": 1.0, "image_size": 64,
        "prompts": ("point",), "tracking": False, "description": "Small.", "good_for": (),
        "citation": "Small, 2026",
        "urls": urls, "size_bytes": len(CONTENT), "sha256": SHA256, "sha256_trust": "official",
    }  # fmt: skip
    return ModelSpec(**{**values, **changes})


def fetch(store, spec, **options):
    return download(spec, store, Settings(), **options)


def left(store):
    """Return the names in the folder of models, apart from locks and the record."""
    names = (path.name for path in store.models_folder.iterdir())
    return sorted(name for name in names if not name.endswith((".lock", "downloads.json")))


def refusal(store, spec):
    with pytest.raises(DownloadError) as error:
        fetch(store, spec)
    assert not (store.models_folder / spec.file).exists()
    return str(error.value)


class TestWell:
    def test_the_file_arrives_with_progress(self, store, address):
        heard = []
        path = fetch(store, spec_of(f"{address}/small.pth"), report=heard.append)
        assert path.read_bytes() == CONTENT
        assert left(store) == ["small.pth"]
        assert (heard[-1].done, heard[-1].total) == (len(CONTENT), len(CONTENT))

    def test_the_second_time_it_is_there(self, store, serving, address):
        spec = spec_of(f"{address}/small.pth")
        assert fetch(store, spec) == fetch(store, spec)
        assert len(serving.asked) == 1

    def test_where_it_came_from_is_recorded(self, store, address):
        spec = spec_of(f"{address}/small.pth", sha256=None, sha256_trust="")
        fetch(store, spec)
        assert store.recorded_sha256(spec) == SHA256

    def test_an_archive_is_unpacked(self, store, serving, address):
        packed = BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("weights/small.pth", CONTENT)
        serving.content = packed.getvalue()
        path = fetch(store, spec_of(f"{address}/small.pth.zip"))
        assert path.read_bytes() == CONTENT
        assert left(store) == ["small.pth"]

    def test_an_archives_beginning_is_not_continued_by_the_file_itself(
        self, store, serving, address
    ):
        store.models_folder.mkdir()
        part = PartialFile(store.models_folder / "small.pth")
        part.begin("http://127.0.0.1:9/small.pth.zip", "tag")
        part.path.write_bytes(bytes(100))
        spec = spec_of("http://127.0.0.1:9/small.pth.zip", f"{address}/small.pth")
        assert fetch(store, spec).read_bytes() == CONTENT
        assert "Range" not in serving.asked[-1]

    def test_goes_on_at_the_address_where_it_began(self, store, serving, address):
        cancel_in_the_middle(store, serving, spec_of(f"{address}/small.pth"))
        spec = spec_of(f"{address}/small.pth.zip", f"{address}/small.pth")
        had = downloaded_bytes(spec, store)
        assert fetch(store, spec).read_bytes() == CONTENT
        assert serving.asked[-1]["Range"] == f"bytes={had}-"

    def test_a_sites_folder_spares_the_download(self, store, tmp_path):
        shared = tmp_path / "shared"
        shared.mkdir()
        (shared / "small.pth").write_bytes(CONTENT)
        store = replace(store, site_folder=shared)
        assert fetch(store, spec_of("http://127.0.0.1:9/small.pth")) == shared / "small.pth"

    def test_a_mirror_is_asked_first(self, store, serving, address):
        spec = spec_of("http://127.0.0.1:9/small.pth")
        path = download(spec, store, Settings(mirror=f"{address}/mirror/"))
        assert path.read_bytes() == CONTENT
        assert serving.paths == ["/mirror/small.pth"]

    def test_a_proxy_is_used(self, store, serving, address, monkeypatch):
        monkeypatch.setenv("NO_PROXY", "")
        path = download(spec_of("http://models.example/small.pth"), store, Settings(proxy=address))
        assert path.read_bytes() == CONTENT
        assert serving.paths == ["http://models.example/small.pth"]


class TestCut:
    def test_it_continues_where_the_connection_was_cut(self, store, serving, address):
        serving.cut_after = [100_000, 50_000]
        assert fetch(store, spec_of(f"{address}/small.pth")).read_bytes() == CONTENT
        assert [asked.get("Range") for asked in serving.asked] == [
            None, "bytes=100000-", "bytes=150000-",
        ]  # fmt: skip
        assert serving.asked[1]["If-Range"] == serving.etag

    def test_a_server_without_ranges_starts_again(self, store, serving, address):
        serving.cut_after, serving.ranges = [100_000], False
        assert fetch(store, spec_of(f"{address}/small.pth")).read_bytes() == CONTENT

    @pytest.mark.parametrize("known", [True, False], ids=["hash known", "hash unknown"])
    def test_another_version_on_the_server_starts_again(self, store, serving, address, known):
        spec = spec_of(f"{address}/small.pth")
        if not known:
            spec = replace(spec, sha256=None, sha256_trust="")
        cancel_in_the_middle(store, serving, spec)
        serving.etag = '"2"'
        assert fetch(store, spec).read_bytes() == CONTENT

    def test_it_gives_up_where_nothing_comes(self, store, serving, address):
        serving.cut_after = [0] * 100
        message = refusal(store, spec_of(f"{address}/small.pth"))
        assert "the connection was cut" in message
        assert len(serving.asked) == transfer.ATTEMPTS

    def test_nobody_listens(self, store):
        assert "does not answer" in refusal(store, spec_of("http://127.0.0.1:9/small.pth"))

    def test_a_wrong_range_is_not_appended(self, store, serving, address):
        serving.cut_after, serving.wrong_range = [100_000], True
        assert "another part of the file" in refusal(store, spec_of(f"{address}/small.pth"))


def cancelled_fetch(store, spec, cancelled):
    with pytest.raises(Cancelled):
        fetch(store, spec, cancelled=cancelled)


def cancel_in_the_middle(store, serving, spec):
    serving.seconds_per_piece = 0.01
    cancelled_fetch(store, spec, lambda: downloaded_bytes(spec, store) > 50_000)
    serving.seconds_per_piece = 0.0
    assert 0 < downloaded_bytes(spec, store) < len(CONTENT)


class TestPause:
    def test_it_continues_after_a_pause(self, store, serving, address):
        spec = spec_of(f"{address}/small.pth")
        cancel_in_the_middle(store, serving, spec)
        had = downloaded_bytes(spec, store)
        assert fetch(store, spec).read_bytes() == CONTENT
        assert serving.asked[-1]["Range"] == f"bytes={had}-"

    def test_a_discarded_part_leaves_nothing(self, store, serving, address):
        spec = spec_of(f"{address}/small.pth")
        cancel_in_the_middle(store, serving, spec)
        discard_partial(spec, store)
        assert left(store) == []

    def test_a_part_of_unknown_origin_is_not_trusted_without_a_hash(self, store, serving, address):
        spec = spec_of(f"{address}/small.pth", sha256=None, sha256_trust="")
        store.models_folder.mkdir()
        (store.models_folder / "small.pth.part").write_bytes(b"something else")
        assert fetch(store, spec).read_bytes() == CONTENT
        assert "Range" not in serving.asked[0]


class TestLies:
    def test_a_wrong_hash(self, store, address):
        message = refusal(store, spec_of(f"{address}/small.pth", sha256="0" * 64))
        assert "wrong SHA-256" in message
        assert left(store) == []

    def test_the_next_address_is_tried(self, store, address):
        wrong = Serving(bytes(len(CONTENT)))
        with serve(wrong) as other:
            path = fetch(store, spec_of(f"{other}/small.pth", f"{address}/small.pth"))
        assert path.read_bytes() == CONTENT

    @pytest.mark.parametrize("status", [403, 404, 500, 503])
    def test_an_error_is_named(self, store, serving, address, status):
        serving.status = status
        message = refusal(store, spec_of(f"{address}/small.pth"))
        assert str(status) in message
        assert "with a browser" in message

    @pytest.mark.parametrize("type_", ["text/html; charset=utf-8", "application/octet-stream"])
    def test_a_captive_portal(self, store, serving, address, type_):
        serving.page, serving.page_type = b"\n<!DOCTYPE html><p>Log in", type_
        spec = spec_of(f"{address}/small.pth", size_bytes=None)
        assert "a web page came instead" in refusal(store, spec)
        assert downloaded_bytes(spec, store) == 0

    @pytest.mark.parametrize("length", [len(CONTENT) - 7, len(CONTENT) + 7])
    def test_a_wrong_length(self, store, serving, address, length):
        serving.claimed_length = length
        assert "instead of 300000" in refusal(store, spec_of(f"{address}/small.pth"))

    def test_a_length_that_is_never_reached(self, store, serving, address):
        serving.claimed_length, serving.ranges = len(CONTENT) + 7, False
        spec = spec_of(f"{address}/small.pth", size_bytes=None)
        assert "cut" in refusal(store, spec)

    def test_a_damaged_archive(self, store, serving, address):
        serving.content = CONTENT[:1000]
        assert "archive is damaged" in refusal(store, spec_of(f"{address}/small.pth.zip"))


class TestThisComputer:
    def test_a_full_disk_is_named_and_keeps_what_has_arrived(
        self, store, serving, address, monkeypatch
    ):
        spec = spec_of(f"{address}/small.pth")
        cancel_in_the_middle(store, serving, spec)
        had = downloaded_bytes(spec, store)
        usage = type("Usage", (), {"free": 10})
        monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: usage)
        assert "the disk is full" in refusal(store, spec)
        assert downloaded_bytes(spec, store) == had

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux' /dev/full")
    def test_a_disk_that_fills_up_while_writing(self, store, address, monkeypatch):
        full = lambda part, *_: part.path.symlink_to("/dev/full")  # noqa: E731
        monkeypatch.setattr(PartialFile, "begin", full)
        assert "the disk is full" in refusal(store, spec_of(f"{address}/small.pth"))

    def test_offline_makes_no_request(self, store, serving, address):
        with pytest.raises(DownloadError, match="switched off"):
            download(spec_of(f"{address}/small.pth"), store, Settings(offline=True))
        assert serving.asked == []

    def test_a_model_without_an_address_names_its_page(self, store):
        message = refusal(store, spec_of(page="https://drive.example/folder"))
        assert "https://drive.example/folder" in message


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_download import download, spec_of, ModelStore, Settings
store = ModelStore(Path({models!r}), Path({config!r}))
print("start", flush=True)
print(download(spec_of({url!r}), store, Settings()), flush=True)
"""


@pytest.fixture
def child(store, address, monkeypatch):
    """Start a download in a process of its own."""
    tests = os.path.dirname(__file__)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))

    def start():
        code = CHILD.format(
            tests=tests,
            models=str(store.models_folder),
            config=str(store.config_folder),
            url=f"{address}/small.pth",
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "start\n", process.stderr.read()
        return process

    return start


class TestProcesses:
    def test_killed_at_any_moment_it_continues(self, store, serving, address, child):
        spec = spec_of(f"{address}/small.pth")
        serving.seconds_per_piece = 0.02
        process = child()
        deadline = time.monotonic() + 60
        while downloaded_bytes(spec, store) < 50_000 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert 0 < downloaded_bytes(spec, store) < len(CONTENT)
        serving.seconds_per_piece = 0.0
        assert fetch(store, spec).read_bytes() == CONTENT
        assert "Range" in serving.asked[-1]

    def test_two_at_once_share_one_download(self, store, serving, address, child):
        spec = spec_of(f"{address}/small.pth")
        serving.seconds_per_piece = 0.02
        process = child()
        deadline = time.monotonic() + 60
        while downloaded_bytes(spec, store) == 0 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert fetch(store, spec).read_bytes() == CONTENT
        assert process.communicate()[0].strip() == str(store.models_folder / "small.pth")
        assert process.returncode == 0
        assert len(serving.asked) == 1

    def test_waiting_can_be_cancelled(self, store, serving, address):
        spec = spec_of(f"{address}/small.pth")
        serving.seconds_per_piece = 0.02
        stop = threading.Event()
        first = threading.Thread(target=cancelled_fetch, args=(store, spec, stop.is_set))
        first.start()
        while downloaded_bytes(spec, store) == 0:
            time.sleep(0.005)
        with pytest.raises(Cancelled):
            fetch(store, spec, cancelled=lambda: True)
        stop.set()
        first.join()
