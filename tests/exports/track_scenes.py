"""A series in which everything happens that tracks can do."""

from __future__ import annotations

import numpy as np

PARENTS = {5: 2, 6: 2, 7: 3, 80: 79}  # 79 and 80 have no pixel


def series():
    """Return (6, 12, 20): 1 stays, 2 divides, 3 buds and goes on, 4 is away for a while."""
    labels = np.zeros((6, 12, 20), np.uint32)
    for time in range(6):
        labels[time, 0:2, time : time + 2] = 1
        if time < 3:
            labels[time, 4:6, 4:8] = 2
        else:
            labels[time, 4:6, 3:5] = 5
            labels[time, 4:6, 8:10] = 6
        labels[time, 8:10, 0:3] = 3
        if time >= 4:
            labels[time, 8:10, 5:7] = 7
        if time not in (2, 3):
            labels[time, 10:12, 15:19] = 4
    return labels


def volumes():
    """Return (6, 3, 12, 20): the same in depth, one plane deeper at the end."""
    flat = series()
    deep = np.stack([flat, flat, np.zeros_like(flat)], axis=1)
    deep[3:, 2] = flat[3:]
    return deep
