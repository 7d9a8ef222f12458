"""What a session costs: several prompted planes and objects, corrections, and the first mask.

Both engines answer the same planes: forward from the first prompted plane, backward from the last.
Then every object is corrected on one plane: the official predictor has to track all objects through
all planes again, ours the corrected ones between the prompted planes on either side. Runs of both
engines alternate, and the least time of each counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from official import add_prompt, build_official, start_state
from propagation_engines import Seconds, images_of, timed
from propagation_scene import AS_IT_IS, SHAPE, WEIGHTS, Discs

from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.embeddings import EmbeddingCache
from napari_anysam.segmentation.tracking import Tracker

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from propagation_scene import Weights

    from napari_anysam import Prompt

__all__ = ["FirstMask", "Session", "costs_table", "first_mask_table", "measure_session", "open_to"]

_CACHE_BYTES = 2**32


@dataclass
class Session:
    """What each engine took for a session; encoder calls are for all of it."""

    model: str
    planes: int
    anchors: int
    objects: int
    interval: int
    official_run: Seconds
    own_run: Seconds
    official_corrected: Seconds
    own_corrected: Seconds
    official_one: Seconds
    own_one: Seconds
    official_encodes: int
    own_encodes: int


@dataclass
class FirstMask:
    """From opening a stack to the first mask, in seconds."""

    model: str
    planes: int
    official: Seconds
    own: Seconds


@dataclass
class _Scene:
    """Prompts of a session on a stack."""

    weights: Weights
    stack: np.ndarray
    prompts: list[Prompt]
    corrections: list[Prompt]
    interval: tuple[int, int]


class _OfficialSession:
    """The official predictor, as somebody uses it who wants every plane answered."""

    def __init__(self, scene: _Scene) -> None:
        self._predictor = build_official(scene.weights.tensors, scene.weights.configuration)
        self._state = start_state(images_of(scene.weights.model(), scene.stack), SHAPE)
        planes = [prompt.plane for prompt in scene.prompts]
        self._first, self._last = min(planes), max(planes)
        self.encodes = _Calls(self._predictor, "forward_image")

    def run(self, prompts: list[Prompt]) -> None:
        """Add prompts, and track everything both ways."""
        for prompt in prompts:
            add_prompt(self._predictor, self._state, prompt)
        for start, reverse in ((self._first, False), (self._last, True)):
            answers = self._predictor.propagate_in_video(
                self._state, start_frame_idx=start, reverse=reverse
            )
            for _ in answers:
                pass


class _OwnSession:
    """Our engine with its cache of embeddings, as the window has it."""

    def __init__(self, scene: _Scene) -> None:
        model = scene.weights.model()
        self.encodes = _Calls(model, "encode")
        self._tracker = Tracker(
            model,
            Planes(scene.stack),
            AS_IT_IS,
            region="plane",
            cache=EmbeddingCache(_CACHE_BYTES),
        )

    def run(self, prompts: list[Prompt], start: int | None = None, stop: int | None = None) -> None:
        """Follow objects on a range of planes."""
        for _ in self._tracker.run(prompts, start=start, stop=stop):
            pass


class _Calls:
    """Counts the calls of a method."""

    def __init__(self, owner: Any, name: str) -> None:
        self.count = 0
        self._called: Callable[..., Any] = getattr(owner, name)
        setattr(owner, name, self._count)

    def _count(self, *args: Any, **kwargs: Any) -> Any:
        self.count += 1
        return self._called(*args, **kwargs)


def measure_session(name: str, count: int, objects: int, repeats: int) -> Session:
    """Measure a session with three prompted planes and one correction of every object."""
    stack = Discs(count, objects)
    anchors = [count // 4, count // 2, 3 * count // 4]
    corrected = (anchors[0] + anchors[1]) // 2
    scene = _Scene(
        WEIGHTS[name](),
        stack.kept(),
        [stack.prompt(number, plane) for number in range(objects) for plane in anchors],
        [stack.prompt(number, corrected) for number in range(objects)],
        (anchors[0] + 1, anchors[1]),
    )
    measured = [(_official_times(scene), _own_times(scene)) for _ in range(repeats)]
    official = [Seconds.least(times[0][step] for times in measured) for step in range(3)]
    own = [Seconds.least(times[1][step] for times in measured) for step in range(3)]
    pairs = [one for pair in zip(official, own, strict=True) for one in pair]
    encodes = measured[0][0][3], measured[0][1][3]
    interval = scene.interval[1] - scene.interval[0]
    return Session(name, count, len(anchors), objects, interval, *pairs, *encodes)


def _official_times(scene: _Scene) -> tuple[Seconds, Seconds, Seconds, int]:
    session = _OfficialSession(scene)
    return (
        timed(lambda: session.run(scene.prompts)),
        timed(lambda: session.run(scene.corrections)),
        timed(lambda: session.run(scene.corrections[:1])),
        session.encodes.count,
    )


def _own_times(scene: _Scene) -> tuple[Seconds, Seconds, Seconds, int]:
    session = _OwnSession(scene)
    known = [*scene.prompts, *scene.corrections]
    one = [prompt for prompt in known if prompt.object_id == scene.prompts[0].object_id]
    return (
        timed(lambda: session.run(scene.prompts)),
        timed(lambda: session.run(known, *scene.interval)),
        timed(lambda: session.run(one, *scene.interval)),
        session.encodes.count,
    )


def open_to(name: str, count: int, repeats: int) -> FirstMask:
    """Measure from opening a stack of so many planes to the mask on the prompted one."""
    weights = WEIGHTS[name]()
    stack = Discs(count)
    prompt, kept = stack.prompt(0), stack.kept()
    predictor = build_official(weights.tensors, weights.configuration)
    model = weights.model()

    def official() -> None:
        state = start_state(images_of(model, kept), SHAPE)
        add_prompt(predictor, state, prompt)
        next(iter(predictor.propagate_in_video(state)))

    def own() -> None:
        tracker = Tracker(model, Planes(kept), AS_IT_IS, region="plane")
        next(iter(tracker.run([prompt])))

    times = [(timed(official), timed(own)) for _ in range(repeats)]
    least = [Seconds.least(one[side] for one in times) for side in (0, 1)]
    return FirstMask(name, count, *least)


def costs_table(sessions: list[Session]) -> str:
    """Return the table of sessions in Markdown; ratios are of wall and of CPU time."""
    lines = [
        "| model | planes | prompted planes | objects | what | official s | own s | ratio "
        "| CPU ratio | aim |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in sessions:
        head = f"| {one.model} | {one.planes} | {one.anchors} | {one.objects} "
        corrected = f"one object corrected, {one.interval} planes between its prompts"
        rows = [
            ("run", one.official_run, one.own_run, ""),
            ("every object corrected once", one.official_corrected, one.own_corrected, ""),
            (
                "both together",
                one.official_run + one.official_corrected,
                one.own_run + one.own_corrected,
                "0.50",
            ),
            (corrected, one.official_one, one.own_one, ""),
        ]
        lines += [
            f"{head}| {what} | {official.wall:.2f} | {own.wall:.2f} "
            f"| **{own.wall / official.wall:.2f}** | {own.cpu / official.cpu:.2f} | {aim} |"
            for what, official, own, aim in rows
        ]
        lines.append(
            f"{head}| encoder calls, all of it | {one.official_encodes} | {one.own_encodes} "
            f"| {one.own_encodes / one.official_encodes:.2f} | | at most {one.planes} |"
        )
    return "\n".join(lines)


def first_mask_table(masks: list[FirstMask]) -> str:
    """Return the table of first masks in Markdown."""
    lines = [
        "| model | planes | official s | own s |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {one.model} | {one.planes} | {one.official.wall:.3f} | {one.own.wall:.3f} |"
        for one in masks
    ]
    return "\n".join(lines)
