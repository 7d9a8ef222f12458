"""Make scenes ahead of the training, on disk in shards that are written whole or not at all."""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scenes import make_scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARD = 250
SEQUENCE_SEEDS = 10_000_000  # stacks begin here, so that they share no seed with the images


@dataclass(frozen=True, slots=True)
class Pool:
    """Scenes as memory-mapped shards.

    Attributes
    ----------
    images
        Shards of shape (scenes, planes, rows, columns, 3).
    labels
        Shards of shape (scenes, planes, rows, columns).
    """

    images: list[NDArray[np.uint8]]
    labels: list[NDArray[np.uint8]]

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Pick one scene at random: images (planes, rows, columns, 3) and labels."""
        shard = rng.integers(len(self.images))
        scene = rng.integers(len(self.images[shard]))
        return self.images[shard][scene], self.labels[shard][scene]


def shard_path(folder: Path, planes: int, number: int) -> Path:
    """Name the file of one shard of images; its labels lie beside it."""
    return folder / f"planes{planes}-{number:03d}-images.npy"


def write_shard(folder: Path, planes: int, number: int, scenes: int, seed: int, size: int) -> None:
    """Make and store one shard, unless it is there already."""
    path = shard_path(folder, planes, number)
    if path.exists():
        return
    first = seed + number * SHARD + (SEQUENCE_SEEDS if planes > 1 else 0)
    made = [make_scene(first + index, planes, size) for index in range(scenes)]
    _save(_labels_path(path), np.stack([scene.labels for scene in made]))
    _save(path, np.stack([scene.images for scene in made]))


def _labels_path(path: Path) -> Path:
    return path.with_name(path.name.replace("-images", "-labels"))


def _save(path: Path, array: NDArray[np.uint8]) -> None:
    part = path.with_suffix(f".part{os.getpid()}")
    with part.open("wb") as file:
        np.save(file, array)
    part.replace(path)


def open_pool(folder: Path, planes: int) -> Pool:
    """Open all finished shards of scenes with that many planes."""
    paths = sorted(folder.glob(f"planes{planes}-*-images.npy"))
    return Pool(
        [np.load(path, mmap_mode="r") for path in paths],
        [np.load(_labels_path(path), mmap_mode="r") for path in paths],
    )


def fill_pool(
    folder: Path, planes: int, shards: int, *, scenes: int = SHARD, seed: int = 0, size: int = 256,
    processes: int = 2,
) -> None:  # fmt: skip
    """Make the missing shards, several at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes) as executor:
        jobs = [
            executor.submit(write_shard, folder, planes, number, scenes, seed, size)
            for number in range(shards)
        ]
        for job in jobs:
            job.result()


def main() -> None:
    """Fill a pool from the command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=16, help="shards of single images")
    parser.add_argument("--stacks", type=int, default=4, help="shards of stacks")
    parser.add_argument("--planes", type=int, default=8, help="planes of a stack")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    common = {"seed": options.seed, "processes": options.processes}
    fill_pool(options.folder, 1, options.images, **common)
    fill_pool(options.folder, options.planes, options.stacks, **common)


if __name__ == "__main__":
    main()
