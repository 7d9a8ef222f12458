"""The unfinished file of a download, and from where it comes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PartialFile"]


class PartialFile:
    """``FILE.part`` beside its target, and ``FILE.part.json`` with the address and its version.

    Parameters
    ----------
    target : Path
        What the file will be called when it is complete.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self.path = target.with_name(f"{target.name}.part")
        self._origin = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def origin(self) -> tuple[str, str]:
        """Address and entity tag; two empty strings if they are not known."""
        try:
            content = json.loads(self._origin.read_text(encoding="utf-8"))
            return str(content["url"]), str(content["etag"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # killed while it was written
            return "", ""

    def begin(self, url: str, etag: str) -> None:
        """Start from nothing, from that address."""
        self.clear()
        self.path.touch()
        self._origin.write_text(json.dumps({"url": url, "etag": etag}), encoding="utf-8")

    def clear(self) -> None:
        """Delete what has arrived."""
        self._origin.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def move_to_target(self) -> None:
        """Let the complete file take its place, at once."""
        self.path.replace(self._target)
        self._origin.unlink(missing_ok=True)
