"""What following an object costs on this computer, measured while the first planes are followed."""

from __future__ import annotations

import time
import warnings
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING

from filelock import Timeout

from napari_anysam.errors import AnySAMError, AnySAMWarning
from napari_anysam.models.measurements import default_measurements
from napari_anysam.networks.measuring import known_cost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_anysam.networks.protocol import PromptableModel

__all__ = ["TrackingMeter"]

SKIPPED = 8
"""Planes until an object's memories are full; before, following costs less."""

MEASURED = 8
"""Planes that are measured then."""


class TrackingMeter:
    """Measures planes of one run and remembers what an object costs on one.

    Encoding is taken off at its measured time, once for each region that was encoded.

    Parameters
    ----------
    model : PromptableModel
        Whose cost it is.
    """

    def __init__(self, model: PromptableModel) -> None:
        self._model = model
        self._visits = 0
        self._seconds: list[tuple[float, int, int]] = []

    @contextmanager
    def visit(self, objects: int, regions: int) -> Iterator[None]:
        """Measure what happens inside: one plane, for so many objects in so many regions."""
        start = time.perf_counter()
        yield
        if not objects or self._visits >= SKIPPED + MEASURED:
            return
        self._visits += 1
        if self._visits > SKIPPED:
            self._seconds.append((time.perf_counter() - start, objects, regions))
        if self._visits == SKIPPED + MEASURED:
            self._record()

    def _record(self) -> None:
        import torch

        model = self._model
        try:
            known = known_cost(model)
            if known is None or known.threads != torch.get_num_threads():
                return
            each = [
                (seconds - regions * known.encode_seconds) / objects
                for seconds, objects, regions in self._seconds
            ]
            date = datetime.now(UTC).isoformat(timespec="seconds")
            measured = max(median(each), 0.0)
            default_measurements().record(
                replace(known, encodes=0, date=date, track_seconds=measured)
            )
        except Timeout:  # another process writes; the next run is measured instead
            return
        except (OSError, AnySAMError) as error:
            warnings.warn(
                f"What following costs cannot be remembered ({error}); set ANYSAM_CACHE to a "
                "folder that can be written.",
                AnySAMWarning,
                stacklevel=2,
            )
