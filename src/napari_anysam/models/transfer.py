"""Moving one file over HTTP into a partial file, in as many requests as it takes."""

from __future__ import annotations

import errno
import re
import shutil
import time
from typing import TYPE_CHECKING

from napari_anysam.errors import DownloadError

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from napari_anysam.models.partial_file import PartialFile
    from napari_anysam.settings import Settings

    Watch = Callable[[int, int | None], None]

__all__ = ["LOCAL_FAULTS", "transfer"]

LOCAL_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS})
"""Errors of the disk, which no other address can cure."""

ATTEMPTS = 5
"""Requests in a row that bring nothing before an address is given up."""

_TIMEOUT = (10.0, 60.0)  # seconds to connect, and without any byte
_PAUSE_SECONDS = 0.5
_PIECE = 1 << 16  # bytes; a cut connection loses the piece it was in
_PAGE = re.compile(rb"\s*(?:<!doctype html|<html|<head|<!--)", re.IGNORECASE)


class _CutError(Exception):
    """The connection ended too early; another request may bring the rest."""


def transfer(
    url: str,
    part: PartialFile,
    size: int | None,
    *,
    keep_any: bool,
    settings: Settings,
    watch: Watch,
) -> None:
    """Bring the file at an address into the partial file, continuing what is there.

    Parameters
    ----------
    url : str
        Where it is.
    part : PartialFile
        What has arrived of it.
    size : int or None
        Bytes that the file must have, if known.
    keep_any : bool
        Continue a part that came from another address; only a later check of the hash makes that
        safe.
    settings : Settings
        Its proxy is used.
    watch : callable
        Gets bytes on disk and in all after every piece; what it raises ends the transfer.

    Raises
    ------
    DownloadError
        If this address does not give the file; the message says why, without its address.
    """
    import requests

    failures, words = 0, ""
    with requests.Session() as session:
        if settings.proxy:
            session.proxies = {"http": settings.proxy, "https": settings.proxy}
        while failures < ATTEMPTS:
            before = part.size
            try:
                return _request(session, url, part, size, keep_any, watch)
            except (requests.ConnectionError, requests.Timeout) as error:
                words = _reason(error)
            except (requests.exceptions.ChunkedEncodingError, _CutError):
                words = "the connection was cut"
            except requests.RequestException as error:
                raise DownloadError(f"the request failed ({error})") from error
            failures = 1 if part.size > before else failures + 1
            watch(part.size, size)
            time.sleep(_PAUSE_SECONDS * failures)
    raise DownloadError(words)


def _reason(error: requests.RequestException) -> str:
    import requests

    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not answer"
    if isinstance(error, requests.exceptions.SSLError):
        return "the certificate is not accepted"
    return "the server does not answer"


def _request(
    session: requests.Session,
    url: str,
    part: PartialFile,
    size: int | None,
    keep_any: bool,
    watch: Watch,
) -> None:
    """Ask once for what is missing and write what comes."""
    start = _resume_point(url, part, size, keep_any)
    if size is not None and start == size:
        return
    headers = {"Accept-Encoding": "identity"}  # lengths and offsets are those of the file
    if start:
        headers["Range"] = f"bytes={start}-"
        origin, etag = part.origin
        if origin == url and etag:
            headers["If-Range"] = etag
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        total = _expected_total(response, start)
        if response.status_code == 416:
            if total == start and start:
                return
            part.clear()
            raise _CutError
        _check(response, total, size)
        if response.status_code != 206 or not start:
            part.begin(url, _entity_tag(response))
        _check_space(part, total)
        _receive(response, part, total, watch)


def _resume_point(url: str, part: PartialFile, size: int | None, keep_any: bool) -> int:
    """Return how many bytes can be kept: those of the same file, and not too many."""
    origin, etag = part.origin
    same = origin == url and bool(etag)
    if not (same or keep_any) or (size is not None and part.size > size):
        part.clear()
    return part.size


def _entity_tag(response: requests.Response) -> str:
    """Return a strong entity tag; a weak one does not promise equal bytes."""
    etag = response.headers.get("ETag", "")
    return "" if etag.startswith("W/") else etag


def _expected_total(response: requests.Response, start: int) -> int | None:
    """Read from the headers how long the whole file is."""
    found = re.match(r"bytes (?:(\d+)-\d+|\*)/(\d+)", response.headers.get("Content-Range", ""))
    if found:
        if found[1] is not None and int(found[1]) != start:
            raise DownloadError("the server sent another part of the file than it was asked for")
        return int(found[2])
    length = response.headers.get("Content-Length", "")
    if not length.isdigit() or response.status_code == 416:
        return None
    return int(length) + (start if response.status_code == 206 else 0)


def _check(response: requests.Response, total: int | None, size: int | None) -> None:
    if response.status_code >= 400:
        raise DownloadError(f"the server answered {response.status_code} {response.reason}")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise DownloadError(_PORTAL)
    if size is not None and total is not None and total != size:
        raise DownloadError(f"the server has a file of {total} bytes instead of {size}")


_PORTAL = "a web page came instead of the file: perhaps this network wants a login first"


def _check_space(part: PartialFile, total: int | None) -> None:
    if total is None:
        return
    free = shutil.disk_usage(part.path.parent).free
    if free < total - part.size:
        raise OSError(errno.ENOSPC, "The file does not fit on the disk.")


def _receive(
    response: requests.Response, part: PartialFile, total: int | None, watch: Watch
) -> None:
    done = part.size
    with part.path.open("ab") as file:
        for piece in response.iter_content(_PIECE):
            if done == 0 and _PAGE.match(piece):
                raise DownloadError(_PORTAL)
            file.write(piece)
            done += len(piece)
            watch(done, total)
    if total is not None and done != total:
        raise _CutError
