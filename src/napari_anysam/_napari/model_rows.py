"""What the model manager's table shows: plain rows, resolved without any widget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_anysam.models.catalogue import ModelSpec, catalogue
from napari_anysam.models.download import downloaded_bytes

if TYPE_CHECKING:
    from napari_anysam.models.download import Progress
    from napari_anysam.models.store import ModelStore

__all__ = ["COLUMNS", "ModelRow", "progress_words", "readable_size", "resolve_rows"]

# The first two fit into a narrow dock.
COLUMNS = ("Model", "Status", "Size", "Tracks", "Licence")


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model as the table shows it.

    Parameters
    ----------
    target : str or Path
        What ``load_model`` takes: a catalogue name, or the path of an added file.
    title, status, size, tracks, licence : str
        The cells.
    available : bool
        Whether its weights are on this computer.
    details : str
        A paragraph for whoever selects the row; where its weights can be got, if they are missing.
    spec : ModelSpec or None
        Its entry in the catalogue; None for an added file.
    unfinished : bool
        Whether a download of it has begun and not ended.
    deletable : bool
        Whether its file lies in the user's own folder of models.
    """

    target: str | Path
    title: str
    status: str
    size: str
    tracks: str
    licence: str
    available: bool
    details: str
    spec: ModelSpec | None = None
    unfinished: bool = False
    deletable: bool = False

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells in the order of ``COLUMNS``."""
        return (self.title, self.status, self.size, self.tracks, self.licence)

    @property
    def searched(self) -> str:
        """All that a filter looks at, in lower case."""
        words = [*self.cells]
        if self.spec is not None:
            prompts = (f"{prompt}s" for prompt in self.spec.prompts)
            words += [*self.spec.all_names, self.spec.description, *self.spec.kinds, *prompts]
            words += ["video"] if self.spec.tracking else []
        return " ".join(words).casefold()

    @property
    def added(self) -> bool:
        """Whether the user added it from a file of their own."""
        return isinstance(self.target, Path)


def resolve_rows(store: ModelStore) -> tuple[ModelRow, ...]:
    """Return the catalogue's models, then the files that the user added."""
    known = tuple(_catalogue_row(spec, store) for spec in catalogue())
    return known + tuple(_file_row(path) for path in store.added())


def readable_size(count: int | None) -> str:
    """Write a number of bytes as people do: 7.8 MB, 156 MB, 2.6 GB."""
    if count is None:
        return ""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            value = count / scale
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{count} B"


def _catalogue_row(spec: ModelSpec, store: ModelStore) -> ModelRow:
    path = store.find(spec)
    arrived = 0 if path is not None or spec.builtin else downloaded_bytes(spec, store)
    if path is None:
        status = "missing" if spec.builtin else "not on disk"
        if arrived:
            status = f"paused at {_share(arrived, spec.size_bytes)}"
    else:
        status = "built in" if spec.builtin else "on disk"
    return ModelRow(
        target=spec.name,
        title=spec.title,
        size=readable_size(spec.size_bytes if path is None else path.stat().st_size),
        status=status,
        tracks="yes" if spec.tracking else "no",
        licence=spec.licence,
        available=path is not None,
        details=_details(spec) if path is not None else f"{_details(spec)} {store.remedy(spec)}",
        spec=spec,
        unfinished=arrived > 0,
        deletable=store.can_delete(spec),
    )


def progress_words(progress: Progress | None) -> str:
    """Write how far a download is, how fast, and how long it will take."""
    if progress is None:
        return "waiting ..."
    words = [_share(progress.done, progress.total)]
    if progress.speed > 0:
        words.append(f"{readable_size(int(progress.speed))}/s")
    if progress.seconds_left is not None:
        words.append(f"{_duration(progress.seconds_left)} left")
    return ", ".join(words)


def _share(done: int, total: int | None) -> str:
    return readable_size(done) if not total else f"{100 * done // total} %"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _details(spec: ModelSpec) -> str:
    return (
        f"{spec.description} Good for: {', '.join(spec.kinds)}. "
        f"{spec.parameters_millions:g} million parameters, "
        f"sees {spec.image_size} x {spec.image_size} pixels. Licence: {spec.licence}."
    )


def _file_row(path: Path) -> ModelRow:
    there = path.is_file()
    return ModelRow(
        target=path,
        title=path.name,
        size=readable_size(path.stat().st_size) if there else "",
        status="added" if there else "file is gone",
        tracks="",
        licence="",
        available=there,
        details=f"Added from {path}." if there else f"There is no file {path} any more.",
    )
