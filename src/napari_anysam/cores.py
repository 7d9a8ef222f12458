"""How many processor cores there are for this process."""

from __future__ import annotations

import os

from napari_anysam.cpu_quota import granted_cores

__all__ = ["usable_cores"]


def usable_cores() -> int:
    """Return how many cores this process may use: containers and batch queues give fewer."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    granted = granted_cores()
    return cores if granted is None else min(cores, granted)
