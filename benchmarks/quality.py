"""How good a model is on real images with true labels: the bars of the shipped model, and each set.

    python benchmarks/quality.py --json benchmarks/results/quality.json --picture quality.png
    python benchmarks/quality.py --quick                  # a few objects of every image
    python benchmarks/quality.py --sets psc livecyte      # sets whose name holds one of these words
    python benchmarks/quality.py --corrected 3            # also: followed, then corrected once

Every image is shown to the network as ``segment`` and ``propagate`` show it by default: contrast
"auto", region "auto". Clicks, boxes and corrections come from a simulated user
(``quality_prompts.py``); objects of a stack are prompted on the plane where they are largest, and
planes lie along the first axis of (Z, Y, X). Beside stand classical answers
(``quality_classical.py``). A figure is the mean over objects; ``--most`` and ``--followed`` say how
many, evenly spaced among all. With ``--corrected``, so many of every stack are also corrected on
one plane (``quality_correction.py``), which takes as long again. Sets that are missing are left
out, and said to be. With the shipped model everything takes about nine minutes of one core's time.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from quality_correction import correction_table
from quality_picture import draw_picture
from quality_run import Limits, SetScores, measure_set
from quality_sets import SETS, data_folder
from quality_table import BARS, bar_table, follow_table, plane_table, reach

from napari_anysam import load_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from quality_sets import DataSet

    from napari_anysam.networks.protocol import PromptableModel

QUICK = Limits(planes=4, followed=2)


def measure(
    model: PromptableModel, rows: Sequence[DataSet], limits: Limits
) -> dict[str, SetScores]:
    """Measure the sets that are there, one after another."""
    folder = data_folder()
    found = {}
    for row in rows:
        if not (folder / row.folder).is_dir():
            tell(f"{row.name}: left out, there is no {folder / row.folder}")
            continue
        start = time.perf_counter()
        found[row.name] = measure_set(model, row, folder, limits)
        tell(f"{row.name}: {time.perf_counter() - start:.0f} s")
    return found


def tables(found: Mapping[str, SetScores]) -> str:
    """Return the bars, single planes and what was followed."""
    summaries = {name: one.summary() for name, one in found.items()}
    followed = {
        (name, prompt): figures
        for name, one in summaries.items()
        for prompt, figures in one["followed"].items()
    }
    planes = {name: one["planes"] for name, one in summaries.items()}
    parts = [bar_table(reach(BARS, found)), plane_table(planes), follow_table(followed)]
    return "\n\n".join(parts)


def report(
    model: PromptableModel, limits: Limits, found: Mapping[str, SetScores]
) -> dict[str, Any]:
    """Return everything that was measured, for JSON."""
    return {
        "model": model.key,
        "machine": platform.machine(),
        "device": str(model.device),
        "threads": torch.get_num_threads(),
        "objects per image": limits.planes,
        "objects followed per stack": limits.followed,
        "bars": [one.plain() for one in reach(BARS, found)],
        "sets": {name: one.summary() for name, one in found.items()},
        "objects": {name: one.objects() for name, one in found.items()},
    }


def write_json(path: Path, values: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rounded(values), indent=1) + "\n", encoding="utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="anysam-nano", help="catalogue name or checkpoint file")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16, fp16")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="names, or parts of names")
    parser.add_argument("--most", type=int, default=30, help="objects of every image")
    parser.add_argument("--followed", type=int, default=8, help="objects followed in every stack")
    parser.add_argument("--corrected", type=int, default=0, help="objects corrected in every stack")
    parser.add_argument("--quick", action="store_true", help="4 objects of every image, 2 followed")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    parser.add_argument("--picture", type=Path, help="write best, median and worst to this PNG")
    return parser.parse_args()


def main() -> None:
    options = parse()
    wanted = options.sets or [""]
    rows = [row for row in SETS if any(word in row.name for word in wanted)]
    limits = QUICK if options.quick else Limits(options.most, options.followed)
    model = load_model(options.model, options.device, options.precision)
    found = measure(model, rows, limits)
    if not found:
        sys.exit(f"There is nothing to measure; sets are {', '.join(row.name for row in SETS)}.")
    print(tables(found))
    if options.corrected:
        there = [row for row in rows if row.name in found]
        print("", *correction_table(model, there, data_folder(), options.corrected), sep="\n")
    if options.json:
        write_json(options.json, report(model, limits, found))
    if options.picture:
        draw_picture({name: one.views() for name, one in found.items()}).save(options.picture)


if __name__ == "__main__":
    main()
