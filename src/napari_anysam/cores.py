"""How many processor cores there are for this process."""

from __future__ import annotations

import os

__all__ = ["usable_cores"]


def usable_cores() -> int:
    """Return how many cores this process may use: containers and batch queues give fewer."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _quota_cores())
    return os.cpu_count() or 1


def _quota_cores() -> int:
    """Return the limit of the control group, rounded up; it does not change the affinity."""
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="utf-8") as file:
            quota, period = file.read().split()
        return max(1, -(-int(quota) // int(period)))
    except (OSError, ValueError):  # no control groups of version 2, or "max": no limit
        return os.cpu_count() or 1
