"""Whether the confidence of followed objects tells right masks from wrong ones, on real stacks.

Objects are given as a mask on one plane and followed both ways. A drawn mask is wrong if its IoU
with the truth is under 0.5. Per set: how often a right mask has a higher confidence than a wrong
one (0.5 is chance), and what part of the wrong and of the right masks is marked as doubtful.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from quality_prompts import overlap
from quality_sets import SETS, data_folder, evenly_spaced, targets_of
from scipy.stats import rankdata

from napari_anysam import Prompt, load_model, propagate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quality_sets import Sample, Target

    from napari_anysam.networks.protocol import PromptableModel

WRONG = 0.5
REACH = 8
"""Planes on each side of the prompted one."""


@dataclass
class Drawn:
    """One drawn mask."""

    right: bool
    confidence: float
    doubtful: bool


def drawn_masks(model: PromptableModel, sample: Sample, targets: list[Target]) -> Iterator[Drawn]:
    for target in targets:
        prompt = Prompt(target.object_id, target.plane, mask=target.truth)
        results = propagate(
            sample.image,
            [prompt],
            model,
            start=max(0, target.plane - REACH),
            stop=min(len(sample.labels), target.plane + REACH + 1),
            channel_axis=sample.channel_axis,
        )
        for result in results:
            found = result.assessments[0]
            if result.index != target.plane and found.area:
                truth = sample.labels[result.index] == target.object_id
                right = overlap(result.masks[0], truth) >= WRONG
                yield Drawn(right, found.confidence, found.doubtful)


def separation(drawn: list[Drawn]) -> float:
    """Return how often a right mask has a higher confidence than a wrong one; NaN without both."""
    right = np.array([one.right for one in drawn])
    ranks = rankdata([one.confidence for one in drawn])
    many, few = int(right.sum()), int((~right).sum())
    if not many or not few:
        return math.nan
    return float((ranks[right].sum() - many * (many + 1) / 2) / (many * few))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="anysam-nano")
    parser.add_argument("--most", type=int, default=6, help="objects per set")
    options = parser.parse_args()
    model, folder = load_model(options.model), data_folder()
    print("| set | masks | wrong | separation | wrong marked | right marked |")
    print("|---|---|---|---|---|---|")
    for row in SETS:
        drawn: list[Drawn] = []
        for sample in row.load(folder / row.folder):
            if sample.is_stack:
                targets = evenly_spaced(targets_of(sample, row.over), options.most)
                drawn += drawn_masks(model, sample, targets)
        if drawn:
            print(f"| {row.name} | {len(drawn)} | {_figures(drawn)} |", flush=True)


def _figures(drawn: list[Drawn]) -> str:
    wrong = [one.doubtful for one in drawn if not one.right]
    right = [one.doubtful for one in drawn if one.right]
    figures = [separation(drawn), *(np.mean(some) if some else math.nan for some in (wrong, right))]
    shown = ("-" if math.isnan(figure) else f"{figure:.2f}" for figure in figures)
    return f"{len(wrong)} | {' | '.join(shown)}"


if __name__ == "__main__":
    main()
