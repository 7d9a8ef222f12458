"""Peak memory and disk of ``anysam propagate`` over long stacks, from Zarr to OME-Zarr.

    python benchmarks/long_stack.py                              # 50, 200 and 800 planes of 2048
    python benchmarks/long_stack.py --planes 20 40 --size 512    # a quick look

Each run is a process of its own. "Beyond the model" is its peak resident memory less that of the
same command on two planes of 64 pixels. Discs go round and round, so that the stack repeats itself
and its chunks on disk are links to those of the first period. Each run is also killed half way and
resumed, and its labels compared, where ``--kill`` is given.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import zarr

PERIOD = 16
RADIUS = 40
PLACES = ((0.3, 0.3), (0.6, 0.7))


@dataclass(frozen=True)
class Cost:
    """What one run took."""

    seconds: float
    peak_bytes: int
    label_bytes: int
    state_bytes: int


def make_stack(path: Path, planes: int, size: int) -> None:
    """Write a stack of discs in noise, uint16, one chunk a plane; after a period, links."""
    array = zarr.create_array(path, shape=(planes, size, size), chunks=(1, size, size), dtype="u2")
    rng = np.random.default_rng(0)
    for index in range(min(PERIOD, planes)):
        array[index] = plane_of(index, size, rng)
    for index in range(PERIOD, planes):
        chunk = path / "c" / str(index) / "0" / "0"
        chunk.parent.mkdir(parents=True)
        os.link(path / "c" / str(index % PERIOD) / "0" / "0", chunk)


def plane_of(index: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return one plane."""
    plane = rng.normal(300, 30, (size, size))
    turn = 2 * np.pi * index / PERIOD
    radius = min(RADIUS, size // 8)
    rows, columns = np.ogrid[:size, :size]
    for row, column in places(size):
        centre = (row + 0.2 * radius * np.sin(turn), column + 0.2 * radius * np.cos(turn))
        plane += 600 * (np.hypot(rows - centre[0], columns - centre[1]) < radius)
    return plane.astype(np.uint16)


def places(size: int) -> list[tuple[int, int]]:
    """Return where discs are."""
    return [(int(row * size), int(column * size)) for row, column in PLACES]


def prompts_for(planes: int, size: int) -> list[dict[str, object]]:
    """Return a box for each disc, on the first plane, and for the first disc on the last one too.

    Answers between these two planes wait for the second pass.
    """
    radius = min(RADIUS, size // 8)
    boxes = [
        [row - radius, column - radius, row + radius, column + radius]
        for row, column in places(size)
    ]
    first = [
        {"object_id": number, "plane": 0, "box": box} for number, box in enumerate(boxes, start=1)
    ]
    return [*first, {"object_id": 1, "plane": planes - 1, "box": boxes[0]}]


def run(folder: Path, planes: int, size: int, kill_after: float | None = None) -> Cost:
    """Make a stack, run the command on it, and measure the process."""
    stack, prompts, output = folder / "stack.zarr", folder / "prompts.json", folder / "out.zarr"
    make_stack(stack, planes, size)
    prompts.write_text(json.dumps(prompts_for(planes, size)))
    command = [
        *(sys.executable, "-m", "napari_anysam.cli", "propagate", stack, "--prompts", prompts),
        *("-o", output, "--device", "cpu", "--resume", "--save-every", "5", "-q"),
    ]
    if kill_after is not None:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(kill_after)
        process.kill()
        process.wait()
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    state = folder / "out.zarr.unfinished" / "state.safetensors"
    largest_state = 0
    while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
        with suppress(FileNotFoundError):
            largest_state = max(largest_state, state.stat().st_size)
        time.sleep(0.2)
    _, status, usage = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the run ended with {process.returncode}")
    seconds = time.perf_counter() - start
    labels = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    return Cost(seconds, usage.ru_maxrss * 1024, labels, largest_state)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--planes", type=int, nargs="+", default=[50, 200, 800])
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--kill", action="store_true", help="kill each run half way, and resume it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        base = run(Path(name), 2, 64).peak_bytes
    print(
        "| planes | s/plane | peak MB | beyond the model, MB | labels, MB | state, MB | resumed |"
    )
    print("|---|---|---|---|---|---|---|")
    for planes in options.planes:
        with tempfile.TemporaryDirectory() as name:
            cost = run(Path(name), planes, options.size)
            whole = labels_of(Path(name))
        same = "-"
        if options.kill:
            with tempfile.TemporaryDirectory() as name:
                run(Path(name), planes, options.size, kill_after=cost.seconds / 2)
                same = "same" if labels_of(Path(name)) == whole else "DIFFERENT"
        print(
            f"| {planes} | {cost.seconds / planes:.2f} | {cost.peak_bytes / 1e6:.0f} "
            f"| {(cost.peak_bytes - base) / 1e6:.0f} | {cost.label_bytes / 1e6:.1f} "
            f"| {cost.state_bytes / 1e6:.1f} | {same} |",
            flush=True,
        )


def labels_of(folder: Path) -> list[bytes]:
    """Return the chunks of a run's labels."""
    array = zarr.open_array(folder / "out.zarr" / "0", mode="r")
    return [digest(array[index]) for index in range(array.shape[0])]


def digest(plane: np.ndarray) -> bytes:
    """Return a digest of a plane."""
    return sha256(np.ascontiguousarray(plane)).digest()


if __name__ == "__main__":
    main()
