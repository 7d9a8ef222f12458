"""Propagation against the official ``SAM2VideoPredictor``: time per plane, sessions, memory.

    python benchmarks/propagation.py            # everything: over half an hour on two cores
    python benchmarks/propagation.py --quick    # the shipped model in small: three minutes
    python benchmarks/propagation.py --part time --model nano

Same process, same weights, same lossless planes. For the time per plane all engines walk through
the stack side by side, one plane each in turn, and for whole sessions their runs alternate, so that
whatever else the machine does hits all of them; the least time of several counts, by the clock and
by the CPU. What the official predictor does before its first plane (resizing and keeping every
plane) is not counted, but for the time to the first mask; ours (contrast, resizing, labels) is.
Memory is measured in processes of their own, one per engine, on planes that are made as they are
read. "Official" is its default: float32.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from propagation_costs import costs_table, first_mask_table, measure_session, open_to
from propagation_engines import Engine, Seconds, official_engine, own_engine
from propagation_memory import measure_in_subprocess, memory_table
from propagation_scene import NANO, TINY, WEIGHTS, Discs

FULL = 8
"""Planes until the spatial memories are full."""

FAST = "fp32, fast memory"
PARTS = ("time", "session", "first", "memory")


@dataclass(frozen=True)
class Cases:
    """What is measured: model, planes, objects, and for sessions how often."""

    time: list[tuple[str, int, int, list[str]]]
    session: list[tuple[str, int, int, int]]
    first: list[tuple[str, int]]
    memory: list[tuple[str, int, int, list[str]]]


_ALL = ["official", "fp32", "bf16"]
QUICK = Cases(
    time=[(NANO, 20, 1, ["fp32"]), (NANO, 20, 8, ["fp32"]), (NANO, 14, 32, ["fp32"])],
    session=[(NANO, 24, 4, 2)],
    first=[(NANO, 50), (NANO, 200)],
    memory=[(NANO, 50, 1, _ALL[:2])],
)
WHOLE = Cases(
    time=[
        (NANO, 50, 1, ["fp32", "bf16", FAST]),
        (NANO, 50, 8, ["fp32", "bf16", FAST]),
        (NANO, 50, 32, ["fp32", "bf16", FAST]),
        (NANO, 200, 1, ["fp32", "bf16"]),
        (TINY, 14, 1, ["fp32", "bf16", FAST]),
        (TINY, 10, 8, ["fp32", "bf16", FAST]),
    ],
    session=[(NANO, 48, 1, 3), (NANO, 48, 8, 3)],
    first=[(NANO, 50), (NANO, 200), (NANO, 800)],
    memory=[
        (NANO, 50, 1, _ALL),
        (NANO, 200, 1, _ALL),
        (NANO, 800, 1, _ALL),
        (NANO, 200, 8, _ALL),
    ],
)


@dataclass
class Timing:
    """Least seconds per plane with full memories, and how far the answers are apart."""

    model: str
    planes: int
    objects: int
    engine: str
    official: Seconds
    own: Seconds
    aim: float | None
    logits: float
    iou: float


def time_engines(name: str, count: int, objects: int, engines: list[str]) -> list[Timing]:
    weights = WEIGHTS[name]()
    stack = Discs(count, objects)
    prompts = [stack.prompt(number) for number in range(objects)]
    kept = stack.kept()
    official = official_engine(weights, kept, prompts)
    own = [own_engine(weights, kept, prompts, engine) for engine in engines]
    for _ in range(count):
        for engine in (official, *own):
            engine.step()
    return [_timing(name, count, objects, official, engine) for engine in own]


def _timing(name: str, count: int, objects: int, official: Engine, own: Engine) -> Timing:
    planes = range(min(FULL, count - 2), count)
    seconds = [Seconds.least(one.seconds[plane] for plane in planes) for one in (official, own)]
    gaps, ious = [], []
    for key, logits in own.answers.items():
        other = official.answers[key]
        gaps.append(float((logits.float() - other).abs().max()))
        ours, theirs = logits > 0, other > 0
        union = int((ours | theirs).sum())
        ious.append(int((ours & theirs).sum()) / union if union else 1.0)
    aim = _aim(name, objects, own.name)
    return Timing(name, count, objects, own.name, *seconds, aim, max(gaps), float(np.mean(ious)))


def _aim(name: str, objects: int, engine: str) -> float | None:
    """Return the ratio to stay under; for bfloat16 that is of a network that gains by it."""
    if engine == "bf16":
        return 0.5 if name == TINY else None
    if engine == FAST:
        return None
    if objects == 1:
        return 0.95
    return 0.85 if name == NANO else 0.9


def timing_table(timings: list[Timing]) -> str:
    lines = [
        "| model | planes | objects | own | official s/plane | own s/plane | ratio | CPU ratio "
        "| aim | logits apart | IoU |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.model} | {one.planes} | {one.objects} | {one.engine} | {one.official.wall:.3f} "
        f"| {one.own.wall:.3f} | **{one.own.wall / one.official.wall:.2f}** "
        f"| {one.own.cpu / one.official.cpu:.2f} | {'' if one.aim is None else one.aim} "
        f"| {one.logits:.1e} | {one.iou:.4f} |"
        for one in timings
    ]
    return "\n".join(lines)


def measure(cases: Cases, parts: list[str], wanted: str) -> dict[str, list]:
    """Measure what is asked for, and print each table as soon as it is known."""
    found: dict[str, list] = {}
    if "time" in parts:
        rows = [time_engines(*case) for case in cases.time if wanted in case[0]]
        found["time"] = [timing for timings in rows for timing in timings]
        print(timing_table(found["time"]), end="\n\n", flush=True)
    if "session" in parts:
        found["session"] = [measure_session(*case) for case in cases.session if wanted in case[0]]
        print(costs_table(found["session"]), end="\n\n", flush=True)
    if "first" in parts:
        found["first"] = [open_to(*case, 3) for case in cases.first if wanted in case[0]]
        print(first_mask_table(found["first"]), end="\n\n", flush=True)
    if "memory" in parts:
        found["memory"] = [
            measure_in_subprocess(*case, engine)
            for *case, engines in cases.memory
            if wanted in case[0]
            for engine in engines
        ]
        print(memory_table(found["memory"]), flush=True)
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the shipped model in small")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this; may be repeated")
    parser.add_argument("--model", default="", help="only models whose name holds this")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    threads = torch.get_num_threads()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads, "
        f"torch {torch.__version__}\n"
    )
    cases = QUICK if arguments.quick else WHOLE
    found = measure(cases, arguments.part or list(PARTS), arguments.model)
    if arguments.json:
        rows = {part: [asdict(one) for one in ones] for part, ones in found.items()}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
