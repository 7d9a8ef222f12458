"""A process that works on a folder of embeddings as fast as it can; tests start it, and kill it.

Run with folder, budget in bytes and seconds. Every embedding's values follow from its name, so any
other process can tell a right one from a wrong one.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import torch

from napari_anysam.networks.protocol import Embedding
from napari_anysam.segmentation.embedding_store import EmbeddingStore

NAMES = 40
VALUES = 50_000


class Model:
    """As much of a model as a file of embeddings asks for."""

    name = key = "writer"
    precision = "fp16"
    device = torch.device("cpu")


def embedding_of(number):
    values = torch.arange(VALUES).mul(number + 1).remainder(251).half()
    return Embedding({"features": values}, (number + 1, 8), Model.key)


def is_right(number, found):
    expected = embedding_of(number)
    same = torch.equal(found.tensors["features"], expected.tensors["features"])
    return same and found.image_shape == expected.image_shape


def main(folder, budget, seconds):
    store = EmbeddingStore(Path(folder), int(budget))
    chance = random.Random()
    hits = writes = 0
    end = time.monotonic() + float(seconds)
    sys.stdout.write("started\n")
    sys.stdout.flush()
    while time.monotonic() < end:
        number = chance.randrange(NAMES)
        found = store.get(str(number), Model)
        if found is None:
            store.put(str(number), embedding_of(number))
            writes += 1
        else:
            assert is_right(number, found), number
            hits += 1
    sys.stdout.write(f"{hits} {writes}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
