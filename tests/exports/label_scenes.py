"""Label images with everything that a format could lose."""

from __future__ import annotations

import dask.array as da
import numpy as np
import zarr


def plane():
    """Return (40, 50) labels: a ring, two parts, one pixel, touching the border, a large id."""
    labels = np.zeros((40, 50), np.uint32)
    rows, columns = np.ogrid[:40, :50]
    distance = np.hypot(rows - 15, columns - 15)
    labels[(distance < 11) & (distance > 5)] = 3
    labels[14:17, 14:17] = 3  # a part inside the hole
    labels[2:8, 40:50] = 7
    labels[30:40, 42:47] = 7
    labels[20, 30] = 9
    labels[25:30, 25:30] = 70000
    labels[26:29, 26:29] = 9
    labels[27, 27] = 0
    labels[30, 30] = 70000  # touches at a corner
    return labels


def stack():
    """Return (5, 40, 50) labels with an empty plane and an object that ends."""
    labels = np.stack([plane(), np.roll(plane(), 2, 0), plane() * 0, plane(), plane()])
    labels[1][labels[1] == 7] = 0
    return labels


def as_dask(labels):
    return da.from_array(labels, chunks=(2, *labels.shape[1:]) if labels.ndim == 3 else 16)


def as_zarr(labels):
    return zarr.array(labels, chunks=(1, *labels.shape[1:]) if labels.ndim == 3 else (16, 16))


KINDS = {"numpy": np.asarray, "dask": as_dask, "zarr": as_zarr}


def iou(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
