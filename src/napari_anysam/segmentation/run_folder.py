"""The folder of an unfinished run: its request and its state, beside the labels made so far."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from napari_anysam.errors import RunError
from napari_anysam.images.safe_writing import replace_file
from napari_anysam.segmentation.run_request import RunRequest
from napari_anysam.segmentation.tracking_state import SECONDS, RunKeeper

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["keeper_in", "recorded_request"]

_REQUEST, _STATE = "request.json", "state.safetensors"


def recorded_request(folder: Path, request: RunRequest) -> RunRequest:
    """Return the request with which the run of a folder began; record this one in an empty folder.

    Parameters
    ----------
    folder : Path
        Is there.
    request : RunRequest
        What is asked for now.

    Returns
    -------
    RunRequest
        It differs from ``request`` in nothing that changes the result, but may name another device,
        another number of threads, or another place of the stack.

    Raises
    ------
    RunError
        If the run asked for something else, or its request cannot be read.
    LabelFileError
        If the disk refuses.
    """
    path = folder / _REQUEST
    if not path.exists():
        text = json.dumps(request.to_dict()).encode()

        def write(new: Path) -> None:
            new.write_bytes(text)

        replace_file(path, write)
        return request
    try:
        recorded = RunRequest.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"{path} cannot be read ({error}); begin the run anew.") from error
    differences = recorded.differences(request)
    if differences:
        raise RunError(
            f"The unfinished run in {folder} began with another {' and '.join(differences)}; give "
            "the same again, or begin the run anew."
        )
    return recorded


def keeper_in(folder: Path, request: RunRequest, seconds: float = SECONDS) -> RunKeeper:
    """Return what keeps the state of a run in its folder."""
    return RunKeeper(folder / _STATE, request, seconds)
