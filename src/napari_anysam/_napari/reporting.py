"""What went wrong, said once and in one sentence, as a napari notification."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_warning

from napari_anysam.errors import AnySAMError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["report", "reporting"]


def report(error: Exception) -> None:
    """Show an error: ours as the sentence it is, any other with its type."""
    if isinstance(error, AnySAMError):
        show_warning(str(error))
    else:
        show_error(f"AnySAM could not go on ({type(error).__name__}: {error}).")


@contextmanager
def reporting() -> Iterator[None]:
    """Show what this package refuses to do; let everything else through."""
    try:
        yield
    except AnySAMError as error:
        report(error)
