"""How many cores a container or a batch queue grants a process.

Neither changes the affinity of a process, so that the operating system's count says too much.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["granted_cores"]

_QUEUES = (
    "SLURM_CPUS_PER_TASK",  # slurm.schedmd.com/sbatch.html
    "NSLOTS",  # Grid Engine, qsub(1)
    "NCPUS",  # PBS Professional, its user's guide
    "LSB_DJOB_NUMPROC",  # LSF, its configuration reference
)

_GROUPS = Path("sys/fs/cgroup")


def granted_cores(root: Path = Path("/")) -> int | None:
    """Return the smallest grant, rounded up and at least 1; None where there is none.

    Parameters
    ----------
    root : Path
        Of the file system that describes the machine.
    """
    grants = [*_queue_grants(), *_group_quotas(root)]
    return min(grants, default=None)


def _queue_grants() -> list[int]:
    words = [os.environ.get(name, "") for name in _QUEUES]
    return [max(1, int(word)) for word in words if word.isdecimal()]


def _group_quotas(root: Path) -> list[int]:
    """Return the limits of this process's control groups and of those around them."""
    quotas = [
        *(_read(group / "cpu.max") for group in _groups(root, "", "")),
        *(
            _read(group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us")
            for group in _groups(root, "cpu", "cpu")
        ),
    ]
    return [quota for quota in quotas if quota is not None]


def _groups(root: Path, controller: str, mount: str) -> list[Path]:
    """Return a process's group in a hierarchy and those around it.

    Parameters
    ----------
    root : Path
    controller : str
        "" names the one hierarchy of version 2; version 1 has one for each controller.
    mount : str
        Folder of the hierarchy.
    """
    top = root / _GROUPS / mount
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return []
    # A line is "number:controllers:/path"; see cgroups(7).
    found = [line.split(":", 2) for line in lines]
    paths = [path for _, names, path in found if controller in names.split(",")]
    inside = [top.joinpath(*Path(path).parts[1:]) for path in paths]
    # A container may see the outer path, but its own group at the top.
    around = {one for group in inside for one in (group, *group.parents) if top in one.parents}
    return [top, *around]


def _read(quota: Path, period: Path | None = None) -> int | None:
    """Return the cores of a quota; None if there is no limit, or no such group."""
    try:
        words = quota.read_text(encoding="utf-8").split()
        if period is not None:
            words += period.read_text(encoding="utf-8").split()
        granted, every = (int(word) for word in words)
    except (OSError, ValueError):  # no such hierarchy, or "max"
        return None
    return max(1, -(-granted // every)) if granted > 0 else None
