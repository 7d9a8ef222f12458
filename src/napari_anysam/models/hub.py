"""Weights of a Hugging Face repository, named by its id; the hub's own cache keeps them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_anysam.errors import DownloadError

if TYPE_CHECKING:
    from napari_anysam.settings import Settings

__all__ = ["download_from_hub"]

_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")


def download_from_hub(repository: str, file: str | None, settings: Settings) -> Path:
    """Return a repository's file of weights, fetched if the hub's cache does not hold it.

    Parameters
    ----------
    repository : str
        Its id, "owner/name".
    file : str, optional
        Path of the file in it; may be left out where there is only one file of weights.
    settings : Settings
        Whether downloads are allowed. The cache lies where ``HF_HOME`` says.

    Raises
    ------
    DownloadError
        If it cannot be had; the message says why and what helps.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    offline = settings.offline
    try:
        name = file or _only_file(repository, offline)
        return Path(hf_hub_download(repository, name, local_files_only=offline))
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
    except OSError as error:
        raise DownloadError(f"{repository} could not be fetched ({_first_line(error)}).") from error


def _only_file(repository: str, offline: bool) -> str:
    from huggingface_hub import list_repo_files

    if offline:
        raise DownloadError(
            f"Downloads are switched off, so the files of {repository} cannot be listed; name the "
            "file."
        )
    names: list[str] = list_repo_files(repository)
    files = [name for name in names if name.endswith(_SUFFIXES)]
    if len(files) == 1:
        return files[0]
    if not files:
        raise DownloadError(f"{repository} holds no file of weights; check its id.")
    raise DownloadError(
        f"{repository} holds several files of weights; name one of {', '.join(files[:12])}."
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
