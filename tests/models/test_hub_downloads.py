"""Repositories of Hugging Face, asked of a real server on loopback."""

import threading

import pytest

from fake_hub import REPOSITORY, serve_hub
from napari_anysam.errors import Cancelled, DownloadError
from napari_anysam.models.hub import download_from_hub
from napari_anysam.settings import Settings

CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Serve files as the hub does; the cache is a folder of the test."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    servers = []

    def start(files, **options):
        server = serve_hub(files, **options)
        monkeypatch.setenv("HF_ENDPOINT", server.__enter__())
        servers.append(server)

    yield start
    for server in servers:
        server.__exit__(None, None, None)


def settings(**changes):
    return Settings(**{"offline": False, **changes})


def test_a_named_file_arrives_under_its_name(hub):
    hub({"weights/one.pt": CONTENT, "two.pt": b"x"})
    path = download_from_hub(REPOSITORY, "weights/one.pt", settings())
    assert (path.name, path.read_bytes()) == ("one.pt", CONTENT)


def test_the_file_need_not_be_named_where_it_can_be_told(hub):
    hub({"README.md": b"words", "pytorch_model.bin": b"x", "model.safetensors": CONTENT})
    assert download_from_hub(REPOSITORY, None, settings()).name == "model.safetensors"


def test_it_tells_how_far_it_is(hub):
    hub({"one.pt": CONTENT})
    told = []
    download_from_hub(REPOSITORY, "one.pt", settings(), report=told.append)
    assert (told[-1].done, told[-1].total) == (len(CONTENT), len(CONTENT))
    assert told[-1].speed > 0


def test_a_cancelled_download_ends_and_leaves_no_file(hub, tmp_path):
    hub({"one.pt": CONTENT * 8}, seconds_per_piece=0.01)
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Cancelled):
        download_from_hub(
            REPOSITORY, "one.pt", settings(), report=lambda _: None, cancelled=stop.is_set
        )
    assert not list((tmp_path / "hub").rglob("one.pt"))


def test_what_the_cache_holds_is_taken_without_a_network(hub):
    hub({"one.pt": CONTENT})
    first = download_from_hub(REPOSITORY, "one.pt", settings())
    assert download_from_hub(REPOSITORY, "one.pt", settings(offline=True)) == first


@pytest.mark.parametrize(
    ("repository", "file", "words"),
    [
        ("somebody/else", "one.pt", "check its id"),
        ("no id at all", "one.pt", "write owner/name"),
        (REPOSITORY, "three.pt", "check its id"),
        (REPOSITORY, None, "name one of one.pt, two.pt"),
    ],
)
def test_what_cannot_be_had_is_explained(hub, repository, file, words):
    hub({"one.pt": CONTENT, "two.pt": CONTENT})
    with pytest.raises(DownloadError, match=words):
        download_from_hub(repository, file, settings())


def test_offline_nothing_is_asked(hub):
    hub({"one.pt": CONTENT})
    with pytest.raises(DownloadError, match="downloads are switched off"):
        download_from_hub(REPOSITORY, "one.pt", settings(offline=True))
