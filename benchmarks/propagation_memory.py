"""Memory of one engine in a process of its own, on planes that are made as they are read."""

from __future__ import annotations

import ctypes
import json
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from propagation_engines import official_engine, own_engine
from propagation_scene import WEIGHTS, Discs

__all__ = ["Memory", "measure_in_subprocess", "memory_table"]


@dataclass
class Memory:
    """Megabytes of one engine."""

    model: str
    planes: int
    objects: int
    engine: str
    above_start: float
    per_plane: float


def measure_in_subprocess(name: str, count: int, objects: int, engine: str) -> Memory:
    """Measure where nothing ran before."""
    request = json.dumps([name, count, objects, engine])
    command = [sys.executable, __file__, request]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Memory(**json.loads(output.splitlines()[-1]))


def memory_table(memories: list[Memory]) -> str:
    """Return the table in Markdown."""
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


def _measure(name: str, count: int, objects: int, engine: str) -> Memory:
    """Measure in this process: peak above the loaded network, and growth over the second half."""
    weights = WEIGHTS[name]()
    stack = Discs(count, objects)
    prompts = [stack.prompt(number) for number in range(objects)]
    running = (
        official_engine(weights, stack, prompts)
        if engine == "official"
        else own_engine(weights, stack, prompts, engine)
    )
    start, half = _resident(), 0.0
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
    for plane in range(count):
        running.step()
        running.answers.clear()
        if plane == count // 2:
            half = _resident()
    growth = (_resident() - half) / (count - count // 2 - 1)
    return Memory(name, count, objects, engine, _peak() - start, growth)


def _peak() -> float:
    """Return the highest resident memory in MB since it was last cleared."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _resident() -> float:
    """Return the resident memory in MB, without what the allocator merely keeps."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    print(json.dumps(asdict(_measure(*json.loads(sys.argv[1])))))
