"""The bars of the shipped model, and the tables that are printed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from quality_run import SetScores

__all__ = ["BARS", "Reached", "aligned", "bar_table", "follow_table", "plane_table", "reach"]


@dataclass(frozen=True, slots=True)
class Bar:
    """A mean IoU over the objects of some sets, and what it should be."""

    case: str
    sets: tuple[str, ...]
    measure: str
    aim: float


FLUORESCENT = ("dsb2018 fluorescence", "stardist 2D")
STAINED = ("dsb2018 stained",)
PHASE = ("usiigaci phase",)
ORGANS = ("totalseg CT organs", "totalseg MR organs")
CELLS = ("stardist 3D", "plantseg nuclei 1135", "plantseg ovule")
SERIES = ("psc", "livecyte")
FOLLOWED_ORGANS = ("spinal cord", "hippocampus", "totalseg CT organs")

BARS = (
    Bar("fluorescent nuclei 2D", FLUORESCENT, "click", 0.75),
    Bar("fluorescent nuclei 2D", FLUORESCENT, "box", 0.85),
    Bar("stained tissue", STAINED, "click", 0.72),
    Bar("stained tissue", STAINED, "box", 0.83),
    Bar("phase contrast", PHASE, "click", 0.50),
    Bar("phase contrast", PHASE, "box", 0.70),
    Bar("CT and MR organs", ORGANS, "click", 0.60),
    Bar("CT and MR organs", ORGANS, "box", 0.75),
    Bar("3D nuclei and ovule cells", CELLS, "followed from box", 0.60),
    Bar("time-lapse cells, 12 frames", SERIES, "first frame, box", 0.65),
    Bar("organs", FOLLOWED_ORGANS, "followed from mask", 0.65),
)


@dataclass(frozen=True, slots=True)
class Reached:
    """What was measured for a bar, beside the classical answer (None for a box on one plane)."""

    case: str
    measure: str
    aim: float
    iou: float
    iou_by_set: float
    classical: float | None
    objects: int
    missing_sets: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the aim is reached and the classical answer beaten."""
        return self.iou >= self.aim and (self.classical is None or self.iou > self.classical)

    @property
    def verdict(self) -> str:
        """Pass, or what fails."""
        if self.passed:
            return "pass"
        return "FAIL: bar" if self.iou < self.aim else "FAIL: classical"

    def plain(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        return asdict(self) | {"passed": self.passed}


def reach(bars: Iterable[Bar], found: Mapping[str, SetScores]) -> list[Reached]:
    """Compare every bar of which at least one set was measured."""
    return [
        _reached(bar, [found[name] for name in bar.sets if name in found], found)
        for bar in bars
        if any(name in found for name in bar.sets)
    ]


def _reached(bar: Bar, sets: Sequence[SetScores], found: Mapping[str, SetScores]) -> Reached:
    values = [one.values(bar.measure) for one in sets]
    classical = [value for one in sets for value in one.classical(bar.measure)]
    return Reached(
        bar.case,
        bar.measure,
        bar.aim,
        float(np.mean(np.concatenate(values))),
        float(np.mean([np.mean(of_set) for of_set in values])),
        float(np.mean(classical)) if classical else None,
        sum(map(len, values)),
        tuple(name for name in bar.sets if name not in found),
    )


def bar_table(reached: Sequence[Reached]) -> str:
    """Tabulate the bars, with pass or fail."""
    rows = [
        [
            f"{one.case}, in part" if one.missing_sets else one.case,
            one.measure,
            f"{one.aim:.2f}",
            f"**{one.iou:.3f}**",
            f"{one.iou_by_set:.3f}",
            _figure(one.classical),
            str(one.objects),
            one.verdict,
        ]
        for one in reached
    ]
    header = ["case", "prompt", "bar", "IoU", "mean of sets", "classical", "objects", ""]
    return aligned(header, rows, texts=2)


def plane_table(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    """Tabulate single planes; summaries are those of ``summarise_planes``, by set."""
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "objects": lambda one: str(one["objects"]),
        "1 click": lambda one: _figure(one["click 1"]),
        "3": lambda one: _figure(one["click 3"]),
        "5": lambda one: _figure(one["click 5"]),
        "box": lambda one: _figure(one["box"]),
        "clicks to 0.8": lambda one: f"{one['clicks to 0.8']:.1f} ({one['reached 0.8']:.0%})",
        "clicks to 0.9": lambda one: f"{one['clicks to 0.9']:.1f} ({one['reached 0.9']:.0%})",
        "classical, 1 click": lambda one: (
            f"{_figure(one['classical click 1'])} ({one['classical method']})"
        ),
    }
    rows = [[name, *(cell(one) for cell in columns.values())] for name, one in summaries.items()]
    return aligned(["set", *columns], rows, texts=1)


def follow_table(summaries: Mapping[tuple[str, str], Mapping[str, Any]]) -> str:
    """Tabulate what was followed; summaries are those of ``summarise_followed``, by set, prompt."""
    names = ("prompted iou", "iou", "copied iou")
    last = ("painted where absent", "absent planes with paint")
    header = [
        *("set", "prompt", "objects", "prompted plane", "other planes", "copied mask"),
        *("survived planes", "painted where absent", "planes with paint"),
    ]
    rows = [
        [
            name,
            prompt,
            str(one["objects"]),
            *(_figure(one[key]) for key in names),
            f"{one['survived planes']:.1f} ({one['survived share']:.0%})",
            *(_figure(one[key]) for key in last),
        ]
        for (name, prompt), one in summaries.items()
    ]
    return aligned(header, rows, texts=2)


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    """Lay out a Markdown table whose first columns are texts and all others figures."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = [
        "-" * width if place < texts else "-" * (width - 1) + ":"
        for place, width in enumerate(widths)
    ]
    return "\n".join(_line(cells, widths, texts) for cells in (header, rule, *rows))


def _line(cells: Sequence[str], widths: Sequence[int], texts: int) -> str:
    padded = [
        cell.ljust(width) if place < texts else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
