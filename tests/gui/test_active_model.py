import gc
import threading
import weakref

import pytest
import torch
from nano_files import write_nano
from qtpy.QtCore import QThread

from fake_driver import install_nvidia_smi
from napari_anysam._napari.active_model import ActiveModel, active_model
from napari_anysam.errors import CheckpointError, ModelNotFoundError
from napari_anysam.models.store import default_store

pytestmark = pytest.mark.gui


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_nano(tmp_path_factory.mktemp("models") / "mine.safetensors")


@pytest.fixture
def active(qapp, tmp_path, monkeypatch):
    monkeypatch.setenv("ANYSAM_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("ANYSAM_CONFIG", str(tmp_path / "config"))
    holder = ActiveModel()
    yield holder
    holder.release()


def test_nothing_is_active_at_first(active):
    assert (active.model, active.name, active.busy, active.message) == (None, "", False, "")


def test_a_request_returns_at_once_and_the_model_comes_later(active, file):
    active.request(file)
    assert active.busy
    assert active.model is None
    assert active.message == "Loading mine.safetensors ..."
    active.wait()
    assert not active.busy
    assert active.name == "mine"


def test_loading_leaves_the_gui_thread_and_signals_arrive_on_it(active, file, monkeypatch):
    from napari_anysam.networks import load

    where = []
    original = load.load_with_report

    def watched(*arguments, **options):
        where.append(threading.current_thread())
        return original(*arguments, **options)

    monkeypatch.setattr(load, "load_with_report", watched)
    heard = []
    for signal in (active.loading, active.loaded):
        signal.connect(lambda _: heard.append(QThread.currentThread()))
    active.request(file)
    active.wait()
    assert where[0] is not threading.main_thread()
    assert len(heard) >= 3
    assert set(heard) == {QThread.currentThread()}


def test_each_step_is_said_in_words(active, file):
    words = []
    active.loading.connect(words.append)
    active.request(file)
    active.wait()
    assert [word.split()[0] for word in words] == ["Loading", "Reading", "Checking", "Building"]


def test_a_failure_keeps_the_model_that_was_active(active, file, tmp_path):
    active.request(file)
    active.wait()
    before, errors = active.model, []
    active.failed.connect(errors.append)
    (tmp_path / "empty.pt").touch()
    active.request(tmp_path / "empty.pt")
    active.wait()
    assert active.model is before
    assert active.requested.name_or_path == file
    assert isinstance(errors[0], CheckpointError)


def test_the_latest_request_wins(active, file, tmp_path):
    loaded = []
    active.loaded.connect(lambda model: loaded.append(model.name))
    for index in range(3):
        active.request(write_nano(tmp_path / f"model_{index}.safetensors", seed=index))
    active.wait()
    assert loaded == ["model_2"]


def test_an_answer_to_a_dropped_request_is_not_heard(active, tmp_path, file):
    errors = []
    active.failed.connect(errors.append)
    active.request(tmp_path / "missing.pt")
    active.request(file)
    active.wait()
    assert errors == []
    assert active.name == "mine"


def test_only_a_file_that_could_be_loaded_is_remembered(active, file, tmp_path):
    active.request(tmp_path / "missing.pt")
    active.wait()
    assert default_store().added() == ()
    active.request(file)
    active.wait()
    assert default_store().added() == (file,)


def test_a_precision_and_a_device_are_passed_on(active, file):
    active.request(file, device="cpu", precision="bf16")
    active.wait()
    assert (active.model.device.type, active.model.precision) == ("cpu", "bf16")


def test_ensure_asks_for_the_shipped_model_once(active):
    active.ensure()
    first = active.requested
    active.ensure()
    assert active.requested is first
    assert first.name_or_path == "anysam-nano"
    active.wait()


def test_ensure_keeps_what_is_there(active, file):
    active.request(file)
    active.wait()
    active.ensure()
    assert not active.busy


def test_release_frees_the_model(active, file):
    active.request(file)
    active.wait()
    active.release()
    assert active.model is None
    assert active.requested is None


def test_another_model_frees_the_one_before(active, file, tmp_path):
    active.request(file)
    active.wait()
    before = weakref.ref(active.model)
    active.request(write_nano(tmp_path / "other.safetensors", seed=5))
    active.wait()
    gc.collect()
    assert before() is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch can use the card of this computer")
class TestACardThatTorchCannotUse:
    @pytest.fixture(autouse=True)
    def _card(self, tmp_path, monkeypatch):
        (tmp_path / "driver").mkdir()
        install_nvidia_smi(monkeypatch, tmp_path / "driver", answer="NVIDIA RTX A2000")

    def test_is_said_with_the_model(self, active, file):
        assert active.hint == ""
        active.request(file)
        active.wait()
        assert active.device == "cpu"
        assert "a graphics card (NVIDIA RTX A2000)" in active.hint
        active.release()
        assert active.hint == ""

    def test_is_not_mentioned_to_who_chose_the_cpu(self, active, file):
        active.request(file, device="cpu")
        active.wait()
        assert active.hint == ""


def test_an_unknown_name_fails_with_the_typed_error(active):
    errors = []
    active.failed.connect(errors.append)
    active.request("sam99")
    active.wait()
    assert isinstance(errors[0], ModelNotFoundError)


def test_a_process_has_one(qapp):
    assert active_model() is active_model()
