"""Write the weights of a run into the package, unless the file there is better.

They are the mean of the running averages at the ends of the last two stages, which answered better
than either.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from measure import click_and_box, coins, load_network
from network import NAME, VERSION, WEIGHTS
from safetensors.torch import save_file
from scenes import make_scene
from stages import STAGES
from train import average_path

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from torch import Tensor

LICENCE = "BSD-3-Clause"
HELD_OUT_SEED = 90_000_000  # no scene of the pool has a seed so high


def write_weights(weights: dict[str, Tensor], path: Path) -> None:
    """Write SAM2Base weights as float16 safetensors, beside the target first."""
    half = {name: value.detach().half().contiguous() for name, value in weights.items()}
    metadata = {"name": NAME, "version": VERSION, "licence": LICENCE, "format": "pt"}
    part = path.with_suffix(f".part{os.getpid()}")
    save_file(half, part, metadata=metadata)
    part.chmod(0o644)
    part.replace(path)


def final_weights(run: Path) -> dict[str, Tensor]:
    """Return the mean of the averages of the last two stages."""
    paths = [average_path(run, stage) for stage in STAGES[-2:]]
    before, after = (torch.load(path, map_location="cpu", weights_only=True) for path in paths)
    return {
        name: (before[name] + value) / 2 if value.is_floating_point() else value
        for name, value in after.items()
    }


def score(network: SAM2Base, scenes: int = 60) -> float:
    """Mean IoU of clicks and boxes: half held-out procedural scenes, half scikit-image's coins."""
    made: list[float] = []
    for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + scenes):
        scene = make_scene(seed)
        labels = scene.labels[0]
        areas = np.bincount(labels.ravel(), minlength=256)
        clear = np.where(areas[labels] >= 150, labels, 0)
        values = click_and_box(network, scene.images[0], clear, most=2)
        made += values["click"] + values["box"]
    values = click_and_box(network, *coins())
    return float((np.mean(made) + np.mean(values["click"] + values["box"])) / 2)


def main() -> None:
    """Export, measure, and replace the packaged file if the new one is better."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--target", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    weights = final_weights(options.run)
    fresh = options.run / WEIGHTS.name
    write_weights(weights, fresh)
    new = score(load_network(fresh))
    old = score(load_network(options.target)) if options.target.exists() else 0.0
    print(f"new {new:.3f}, packaged {old:.3f}")
    if new > old:
        write_weights(weights, options.target)


if __name__ == "__main__":
    main()
