"""What models cost on this computer, remembered from their first encodes.

A cache, nothing more: it may be deleted at any time, and a damaged file starts again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from filelock import FileLock
from pydantic import TypeAdapter

from napari_anysam.models.replacing import replacing
from napari_anysam.settings import read_settings

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Measurement", "Measurements", "default_measurements"]

_FILE = "measurements.json"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What encoding one image cost.

    Parameters
    ----------
    model : str
        ``PromptableModel.name``.
    device : str
        Kind of device: "cpu", "cuda", "mps".
    precision : str
        "fp32", "bf16" or "fp16".
    encode_seconds : float
        Shortest time of one encode.
    memory_bytes : int
        Most memory that one took, the weights included; ``networks/measuring.py`` says how that is
        found on each device.
    threads : int
        Threads that torch computed with on the CPU.
    date : str
        When, ISO 8601 in UTC.
    encodes : int
        How many encodes these are the best figures of.
    track_seconds : float or None
        Shortest time of following one object to one plane, encoding not counted; None as long as
        nothing was followed.
    image_size : int or None
        Side of the network's input in pixels; None where that was not noted.
    """

    model: str
    device: str
    precision: str
    encode_seconds: float
    memory_bytes: int
    threads: int
    date: str
    encodes: int = 1
    track_seconds: float | None = None
    image_size: int | None = None

    @property
    def figures(self) -> str:
        """The figures for a person: "1.4 s an image, 890 MB"."""
        seconds = self.encode_seconds
        time = f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
        return f"{time} an image, {self.memory_bytes / 1e6:.0f} MB"

    @property
    def words(self) -> str:
        """The figures and where they were measured, for a person."""
        seen = "" if self.image_size is None else f" with {self.image_size} pixels"
        return f"{self.figures} on {self.device} in {self.precision}{seen}"

    def joined(self, later: Measurement) -> Measurement:
        """Return the best time and the highest memory of this and a later one of the same kind."""
        return replace(
            later,
            encode_seconds=min(self.encode_seconds, later.encode_seconds),
            memory_bytes=max(self.memory_bytes, later.memory_bytes),
            encodes=self.encodes + later.encodes,
            track_seconds=min(
                (one for one in (self.track_seconds, later.track_seconds) if one is not None),
                default=None,
            ),
        )

    @property
    def _case(self) -> tuple[str, str, str, int, int | None]:
        return self.model, self.device, self.precision, self.threads, self.image_size


_ENTRIES: TypeAdapter[tuple[Measurement, ...]] = TypeAdapter(tuple[Measurement, ...])


@dataclass(frozen=True, slots=True)
class Measurements:
    """Measurements in one JSON file, which several processes may share.

    Parameters
    ----------
    path : Path
        The file. It need not exist.
    """

    path: Path

    def find(
        self,
        model: str,
        device: str | None = None,
        precision: str | None = None,
        image_size: int | None = None,
    ) -> Measurement | None:
        """Return a model's latest measurement, of that device, precision and input if named."""
        found = [
            one
            for one in self.all()
            if one.model == model
            and device in (None, one.device)
            and precision in (None, one.precision)
            and image_size in (None, one.image_size)
        ]
        return max(found, key=lambda one: one.date, default=None)

    def find_nearest(
        self, model: str, device: str, precision: str | None, image_size: int
    ) -> Measurement | None:
        """Return a model's latest measurement with that input, else with another one."""
        alike = self.find(model, device, precision, image_size)
        return self.find(model, device, precision) if alike is None else alike

    def all(self) -> tuple[Measurement, ...]:
        """Return every measurement, one for each model, device, precision, threads and input."""
        try:
            return _ENTRIES.validate_json(self.path.read_bytes())
        except (OSError, ValueError):  # none yet, or damaged: it is only a cache
            return ()

    def record(self, measurement: Measurement) -> None:
        """Add a measurement to what is known of its model, device, precision, threads and input.

        The best time and the highest memory are kept.

        Raises
        ------
        filelock.Timeout
            If another process is writing; nobody waits for it.
        OSError
            If the folder cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock", timeout=0):
            kept = {one._case: one for one in self.all()}
            before = kept.pop(measurement._case, None)
            joined = measurement if before is None else before.joined(measurement)
            with replacing(self.path) as temporary:
                temporary.write_bytes(_ENTRIES.dump_json((*kept.values(), joined), indent=2))


def default_measurements() -> Measurements:
    """Return this user's measurements, in the cache folder that the settings name."""
    return Measurements(read_settings().cache / _FILE)
