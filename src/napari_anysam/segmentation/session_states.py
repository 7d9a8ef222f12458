"""In a session's folder: what the last run of its journal needs to go on where it ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_anysam.images.safe_writing import disk_errors
from napari_anysam.segmentation.recent_states import Reached
from napari_anysam.segmentation.session_schema import StateFile

if TYPE_CHECKING:
    from napari_anysam.segmentation.saved_session import SavedSession

__all__ = ["STATE_FILES", "load_state", "save_state"]

STATE_FILES = "state-*.safetensors*"
"""Matches what ``save_state`` writes, and what a kill leaves of it."""


def save_state(folder: Path, session: SavedSession) -> StateFile | None:
    """Write the state of a session's last run, if there is one that is not too large.

    Raises
    ------
    LabelFileError
        If the disk refuses.
    """
    reached = session.reached
    if reached is None or not reached.fits:
        return None
    path = folder / f"state-{reached.state.digest[:16]}.safetensors"
    if not path.exists():
        with disk_errors(path):
            reached.state.write(path, {})
    return StateFile(file=path.name, results=reached.results)


def load_state(folder: Path, file: StateFile | None) -> Reached | None:
    """Read a state; None if there is none, or it can be read no more: then its run begins anew."""
    if file is None or Path(file.file).name != file.file:
        return None
    from napari_anysam.networks.tensor_files import DamagedFileError
    from napari_anysam.segmentation.flat_state import VERSION, FlatState

    try:
        state, metadata = FlatState.read(folder / file.file)
    except (DamagedFileError, OSError):
        return None
    return Reached(file.results, state) if metadata.get("version") == VERSION else None
