"""What the model manager's table shows: plain rows, resolved without any widget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_anysam.models.catalogue import ModelSpec, catalogue
from napari_anysam.models.download import downloaded_bytes
from napari_anysam.models.store import hash_trust

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam.models.download import Progress
    from napari_anysam.models.measurements import Measurement, Measurements
    from napari_anysam.models.store import ModelStore

__all__ = [
    "COLUMNS",
    "NAME_COLUMN",
    "STATUS_COLUMN",
    "Column",
    "ModelRow",
    "progress_words",
    "readable_seconds",
    "readable_size",
    "resolve_rows",
]


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model as the table shows it.

    Parameters
    ----------
    place : int
        Where it stands if nothing is sorted: the catalogue first, then added files.
    target : str or Path
        What ``load_model`` takes: a catalogue name, or the path of an added file.
    title, status : str
        For the user.
    details : str
        A paragraph for whoever selects the row; where its weights can be got, if they are missing.
    available : bool
        Whether its weights are on this computer.
    size_bytes : int or None
        Length of its file.
    spec : ModelSpec or None
        Its entry in the catalogue; None for an added file.
    measurement : Measurement or None
        What it cost on this computer.
    unfinished : bool
        Whether a download of it has begun and not ended.
    deletable : bool
        Whether its file lies in the user's own folder of models.
    """

    place: int
    target: str | Path
    title: str
    status: str
    details: str
    available: bool
    size_bytes: int | None = None
    spec: ModelSpec | None = None
    measurement: Measurement | None = None
    unfinished: bool = False
    deletable: bool = False

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells in the order of ``COLUMNS``."""
        return tuple(column.cell(self) for column in COLUMNS)

    @property
    def searched(self) -> str:
        """All that a filter looks at, in lower case."""
        words = [*self.cells]
        if self.spec is not None:
            words += [*self.spec.all_names, self.spec.description, *self.spec.kinds]
            words += [self.spec.taken]
            words += ["video stacks"] if self.spec.tracking else []
        return " ".join(words).casefold()

    @property
    def added(self) -> bool:
        """Whether the user added it from a file of their own."""
        return isinstance(self.target, Path)

    @property
    def memory_bytes(self) -> int | None:
        """Memory it takes: measured here if it was, else as reported in fp32."""
        if self.measurement is not None:
            return self.measurement.memory_bytes
        if self.spec is None or self.spec.memory_fp32_mb is None:
            return None
        return self.spec.memory_fp32_mb * 1_000_000


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table.

    Parameters
    ----------
    title, help : str
        Its header, and a sentence about it.
    cell : callable
        Returns the text of a row's cell.
    sort_key : callable
        Returns what a row is sorted by; None where there is nothing to sort by.
    """

    title: str
    help: str
    cell: Callable[[ModelRow], str]
    sort_key: Callable[[ModelRow], Any]


def _speed(row: ModelRow) -> str:
    return "" if row.measurement is None else readable_seconds(row.measurement.encode_seconds)


def _memory(row: ModelRow) -> str:
    words = readable_size(row.memory_bytes)
    return words if row.measurement is not None or not words else f"({words})"


def _video(row: ModelRow) -> str:
    return "" if row.spec is None else "yes" if row.spec.tracking else "no"


def _task(row: ModelRow) -> str:
    return "" if row.spec is None else ", ".join(row.spec.kinds)


def _licence(row: ModelRow) -> str:
    return "" if row.spec is None else row.spec.licence


NAME_COLUMN, STATUS_COLUMN = 0, 1

COLUMNS = (
    Column(
        "Model",
        "Press its round mark to use a model.",
        lambda row: row.title,
        lambda row: row.title.casefold(),
    ),
    Column(
        "Status",
        "Whether it is on this computer.",
        lambda row: row.status,
        lambda row: (not row.available, not row.unfinished, row.status),
    ),
    Column(
        "Speed",
        "Time to encode one image, measured here after the first use.",
        _speed,
        lambda row: None if row.measurement is None else row.measurement.encode_seconds,
    ),
    Column(
        "Size",
        "Of its file.",
        lambda row: readable_size(row.size_bytes),
        lambda row: row.size_bytes,
    ),
    Column(
        "Memory",
        "Measured here after the first use; in brackets as reported for a graphics card in fp32.",
        _memory,
        lambda row: row.memory_bytes,
    ),
    Column(
        "Video",
        "Whether it follows objects through stacks and time series.",
        _video,
        lambda row: None if row.spec is None else not row.spec.tracking,
    ),
    Column("Good for", "Images that it was trained on.", _task, lambda row: _task(row) or None),
    Column("Licence", "Of the weights.", _licence, lambda row: _licence(row).casefold() or None),
)


def resolve_rows(store: ModelStore, measurements: Measurements) -> tuple[ModelRow, ...]:
    """Return the catalogue's models, then the files that the user added; reads the disk."""
    known = tuple(
        _catalogue_row(place, spec, store, measurements) for place, spec in enumerate(catalogue())
    )
    return known + tuple(
        _file_row(place, path, measurements)
        for place, path in enumerate(store.added(), start=len(known))
    )


def readable_size(count: int | None) -> str:
    """Write a number of bytes as people do: 7.8 MB, 156 MB, 2.6 GB."""
    if count is None:
        return ""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            value = count / scale
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{count} B"


def readable_seconds(seconds: float) -> str:
    """Write a time as people do: 15 ms, 2.9 s, 41 s."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


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


def _catalogue_row(
    place: int, spec: ModelSpec, store: ModelStore, measurements: Measurements
) -> ModelRow:
    path = store.find(spec)
    arrived = 0 if path is not None or spec.builtin else downloaded_bytes(spec, store)
    measurement = measurements.find(spec.name, image_size=spec.image_size)
    return ModelRow(
        place=place,
        target=spec.name,
        title=spec.title,
        status=_status(spec, path, arrived),
        details=_details(spec, store, measurement, missing=path is None),
        available=path is not None,
        size_bytes=spec.size_bytes if path is None else path.stat().st_size,
        spec=spec,
        measurement=measurement,
        unfinished=arrived > 0,
        deletable=store.can_delete(spec),
    )


def _status(spec: ModelSpec, path: Path | None, arrived: int) -> str:
    if path is not None:
        return "built in" if spec.builtin else "on disk"
    if spec.builtin:
        return "missing"
    return f"paused at {_share(arrived, spec.size_bytes)}" if arrived else "not on disk"


def _details(
    spec: ModelSpec, store: ModelStore, measurement: Measurement | None, *, missing: bool
) -> str:
    sentences = [
        spec.description,
        f"Good for: {', '.join(spec.kinds)}.",
        f"{spec.parameters_millions:g} million parameters, sees {spec.image_size} x "
        f"{spec.image_size} pixels, takes {spec.taken}.",
        f"Licence: {spec.licence}.",
        _reported(spec),
        _measured(measurement),
        "" if spec.builtin else f"Hash: {hash_trust(spec, store)}.",
        f"Cite: {spec.citation}.",
        store.remedy(spec) if missing else "",
    ]
    return "\n".join(sentence for sentence in sentences if sentence)


def _reported(spec: ModelSpec) -> str:
    figures = [
        f"{readable_size(megabytes * 1_000_000)} in {precision}"
        for megabytes, precision in ((spec.memory_fp32_mb, "fp32"), (spec.memory_bf16_mb, "bf16"))
        if megabytes is not None
    ]
    if not figures:
        return ""
    return f"Memory of a graphics card: {', '.join(figures)} ({spec.memory_source})."


def _measured(measurement: Measurement | None) -> str:
    if measurement is None:
        return ""
    return (
        f"Measured here on {measurement.device} in {measurement.precision}{_seen(measurement)}: "
        f"{readable_seconds(measurement.encode_seconds)} an image, "
        f"{readable_size(measurement.memory_bytes)} of memory."
    )


def _seen(measurement: Measurement) -> str:
    side = measurement.image_size
    return "" if side is None else f" with {side} pixels"


def _share(done: int, total: int | None) -> str:
    return readable_size(done) if not total else f"{100 * done // total} %"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _file_row(place: int, path: Path, measurements: Measurements) -> ModelRow:
    there = path.is_file()
    measurement = measurements.find(path.stem)
    return ModelRow(
        place=place,
        target=path,
        title=path.name,
        status="added" if there else "file is gone",
        details=f"Added from {path}. {_measured(measurement)}".strip()
        if there
        else f"There is no file {path} any more.",
        available=there,
        size_bytes=path.stat().st_size if there else None,
        measurement=measurement,
    )
