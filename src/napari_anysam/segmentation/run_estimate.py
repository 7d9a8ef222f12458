"""What a run will take, in time, memory and room on disk, before it begins.

The model is simple, and errs to the high side: a plane costs one encode for each region and one
following for each object, both as they were measured on this computer. As long as nothing was
followed with a network, following one object counts as one encode, as it about is with SAM 2.1 tiny
(303 of 146 GMAC for its memory attention at 1024 pixels, 24 of 31 at 512). What was measured with
another input is scaled: encoding with the pixels, following with the cube of the side, a little
less than SAM 2.1 tiny gains with a smaller one (``docs/benchmarks.md``).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_anysam.models.image_size import SMALLER_IMAGE_SIZE
from napari_anysam.segmentation.run_output import COMPRESSED, OutputRoom
from napari_anysam.segmentation.run_remedies import FOR_MEMORY, IN_COMMAND, Remedy, remedies_for
from napari_anysam.segmentation.tracking_regions import MOST_PIXELS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_anysam.models.measurements import Measurement
    from napari_anysam.segmentation.run_size import RunSize

__all__ = ["Remedy", "RunEstimate", "estimate_run", "free_room"]

MEMORY_BYTES = 700_000
"""What a network with an input of 1024 pixels keeps of one object on one plane: 64 x 64 x 64
numbers of the memory and 256 x 256 logits, in two bytes each; less in proportion to the input."""

RECENT = 6
"""Planes besides the prompted ones that are kept of an object."""

PROCESS_BYTES = 600_000_000
"""What Python, torch and the readers of images take themselves."""

HELD_BYTES = 2**27 + 2**28
"""Planes held as they were read, and embeddings for a second pass, at most."""

SPARE = 0.9
"""Part of what is free that a run may take."""

UPSCALED_BYTES = 2**26
"""Logits that are brought to pixels at once, at least."""

EMBEDDING_BYTES = 18_000_000
"""An embedding of a network with an input of 1024 pixels, in fp32; less in proportion to it."""


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """What a run will take, and what there is.

    Parameters
    ----------
    seconds : float or None
        None where this computer has not encoded anything with this network.
    memory_bytes : int
        Most memory of the process, the network included.
    disk_bytes : int
        Labels and state, while the run grows them, and the output.
    free_memory_bytes, free_disk_bytes : int
    guessed : bool
        Whether nothing was followed here with this network and input, so that the time is rough.
    smaller_seconds : float or None
        With an input of ``SMALLER_IMAGE_SIZE``; None where the network takes none or it is not
        known.
    remedies : tuple of Remedy
        What would help, the most helpful first; empty where the run fits and ends within an hour.
    stops_at_ends : bool
        Whether objects that end are followed no more, so that the time is the longest possible.
    least_disk_bytes : int
        What the run takes of the disk however well its labels compress.
    """

    seconds: float | None
    memory_bytes: int
    disk_bytes: int
    free_memory_bytes: int
    free_disk_bytes: int
    guessed: bool
    smaller_seconds: float | None
    remedies: tuple[Remedy, ...]
    stops_at_ends: bool = False
    least_disk_bytes: int = 0

    @property
    def crowded(self) -> bool:
        """Whether memory is not enough."""
        return self.memory_bytes > SPARE * self.free_memory_bytes

    @property
    def full(self) -> bool:
        """Whether the disk is not large enough."""
        return self.disk_bytes > SPARE * self.free_disk_bytes

    @property
    def fits(self) -> bool:
        """Whether memory and disk are enough."""
        return not self.crowded and not self.full

    @property
    def impossible(self) -> bool:
        """Whether the disk is too small whatever the labels are."""
        return self.least_disk_bytes > self.free_disk_bytes

    @property
    def refusal(self) -> str:
        """What to tell where it is impossible."""
        return (
            f"The run takes at least {_size(self.least_disk_bytes)} of the disk, and "
            f"{_size(self.free_disk_bytes)} are free; {IN_COMMAND['disk']}."
        )

    @property
    def warning(self) -> str:
        """What to tell somebody who begins a run that may not fit; empty where it fits."""
        said = []
        if self.crowded:
            helps = next(one for one in self.remedies if one in FOR_MEMORY)
            said.append(
                f"up to {_size(self.memory_bytes)} of memory, and "
                f"{_size(self.free_memory_bytes)} are free; {IN_COMMAND[helps]}."
            )
        if self.full:
            said.append(
                f"about {_size(self.disk_bytes)} of the disk, and "
                f"{_size(self.free_disk_bytes)} are free; {IN_COMMAND['disk']}."
            )
        return f"the run may take {' Also '.join(said)}" if said else ""

    @property
    def proposals(self) -> tuple[str, ...]:
        """The remedies for someone at the command line, each a sentence."""
        return self.told(IN_COMMAND)

    def told(self, words: Mapping[Remedy, str]) -> tuple[str, ...]:
        """Return the remedies as sentences of these words, with the time where it is known."""
        told = dict(words)
        if self.smaller_seconds is not None:
            told["size"] += f": about {_duration(self.smaller_seconds)}"
        return tuple(f"{told[remedy]}." for remedy in self.remedies)

    @property
    def lines(self) -> tuple[str, ...]:
        """What to tell a person, line by line."""
        time = "unknown: nothing was encoded with this model on this computer yet"
        if self.seconds is not None:
            time = f"about {_duration(self.seconds)}"
            if self.stops_at_ends:
                time += " at most, less where objects end before"
            if self.guessed:
                time += " (rough: nothing was followed like this on this computer yet)"
        return (
            f"time: {time}",
            f"memory: up to {_size(self.memory_bytes)}; {_size(self.free_memory_bytes)} free",
            f"disk: about {_size(self.disk_bytes)}; {_size(self.free_disk_bytes)} free",
            *(f"proposal: {proposal}" for proposal in self.proposals),
        )


def estimate_run(
    size: RunSize,
    measurement: Measurement | None,
    *,
    image_size: int,
    label_bytes: int,
    free_memory_bytes: int,
    free_disk_bytes: int,
    process_bytes: int = PROCESS_BYTES,
    cache_bytes: int = 0,
    stops_at_ends: bool = False,
    output: OutputRoom | None = None,
    smaller: RunSize | None = None,
) -> RunEstimate:
    """Estimate a run.

    Parameters
    ----------
    size : RunSize
    measurement : Measurement or None
        What the network costs on this computer, best with this input.
    image_size : int
        Side of the network's square input.
    label_bytes : int
        Bytes of a label's pixel.
    free_memory_bytes, free_disk_bytes : int
        See ``free_room``.
    process_bytes : int
        What the program takes before the run; 0 where that is in memory already.
    cache_bytes : int
        Budget of the cache that the run fills, if it has one.
    stops_at_ends : bool
        Whether the run follows objects up to their ends only. Where these are only the run finds
        out, so everything is counted as if there were none.
    output : OutputRoom, optional
        What writing the finished labels takes; nothing where they are written as they come.
    smaller : RunSize or None
        The same run with an input of ``SMALLER_IMAGE_SIZE``, where the network takes such.
    """
    output = output or OutputRoom()
    seconds = smaller_seconds = None
    guessed, network = False, 0.0
    if measurement is not None:
        growth = _growth(measurement, image_size)
        guessed = measurement.track_seconds is None or growth != 1
        seconds = _seconds(size, measurement, image_size)
        network = measurement.memory_bytes * max(1.0, growth**2)
        if smaller is not None:
            smaller_seconds = _seconds(smaller, measurement, SMALLER_IMAGE_SIZE)
    one_memory = MEMORY_BYTES * (image_size / 1024) ** 2
    memories = (size.objects * RECENT + 2 * size.anchors) * one_memory
    # Labels, where they are drawn as planes; logits of a region; those in the objects' boxes on
    # this plane and the one before.
    labels_drawn = 8 * size.plane_pixels if size.plane_pixels <= MOST_PIXELS else 0
    drawing = labels_drawn + max(UPSCALED_BYTES, 8 * size.region_pixels) + 8 * size.object_pixels
    embeddings = size.encodes * EMBEDDING_BYTES * (image_size / 1024) ** 2
    held = HELD_BYTES + min(cache_bytes, embeddings)
    # The output is written when nothing waits or is drawn any more.
    last = max(drawing + size.waiting_bytes, output.memory_bytes)
    memory = int(process_bytes + held + network + memories + last)
    state = int(memories) + size.waiting_bytes  # a new one grows beside the old one
    labels = int(size.planes * size.plane_pixels * label_bytes * COMPRESSED)
    estimate = RunEstimate(
        seconds=seconds,
        memory_bytes=memory,
        disk_bytes=labels + 2 * state + output.disk_bytes,
        free_memory_bytes=free_memory_bytes,
        free_disk_bytes=free_disk_bytes,
        guessed=guessed,
        smaller_seconds=smaller_seconds,
        remedies=(),
        stops_at_ends=stops_at_ends,
        least_disk_bytes=output.least_disk_bytes,
    )
    whole = output.memory_bytes > drawing + size.waiting_bytes
    remedies = remedies_for(estimate, size, image_size, whole=whole, can_shrink=smaller is not None)
    return replace(estimate, remedies=tuple(remedies))


def free_room(folder: Path) -> tuple[int, int]:
    """Return free bytes of the machine's memory, and of the disk that holds a folder."""
    import psutil

    return int(psutil.virtual_memory().available), shutil.disk_usage(folder).free


def _growth(measurement: Measurement, image_size: int) -> float:
    """Return the side of an input over that of the one which was measured."""
    return 1.0 if measurement.image_size is None else image_size / measurement.image_size


def _seconds(size: RunSize, measurement: Measurement, image_size: int) -> float:
    growth = _growth(measurement, image_size)
    encode = measurement.encode_seconds * growth**2
    follow = measurement.track_seconds
    return size.encodes * encode + size.visits * (encode if follow is None else follow * growth**3)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _size(nbytes: int) -> str:
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:.0f} MB"
