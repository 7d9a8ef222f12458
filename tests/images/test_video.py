"""Films: frames of PyAV, whichever is asked for first, from several threads, as an image."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_anysam.errors import ImageError
from napari_anysam.images import video
from napari_anysam.images.files import read_image
from napari_anysam.images.planes import Planes
from napari_anysam.images.video import Video

COUNT, HEIGHT, WIDTH = 31, 48, 64

# Frames out of order (mp4, avi), key frames that are not the first of their group (b.avi), and a
# container that tells no times (c.avi).
FILMS = {"a.mp4": "libx264", "b.avi": "mpeg4", "c.avi": "libx264", "d.mov": "mpeg4"}


def write_film(path, codec, count=COUNT):
    """Write a square that moves over grey that brightens, a key frame every tenth."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = 10
        stream.options = {"bf": "2", "x264-params": "log-level=none"}
        for index in range(count):
            frame = np.full((HEIGHT, WIDTH, 3), index * 4, np.uint8)
            frame[10:20, index : index + 10] = (255, 60, 0)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    found = {}
    for name, codec in FILMS.items():
        write_film(folder / name, codec)
        with av.open(str(folder / name)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        found[name] = folder / name, np.stack(frames)
    return found


@pytest.mark.parametrize("name", FILMS)
def test_a_film_is_an_array_of_its_frames(films, name):
    path, frames = films[name]
    film = Video(path)
    assert (film.shape, film.dtype, film.ndim) == ((COUNT, HEIGHT, WIDTH, 3), np.uint8, 4)
    np.testing.assert_array_equal(np.asarray(film), frames)


@pytest.mark.parametrize("name", FILMS)
def test_any_frame_can_be_asked_for_when_few_are_kept(films, name, monkeypatch):
    path, frames = films[name]
    monkeypatch.setattr(video, "KEPT_BYTES", 0)
    film = Video(path)

    @given(st.integers(-COUNT, COUNT - 1))
    def check(index):
        np.testing.assert_array_equal(film[index], frames[index])
        assert len(film._kept) <= 2

    check()


def test_a_late_frame_is_reached_from_its_key_frame(films, monkeypatch):
    path, _ = films["a.mp4"]
    film = Video(path)
    decoded = []
    keep = film._keep
    monkeypatch.setattr(
        film, "_keep", lambda place, frame: decoded.append(place) or keep(place, frame)
    )
    film.frame(29)
    assert decoded[0] >= 20
    decoded.clear()
    film.frame(30)
    assert decoded == [30]


@pytest.mark.parametrize(
    "key",
    [
        np.s_[3:9:2],
        np.s_[...],
        np.s_[5, 10:20, ::3, 0],
        np.s_[-1],
        np.s_[7:7],
        np.s_[2:4, ..., 1],
        np.s_[..., 4:9, 2],
        np.s_[:, 5],
        (),
        np.s_[..., 2:4, 1:9, 3:5, 0],
    ],
)
def test_keys_mean_what_they_mean_to_numpy(films, key):
    path, frames = films["a.mp4"]
    np.testing.assert_array_equal(Video(path)[key], frames[key])


def test_threads_may_read_at_the_same_time(films, monkeypatch):
    path, frames = films["a.mp4"]
    monkeypatch.setattr(video, "KEPT_BYTES", 0)
    film = Video(path)
    places = np.random.default_rng(0).integers(0, COUNT, 60)
    with ThreadPoolExecutor(4) as pool:
        for place, found in zip(places, pool.map(film.frame, places), strict=True):
            np.testing.assert_array_equal(found, frames[place])


def test_it_goes_on_after_being_closed(films):
    path, frames = films["a.mp4"]
    film = Video(path)
    film.close()
    np.testing.assert_array_equal(film[25], frames[25])


def test_a_film_is_an_image_with_colours(films):
    path, frames = films["a.mp4"]
    image = read_image(path)
    assert (image.axes, image.channel_axis) == ("TYXS", 3)
    planes = Planes(image.array, 0, image.channel_axis)
    assert planes.count == COUNT
    np.testing.assert_array_equal(planes.read(12), frames[12])


def test_an_index_behind_the_end_is_refused(films):
    with pytest.raises(IndexError, match="31 frames"):
        Video(films["a.mp4"][0])[COUNT]


def test_what_is_no_film_is_refused(tmp_path, films):
    (tmp_path / "a.mp4").write_bytes(b"no film")
    with pytest.raises(ImageError, match="could not be decoded"):
        read_image(tmp_path / "a.mp4")
    with av.open(str(tmp_path / "b.mov"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        stream.layout = "mono"
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(ImageError, match="holds no film"):
        read_image(tmp_path / "b.mov")


def test_a_film_that_was_cut_off_has_the_frames_that_are_there(tmp_path, films):
    whole = films["c.avi"][0].read_bytes()
    begin, end = whole.index(b"movi"), whole.index(b"idx1")
    (tmp_path / "cut.avi").write_bytes(whole[: (begin + 2 * end) // 3])
    film = Video(tmp_path / "cut.avi")
    assert 0 < len(film) < COUNT
    np.testing.assert_array_equal(film[0], films["c.avi"][1][0])
    assert np.asarray(film).shape == film.shape
