"""Propagation against the official ``SAM2VideoPredictor``: time per plane, memory, agreement.

    python benchmarks/propagation.py            # everything: a quarter of an hour on two cores
    python benchmarks/propagation.py --quick    # the shipped model only, 30 planes

Same process, same weights, same lossless planes. All engines walk through the stack side by side,
one plane each in turn, so that whatever else the machine does hits all of them; a ratio is that of
the medians over planes whose memories are full. What the official predictor does before its first
plane (resizing and keeping every plane) is not counted, ours (contrast, resizing, labels) is.
Memory is measured in processes of their own, one per engine, on planes that are made as they are
read. "Official" is its default: float32.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import platform
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from official import add_prompt, build_official, start_state

from napari_anysam import Prompt, load_model
from napari_anysam.images.conditioning import Conditioning
from napari_anysam.images.planes import Planes
from napari_anysam.models.store import builtin_folder
from napari_anysam.networks.sam2 import Sam2Model, build_sam2, official_configuration
from napari_anysam.networks.sam2_build import read_configuration
from napari_anysam.segmentation.tracking import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPE = (256, 320)
FULL = 8
"""Planes until the spatial memories are full."""

AS_IT_IS = Conditioning(((0, 255),))
AIMS = {("fp32", 1): 1.0, ("fp32", 8): 0.95, ("bf16", 1): 0.6, ("bf16", 8): 0.6}


class Discs:
    """A stack of moving discs, each plane made when it is read."""

    ndim, dtype = 3, np.dtype(np.uint8)

    def __init__(self, count: int) -> None:
        """Prepare so many planes."""
        self.shape = (count, *SHAPE)

    def __getitem__(self, key: tuple[int, ...]) -> np.ndarray:
        """Make the plane that the first index names."""
        plane = key[0]
        pixels = np.random.default_rng(plane).normal(60, 8, SHAPE)
        for number in range(8):
            pixels[self.disc(number, plane)] += 40 + 15 * number
        return pixels.clip(0, 255).astype(np.uint8)

    def kept(self) -> np.ndarray:
        """Return all planes, so that making them is not timed."""
        return np.stack([self[(plane,)] for plane in range(self.shape[0])])

    def disc(self, number: int, plane: int) -> np.ndarray:
        """Return where a disc is on a plane."""
        rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
        row = 70 + 115 * (number // 4) + 10 * np.sin(plane / 9 + number)
        column = 50 + 72 * (number % 4) + 10 * np.cos(plane / 7 + number)
        return (rows - row) ** 2 + (columns - column) ** 2 < (17 + number) ** 2

    def prompts(self, count: int) -> list[Prompt]:
        """Return the masks of so many discs on the first plane."""
        return [Prompt(number + 1, 0, mask=self.disc(number, 0)) for number in range(count)]


@dataclass
class Weights:
    """What both engines are built from."""

    tensors: dict[str, torch.Tensor]
    configuration: Any

    def model(self, precision: str) -> Sam2Model:
        """Build our engine's network."""
        return build_sam2(
            self.tensors, self.configuration, name="benchmark", key="benchmark", precision=precision
        )


def shipped_weights() -> Weights:
    path = builtin_folder() / "anysam-nano.yaml"
    network = load_model("anysam-nano", "cpu", "fp32").network
    return Weights(network.state_dict(), read_configuration(path))


def tiny_weights() -> Weights:
    """SAM 2.1 tiny at full size with seeded random weights; objects count as present."""
    from hydra.utils import instantiate

    configuration = official_configuration("2.1", "tiny")
    torch.manual_seed(0)
    tensors = instantiate(configuration.model, _recursive_=True).state_dict()
    tensors["sam_mask_decoder.pred_obj_score_head.layers.2.bias"].fill_(10.0)
    return Weights(tensors, configuration)


WEIGHTS = {"anysam-nano": shipped_weights, "sam2.1-tiny (random)": tiny_weights}


@dataclass
class Engine:
    """One engine on its way through the stack: yields after every plane."""

    name: str
    steps: Iterator[int]
    answers: dict[Any, torch.Tensor]
    seconds: dict[int, float]

    def step(self) -> None:
        """Go on by one plane and time it."""
        start = time.perf_counter()
        plane = next(self.steps)
        self.seconds[plane] = time.perf_counter() - start


def official_engine(weights: Weights, stack: Discs | np.ndarray, prompts: list[Prompt]) -> Engine:
    predictor = build_official(weights.tensors, weights.configuration)
    encoder = weights.model("fp32")

    def steps() -> Iterator[int]:
        planes = [AS_IT_IS.apply(stack[(index,)]) for index in range(stack.shape[0])]
        state = start_state(torch.cat([encoder._input(plane) for plane in planes]), SHAPE)
        del planes
        for prompt in prompts:
            add_prompt(predictor, state, prompt)
        for plane, _, _ in predictor.propagate_in_video(state):
            yield plane

    return Engine("official", steps(), predictor.ungated, {})


def own_engine(
    weights: Weights, stack: Discs | np.ndarray, prompts: list[Prompt], precision: str
) -> Engine:
    model = weights.model(precision)
    engine = Engine(precision, iter(()), {}, {})
    follow = model.follow

    def noting(embedding: Any, recalls: Any, *, plane_count: int) -> Any:
        tracked = follow(embedding, recalls, plane_count=plane_count)
        plane = len(engine.seconds)
        for place, prompt in enumerate(prompts):
            engine.answers[prompt.object_id, plane] = tracked.logits[place, 0]
        return tracked

    model.follow = noting
    tracker = Tracker(model, Planes(stack), AS_IT_IS, region="plane")
    engine.steps = (result.index for result in tracker.run(prompts, direction="forward"))
    return engine


@dataclass
class Timing:
    """Median seconds per plane with full memories, and how far the answers are apart."""

    model: str
    planes: int
    objects: int
    precision: str
    official: float
    own: float
    ratio: float
    aim: float
    logits: float
    iou: float


def time_engines(name: str, count: int, objects: int, precisions: list[str]) -> list[Timing]:
    weights = WEIGHTS[name]()
    stack = Discs(count)
    prompts = stack.prompts(objects)
    kept = stack.kept()
    official = official_engine(weights, kept, prompts)
    own = [own_engine(weights, kept, prompts, precision) for precision in precisions]
    for _ in range(count):
        for engine in (official, *own):
            engine.step()
    return [_timing(name, count, objects, official, engine) for engine in own]


def _timing(name: str, count: int, objects: int, official: Engine, own: Engine) -> Timing:
    planes = range(min(FULL, count - 2), count)
    seconds = [median(one.seconds[plane] for plane in planes) for one in (official, own)]
    gaps, ious = [], []
    for key, logits in own.answers.items():
        other = official.answers[key]
        gaps.append(float((logits.float() - other).abs().max()))
        ours, theirs = logits > 0, other > 0
        union = int((ours | theirs).sum())
        ious.append(int((ours & theirs).sum()) / union if union else 1.0)
    aim = AIMS[own.name, 1 if objects == 1 else 8]
    ratio = seconds[1] / seconds[0]
    return Timing(
        name, count, objects, own.name, *seconds, ratio, aim, max(gaps), float(np.mean(ious))
    )


@dataclass
class Memory:
    """Megabytes of one engine in a process of its own."""

    model: str
    planes: int
    objects: int
    engine: str
    above_start: float
    per_plane: float


def measure_memory(name: str, count: int, objects: int, engine: str) -> Memory:
    """Measure in this process: peak above the loaded network, and growth over the second half."""
    weights = WEIGHTS[name]()
    stack = Discs(count)
    prompts = stack.prompts(objects)
    running = (
        official_engine(weights, stack, prompts)
        if engine == "official"
        else own_engine(weights, stack, prompts, engine)
    )
    start, half = resident(), 0.0
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
    for plane in range(count):
        running.step()
        running.answers.clear()
        if plane == count // 2:
            half = resident()
    growth = (resident() - half) / (count - count // 2 - 1)
    return Memory(name, count, objects, engine, peak() - start, growth)


def peak() -> float:
    """Return the highest resident memory in MB since it was last cleared."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def resident() -> float:
    """Return the resident memory in MB, without what the allocator merely keeps."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def memory_in_subprocess(name: str, count: int, objects: int, engine: str) -> Memory:
    request = json.dumps([name, count, objects, engine])
    command = [sys.executable, __file__, "--memory", request]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Memory(**json.loads(output.splitlines()[-1]))


def timing_table(timings: list[Timing]) -> str:
    lines = [
        "| model | planes | objects | precision | official s/plane | own s/plane | ratio | aim "
        "| logits apart | IoU |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.model} | {one.planes} | {one.objects} | {one.precision} | {one.official:.3f} "
        f"| {one.own:.3f} | **{one.ratio:.2f}** | {one.aim:.2f} | {one.logits:.1e} "
        f"| {one.iou:.4f} |"
        for one in timings
    ]
    return "\n".join(lines)


def memory_table(memories: list[Memory]) -> str:
    lines = [
        "| model | planes | objects | engine | peak above the network, MB | growth per plane, MB |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.model} | {one.planes} | {one.objects} | {one.engine} | {one.above_start:.0f} "
        f"| {one.per_plane:.3f} |"
        for one in memories
    ]
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the shipped model only, 30 planes")
    parser.add_argument("--model", help="only models whose name holds this")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    if arguments.memory:
        print(json.dumps(asdict(measure_memory(*json.loads(arguments.memory)))))
        return
    nano, tiny = WEIGHTS
    cases = [(nano, 50, 1), (nano, 50, 8), (nano, 200, 1), (tiny, 12, 1), (tiny, 9, 8)]
    memory_cases = [(nano, 50, 1), (nano, 200, 1), (nano, 200, 8)]
    if arguments.quick:
        cases, memory_cases = [(nano, 30, 1), (nano, 30, 8)], [(nano, 60, 1)]
    wanted = arguments.model or ""
    timings = [
        timing
        for name, count, objects in cases
        if wanted in name
        for timing in time_engines(name, count, objects, ["fp32", "bf16"])
    ]
    memories = [
        memory_in_subprocess(*case, engine)
        for case in memory_cases
        if wanted in case[0]
        for engine in ("official", "fp32", "bf16")
    ]
    print(f"\n{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"\n{timing_table(timings)}\n\n{memory_table(memories)}")
    if arguments.json:
        rows = {"timings": timings, "memories": memories}
        found = {key: [asdict(one) for one in ones] for key, ones in rows.items()}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
