"""What another input size does to masks and to time.

    python benchmarks/image_size.py masks      # shipped model, half an hour on one core
    python benchmarks/image_size.py masks --set psc --most 2
    python benchmarks/image_size.py seconds    # SAM 2.1 tiny's shapes, about five minutes

``masks`` follows objects as ``fast_memory.py`` does, with the shipped model at 256 pixels, which it
was trained with, at half and at twice that. ``seconds`` measures CPU seconds in one thread with
seeded random weights: one encode, and reading, decoding and storing a plane's memories with all
seven of them and sixteen pointers; calls alternate between the sizes.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from fast_memory import Followed
from propagation_scene import TINY, WEIGHTS
from quality_sets import SETS, data_folder, evenly_spaced, targets_of

from napari_anysam import Prompt, load_model
from napari_anysam.networks.sam2 import build_sam2
from napari_anysam.networks.sam2_build import resized_configuration
from napari_anysam.networks.tracking_protocol import Recall

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quality_sets import DataSet

    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.networks.sam2 import Sam2Model

NANO_SIZES = (256, 128, 512)
TINY_SIZES = (1024, 512)
OBJECTS = (1, 8)
MEMORIES, POINTERS = 7, 16


def masks(arguments: argparse.Namespace) -> None:
    models = [load_model("anysam-nano", "cpu", "fp32", None, size) for size in NANO_SIZES]
    print(f"| set | {' | '.join(f'{size} pixels' for size in NANO_SIZES)} |")
    print("|---" * (len(models) + 1) + "|")
    for row in SETS:
        if arguments.set in row.name and (data_folder() / row.folder).exists():
            means = with_truth(models, row, arguments.most)
            if means is not None:
                print(f"| {row.name} | {' | '.join(f'{mean:.3f}' for mean in means)} |", flush=True)


def with_truth(models: Sequence[PromptableModel], row: DataSet, most: int) -> list[float] | None:
    """Return each model's mean IoU with the truth over a set; None if it has no stacks."""
    figures = []
    for sample in row.load(data_folder() / row.folder):
        if not sample.is_stack:
            return None
        targets = evenly_spaced(targets_of(sample, row.over), most)
        followed = [Followed(model, sample, targets) for model in models]
        figures.append([np.mean(list(one.with_truth(one.answers("full")))) for one in followed])
    return list(np.mean(figures, axis=0))


def seconds(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    weights = WEIGHTS[TINY]()
    models = [
        build_sam2(
            weights.tensors,
            resized_configuration(weights.configuration, size),
            name=TINY,
            key=TINY,
            precision=arguments.precision,
        )
        for size in TINY_SIZES
    ]
    image = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    encode = alternating([lambda model=model: model.encode(image) for model in models], 3)
    print(f"| {arguments.precision} | {' | '.join(map(str, TINY_SIZES))} pixels | ratio |")
    print("|---" * (len(models) + 2) + "|")
    show("encoding a plane", encode)
    for count in OBJECTS:
        steps = [following(model, image, count) for model in models]
        follow = alternating(steps, 3 if count == 1 else 1)
        show(f"following, {count} objects", follow)
        whole = [sum(both) for both in zip(encode, follow, strict=True)]
        show(f"a plane of {count} objects in one region", whole)


def following(model: Sam2Model, image: np.ndarray, count: int) -> Callable[[], object]:
    """Return one plane's work on objects whose memories are full."""
    embedding = model.encode(image)
    prompts = [Prompt(points=[(300 + 40 * one, 400)]) for one in range(count)]
    answers = model.anchor(embedding, prompts)
    memories = model.remember(embedding, answers, anchored=True)
    recalls = [
        Recall(
            (memory,) * MEMORIES,
            tuple(range(MEMORIES)),
            (pointer,) * POINTERS,
            tuple(range(1, POINTERS + 1)),
        )
        for memory, pointer in zip(memories, answers.pointers, strict=True)
    ]

    def step() -> None:
        found = model.follow(embedding, recalls, plane_count=100)
        model.remember(embedding, found, anchored=False)

    return step


def alternating(steps: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Return the least CPU seconds of each; what else the computer does only adds."""
    least = [float("inf")] * len(steps)
    for _ in range(rounds):
        for place, step in enumerate(steps):
            before = time.process_time()
            step()
            least[place] = min(least[place], time.process_time() - before)
    return least


def show(what: str, figures: Sequence[float]) -> None:
    cells = " | ".join(f"{figure:.2f}" for figure in figures)
    print(f"| {what} | {cells} | {figures[-1] / figures[0]:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(required=True)
    kind = kinds.add_parser("masks")
    kind.add_argument("--set", default="", help="only sets whose name holds this")
    kind.add_argument("--most", type=int, default=4, help="objects of a stack")
    kind.set_defaults(run=masks)
    kind = kinds.add_parser("seconds")
    kind.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    kind.set_defaults(run=seconds)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
