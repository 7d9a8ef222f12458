"""Files and folders that appear all at once: a new one grows beside its target, then replaces it.

A full disk, an error or a killed process leaves what was there before as it was.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_anysam.errors import AnySAMError, LabelFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["beside", "disk_errors", "replace_file", "replace_folder", "swap_folders"]


def replace_file(target: Path, write: Callable[[Path], None], ending: str | None = None) -> None:
    """Write a new file beside the target, then let it take the target's place.

    Parameters
    ----------
    target : Path
        The file to make or to replace.
    write : callable
        Writes the new file at the path that it is given.
    ending : str or None
        Ending of that path, by default the target's last one.

    Raises
    ------
    LabelFileError
        If the disk refuses.
    """
    temporary = beside(target, ending)
    with disk_errors(target):
        try:
            write(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


def replace_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Write a new folder beside the target, then let it take the target's place.

    Parameters
    ----------
    target : Path
        The folder to make or to replace with all that it holds.
    write : callable
        Makes the new folder at the path that it is given.

    Raises
    ------
    LabelFileError
        If the disk refuses.
    """
    temporary = beside(target)
    with disk_errors(target):
        try:
            write(temporary)
            swap_folders(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def swap_folders(new: Path, target: Path) -> None:
    """Put a folder in the target's place; for an instant there is none, as folders cannot swap."""
    old = beside(target)
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def beside(target: Path, ending: str | None = None) -> Path:
    """Return an unused hidden name in the target's folder, by default with its ending."""
    name = f".{target.stem}.{secrets.token_hex(4)}.tmp"
    return target.with_name(name + (target.suffix if ending is None else ending))


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Turn the errors of a disk into one sentence."""
    try:
        yield
    except AnySAMError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise LabelFileError(
            f"{target} could not be written ({reason}); make room or choose another folder."
        ) from error
