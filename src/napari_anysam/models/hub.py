"""Weights of a Hugging Face repository, named by its id; the hub's own cache keeps them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_anysam.errors import AnySAMError, Cancelled, DownloadError
from napari_anysam.models.catalogue import catalogue
from napari_anysam.models.download import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_anysam.settings import Settings

__all__ = ["choose_file", "download_from_hub"]

_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")


def download_from_hub(
    repository: str,
    file: str | None,
    settings: Settings,
    *,
    report: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Path:
    """Return a repository's file of weights, fetched if the hub's cache does not hold it.

    Parameters
    ----------
    repository : str
        Its id, "owner/name".
    file : str, optional
        Path of the file in it. If left out, it is the repository's only file of weights, or the
        only one that bears a name of the catalogue, or else "model.safetensors".
    settings : Settings
        Whether downloads are allowed. The cache lies where ``HF_HOME`` says.
    report : callable, optional
        Hears of the progress a few times a second; without it the hub's own bar is shown.
    cancelled : callable, optional
        Asked while pieces arrive; the hub keeps what has arrived for the next time.

    Raises
    ------
    DownloadError
        If it cannot be had; the message says why and what helps.
    Cancelled
        When ``cancelled`` answered True.
    """
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    offline = settings.offline
    try:
        name = file or _listed_file(repository, offline)
        bar = None if report is None else _silent_bar(report, cancelled)
        found = _hub().hf_hub_download(repository, name, local_files_only=offline, tqdm_class=bar)
        return Path(found)
    except LocalEntryNotFoundError as error:
        why = "downloads are switched off" if offline else "the hub does not answer"
        raise DownloadError(
            f"{repository} is not in the hub's cache and {why}; check the connection or the "
            "settings."
        ) from error
    except HFValidationError as error:
        raise DownloadError(
            f"{repository!r} is no id of a Hugging Face repository; write owner/name."
        ) from error
    except HfHubHTTPError as error:
        raise DownloadError(
            f"Hugging Face does not give {repository} ({_first_line(error)}); check its id, and "
            "log in with 'hf auth login' if it is gated."
        ) from error
    except AnySAMError:
        raise
    except Exception as error:  # a full disk, or the HTTP library's name for a lost connection
        raise DownloadError(
            f"{repository} could not be fetched ({_first_line(error)}); try again, what has "
            "arrived is kept."
        ) from error


def _hub() -> Any:
    """Return the hub, or the mirror that HF_ENDPOINT names."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"))


def _listed_file(repository: str, offline: bool) -> str:
    if offline:
        raise DownloadError(
            f"Downloads are switched off, so the files of {repository} cannot be listed; name the "
            "file."
        )
    return choose_file(repository, _hub().list_repo_files(repository))


def choose_file(repository: str, names: Sequence[str]) -> str:
    """Choose the file of weights among those of a repository.

    Repositories often hold the same weights several times. The official file comes first, because
    its hash tells which model it is; then what transformers itself reads first.

    Parameters
    ----------
    repository : str
        Its id, for the message.
    names : sequence of str
        Paths of all its files.

    Raises
    ------
    DownloadError
        If there is none or no telling which one; the message names those that there are.
    """
    files = [name for name in names if name.endswith(_SUFFIXES)]
    official = {spec.file for spec in catalogue()}
    known = [name for name in files if name in official]
    plain = [name for name in files if name == "model.safetensors"]
    for choice in (files, known, plain):
        if len(choice) == 1:
            return choice[0]
    if not files:
        raise DownloadError(f"{repository} holds no file of weights; check its id.")
    if any(name.endswith(".index.json") for name in names):
        raise DownloadError(
            f"{repository} holds its weights in several parts, which are not read; save them in "
            "one file with transformers' save_pretrained(..., max_shard_size='50GB')."
        )
    raise DownloadError(
        f"{repository} holds several files of weights; name one of {', '.join(files[:12])}."
    )


def _silent_bar(
    report: Callable[[Progress], None], cancelled: Callable[[], bool] | None
) -> type[Any]:
    """Make a progress bar that shows nothing and tells where it is; the hub asks for a class."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[type-arg, misc]  # tqdm's type takes parameters in its stubs only
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._began = time.monotonic()
            super().__init__(*arguments, **{**options, "disable": True})
            self.n = int(options.get("initial") or 0)
            self.total = options.get("total")
            self._first = self.n

        def update(self, n: float | None = 1) -> None:
            if cancelled is not None and cancelled():
                raise Cancelled("The download was cancelled.")
            self.n += int(n or 0)  # a disabled bar does not count by itself
            seconds = max(time.monotonic() - self._began, 1e-3)
            report(Progress(self.n, self.total, (self.n - self._first) / seconds))

    return Bar


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
