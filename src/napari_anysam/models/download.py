"""Fetching a model's file: continued where it stopped, verified, put in place in one step.

What has arrived lies beside the target as ``FILE.part`` until all of it is there and its hash is
right. A lock file makes a second process wait for the first one instead of writing into its part.
"""

from __future__ import annotations

import errno
import shutil
import time
import zipfile
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from napari_anysam.errors import Cancelled, DownloadError
from napari_anysam.models.checkpoint import file_sha256
from napari_anysam.models.partial_file import PartialFile
from napari_anysam.models.transfer import LOCAL_FAULTS, transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_anysam.models.catalogue import ModelSpec
    from napari_anysam.models.store import ModelStore
    from napari_anysam.settings import Settings

__all__ = ["Progress", "discard_partial", "download", "downloaded_bytes"]

_LOCK_POLL_SECONDS = 0.2
_SPEED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is.

    Parameters
    ----------
    done : int
        Bytes on disk.
    total : int or None
        Bytes of the whole file, if anybody said.
    speed : float
        Bytes per second during the last seconds; 0 while another process downloads the file.
    """

    done: int
    total: int | None
    speed: float

    @property
    def seconds_left(self) -> float | None:
        """Time until the end at this speed; None if nobody knows."""
        if self.total is None or self.speed <= 0:
            return None
        return (self.total - self.done) / self.speed


def download(
    spec: ModelSpec,
    store: ModelStore,
    settings: Settings,
    *,
    report: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Path:
    """Fetch a catalogue model, unless it is on disk, and return where it lies.

    Parameters
    ----------
    spec : ModelSpec
        What to fetch; its addresses are tried in their order, a site's mirror before them.
    store : ModelStore
        Where to put it.
    settings : Settings
        Mirror, proxy, and whether downloads are allowed.
    report : callable, optional
        Hears of the progress a few times a second.
    cancelled : callable, optional
        Asked after every piece; when it answers True, ``Cancelled`` is raised and what has
        arrived stays for the next time.

    Raises
    ------
    DownloadError
        If it cannot be had; the message says why and what helps.
    Cancelled
        When ``cancelled`` answered True.
    """
    found = store.find(spec)
    if found is not None:
        return found
    addresses = _addresses(spec, settings)
    _refuse_hopeless(spec, store, settings, addresses)
    stop = cancelled or _never
    target = store.models_folder / spec.file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target, stop):
            if not target.is_file():
                url = _fetch_first(spec, addresses, target, settings, _Watch(report, stop))
                store.record_download(spec, url)
    except OSError as error:
        raise _local_error(error, spec, target) from error
    return target


def downloaded_bytes(spec: ModelSpec, store: ModelStore) -> int:
    """Return how much of a model has arrived by an unfinished download."""
    return PartialFile(store.models_folder / spec.file).size


def discard_partial(spec: ModelSpec, store: ModelStore) -> None:
    """Delete what an unfinished download has left."""
    PartialFile(store.models_folder / spec.file).clear()


def _never() -> bool:
    return False


def _addresses(spec: ModelSpec, settings: Settings) -> tuple[str, ...]:
    mirror = () if settings.mirror is None else (f"{settings.mirror.rstrip('/')}/{spec.file}",)
    return (*mirror, *spec.urls)


def _refuse_hopeless(
    spec: ModelSpec, store: ModelStore, settings: Settings, addresses: tuple[str, ...]
) -> None:
    if settings.offline:
        raise DownloadError(
            f"{spec.title} is not on this computer and downloads are switched off; allow them "
            f"(offline in the settings, HF_HUB_OFFLINE), or copy {spec.file} into "
            f"{store.models_folder}."
        )
    if not addresses:
        raise DownloadError(store.remedy(spec))


@contextmanager
def _alone(target: Path, stop: Callable[[], bool]) -> Iterator[None]:
    """Wait until no other process downloads the same file."""
    lock = FileLock(f"{target}.lock")
    while True:
        if stop():
            raise Cancelled("The download was cancelled.")
        try:
            lock.acquire(timeout=_LOCK_POLL_SECONDS)
            break
        except Timeout:
            continue
    try:
        yield
    finally:
        lock.release()


class _Watch:
    """Hands progress to the caller at a bounded rate, and asks whether to go on."""

    def __init__(self, report: Callable[[Progress], None] | None, stop: Callable[[], bool]) -> None:
        self._report, self._stop = report, stop
        self._recent: deque[tuple[float, int]] = deque()
        self._reported = 0.0

    def __call__(self, done: int, total: int | None) -> None:
        """Tell how many bytes are on disk; called after every piece."""
        if self._stop():
            raise Cancelled("The download was cancelled; it continues where it stopped.")
        now = time.monotonic()
        self._recent.append((now, done))
        while now - self._recent[0][0] > _SPEED_SECONDS:
            self._recent.popleft()
        if self._report is not None and (done == total or now - self._reported > 0.2):
            self._reported = now
            self._report(Progress(done, total, self._speed()))

    def _speed(self) -> float:
        (start, before), (end, after) = self._recent[0], self._recent[-1]
        return max(0.0, (after - before) / (end - start)) if end > start else 0.0


def _fetch_first(
    spec: ModelSpec, addresses: tuple[str, ...], target: Path, settings: Settings, watch: _Watch
) -> str:
    """Fetch from the first address that gives the right file, and return that address."""
    faults = []
    part = PartialFile(target)
    begun = part.origin[0]
    for url in sorted(addresses, key=lambda url: url != begun):  # where it began, then in order
        archive = _is_archive(url, spec)
        try:
            size = None if archive else spec.size_bytes
            # Other addresses give the same bytes, but an archive's are not the file's.
            same = not archive and not _is_archive(part.origin[0], spec)
            keep = same and spec.sha256 is not None
            transfer(url, part, size, keep_any=keep, settings=settings, watch=watch)
            if archive:
                _unpack(part.path, spec.file)
            _verify(part, spec)
        except DownloadError as error:
            faults.append(f"{urlsplit(url).hostname}: {error}")
            continue
        part.move_to_target()
        return url
    raise DownloadError(
        f"{spec.title} could not be downloaded ({'; '.join(faults)}); check the connection, or "
        f"fetch {addresses[-1]} with a browser and put it into {target.parent} as {spec.file}."
    )


def _is_archive(url: str, spec: ModelSpec) -> bool:
    """Tell an archive by its address: PyTorch's own files are zip archives too."""
    return urlsplit(url).path.endswith(".zip") and not spec.file.endswith(".zip")


def _unpack(path: Path, member: str) -> None:
    """Put an archive's member of that name in the archive's own place."""
    inside = path.with_name(path.name + ".member")
    try:
        with zipfile.ZipFile(path) as archive:
            name = next((n for n in archive.namelist() if Path(n).name == member), None)
            if name is None:
                raise DownloadError(f"its archive holds no {member}")
            with archive.open(name) as source, inside.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
        inside.replace(path)
    except zipfile.BadZipFile as error:
        path.unlink()
        raise DownloadError("its archive is damaged") from error
    finally:
        inside.unlink(missing_ok=True)


def _verify(part: PartialFile, spec: ModelSpec) -> None:
    """Compare with the catalogue's hash; a wrong file goes, as nothing can be continued from it."""
    if spec.sha256 is not None and file_sha256(part.path) != spec.sha256:
        part.clear()
        raise DownloadError("the file that came has a wrong SHA-256 and was deleted")


def _local_error(error: OSError, spec: ModelSpec, target: Path) -> DownloadError:
    """Say what this computer refused; connections have been dealt with before."""
    if error.errno in LOCAL_FAULTS:
        what = {
            errno.ENOSPC: "the disk is full; free some space",
            errno.EDQUOT: "your disk quota is used up; free some space",
        }.get(error.errno or 0, "the folder cannot be written; choose another one in the settings")
        return DownloadError(
            f"{spec.title} could not be stored in {target.parent}: {what}; "
            "what has arrived is kept."
        )
    return DownloadError(f"{spec.title} could not be stored in {target.parent} ({error}).")
