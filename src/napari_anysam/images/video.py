"""Films as arrays: MP4, AVI and MOV, decoded frame by frame through PyAV when asked for."""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import ImageError
from napari_anysam.images.file_kinds import import_extra

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from numpy.typing import NDArray

__all__ = ["Video"]

KEPT_BYTES = 2**28
"""Decoded frames that are kept, as the codec gives them (about 1.5 bytes per pixel)."""


class Video:
    """A film as an array (T, H, W, 3) of uint8 RGB, of which only asked frames are decoded.

    The packets are read once, without decoding them, to know every frame and from which key
    frame it can be decoded. Threads may read at the same time; they wait for each other.

    Parameters
    ----------
    path : path
        An .mp4, .avi or .mov file, or another one that FFmpeg reads; its first video stream.

    Raises
    ------
    ImageError
        If PyAV is not installed, or the file holds no film that can be decoded.
    """

    ndim = 4
    dtype = np.dtype(np.uint8)

    def __init__(self, path: str | PathLike[str]) -> None:
        self._av = import_extra("av", "video", "Films")
        self._path = str(path)
        self._lock = Lock()
        self._kept: OrderedDict[int, Any] = OrderedDict()
        try:
            with self._open() as container:
                frames = _index(container)
            self._times = frames or self._decoded_times()
        except self._av.FFmpegError as error:
            raise self._unreadable(error) from error
        if not self._times:
            raise ImageError(f"{self._path} holds no film; give a file with a video stream.")
        self._place = {time: place for place, (time, _) in enumerate(self._times)}
        distinct = len(self._place) == len(self._times) and None not in self._place
        # Key frames by place, each with the position in the file's own clock to look for. Without
        # distinct times there is nothing to look for: every search begins with the first frame.
        keys = [(place, seek) for place, (_, seek) in enumerate(self._times) if seek is not None]
        self._keys = keys if distinct else []
        self._frames: Iterator[Any] = iter(())
        self._container: Any = None
        self._next = len(self._times)  # the place of the next decoded frame, None: to be found
        first = self._frame(0)
        self.shape = (len(self._times), int(first.height), int(first.width), 3)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._times)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Read frames or parts of them; any key of basic indexing."""
        parts = list(key) if isinstance(key, tuple) else [key]
        if parts and parts[0] is Ellipsis:
            parts[:1] = [slice(None)] * (self.ndim + 1 - len(parts))
        first, rest = (parts[0] if parts else slice(None)), tuple(parts[1:])
        if isinstance(first, slice):
            places = range(*first.indices(len(self)))
            frames = [self.frame(place)[rest] for place in places]
            empty = np.empty(self.shape[1:], np.uint8)[rest]
            return np.stack(frames) if frames else np.empty((0, *empty.shape), np.uint8)
        frame: NDArray[np.uint8] = self.frame(operator.index(first))[rest]
        return frame

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Decode the whole film."""
        return np.asarray(self[:], dtype)

    def frame(self, place: int) -> NDArray[np.uint8]:
        """Return one frame (H, W, 3) as RGB.

        Raises
        ------
        IndexError
            If there is no such frame.
        ImageError
            If the film is damaged there.
        """
        if not -len(self) <= place < len(self):
            raise IndexError(f"The film has {len(self)} frames, none with the index {place}.")
        with self._lock:
            frame = self._frame(place % len(self))
            _, height, width, _ = self.shape
            rgb: NDArray[np.uint8] = frame.to_ndarray(format="rgb24", width=width, height=height)
            return rgb

    def close(self) -> None:
        """Close the file; reading opens it again."""
        with self._lock:
            self._restart()

    def _frame(self, place: int) -> Any:
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        try:
            self._go_to(place)
            while self._next <= place:
                self._decode_one()
        except (self._av.FFmpegError, StopIteration) as error:
            self._restart()
            raise self._unreadable(error, place) from error
        return self._kept[place]

    def _go_to(self, place: int) -> None:
        """Stand before a frame from which this one is reached by decoding on."""
        number = bisect_right(self._keys, place, key=operator.itemgetter(0)) - 1
        key, seek = self._keys[number] if number >= 0 else (0, None)
        if self._container is not None and key <= self._next <= place:
            return
        self._restart()
        self._container = self._open()
        stream = self._container.streams.video[0]
        if seek is not None and key > 0:
            self._container.seek(seek, stream=stream, backward=True)
        self._frames = self._container.decode(stream)
        self._next = 0
        if seek is not None and key > 0:
            self._find_own_place(key, place)

    def _find_own_place(self, key: int, place: int) -> None:
        """Decode to the key frame; if the search ended behind it, begin with the first frame."""
        for frame in self._frames:
            reached = self._place.get(frame.pts, -1)
            if reached == key:
                self._keep(key, frame)
                self._next = key + 1
                return
            if reached > place:
                break
        self._restart()
        self._container = self._open()
        self._frames = self._container.decode(self._container.streams.video[0])
        self._next = 0

    def _decode_one(self) -> None:
        self._keep(self._next, next(self._frames))
        self._next += 1

    def _keep(self, place: int, frame: Any) -> None:
        self._kept[place] = frame
        self._kept.move_to_end(place)
        most = max(2, KEPT_BYTES // max(1, frame.width * frame.height * 3 // 2))
        while len(self._kept) > most:
            self._kept.popitem(last=False)

    def _restart(self) -> None:
        if self._container is not None:
            self._container.close()
        self._container, self._frames = None, iter(())
        self._next = len(self._times)

    def _open(self) -> Any:
        container = self._av.open(self._path)
        if not container.streams.video:
            container.close()
            raise ImageError(f"{self._path} holds no film; give a file with a video stream.")
        container.streams.video[0].thread_type = "AUTO"
        return container

    def _decoded_times(self) -> list[tuple[int | None, int | None]]:
        """Decode everything once, where the packets do not tell in which order they are shown."""
        with self._open() as container:
            return [
                (frame.pts, _seekable(frame.pts, frame.dts) if frame.key_frame else None)
                for frame in container.decode(video=0)
            ]

    def _unreadable(self, error: Exception, place: int | None = None) -> ImageError:
        where = "" if place is None else f" at frame {place}"
        detail = getattr(error, "strerror", None) or "the film ends there"
        return ImageError(
            f"{self._path} could not be decoded{where} ({detail}); convert it to MP4 (H.264)."
        )


def _index(container: Any) -> list[tuple[int | None, int | None]]:
    """Return time and, of key frames, seek position of every frame in the order of showing.

    Empty where packets have no times, or those of a stream with reordered frames do not rise
    and fall: then they count packets (H.264 in AVI) and say nothing of the order.
    """
    stream = container.streams.video[0]
    packets = [
        (packet.pts, packet.dts, packet.is_keyframe)
        for packet in container.demux(stream)
        if packet.size and not packet.is_discard
    ]
    times = [time for time, _, _ in packets]
    if None in times or len(set(times)) < len(times):
        return []
    if stream.codec_context.has_b_frames and times == sorted(times):
        return []
    return sorted((time, _seekable(time, dts) if key else None) for time, dts, key in packets)


def _seekable(time: int | None, dts: int | None) -> int | None:
    known = [value for value in (time, dts) if value is not None]
    return min(known) if known else None
