"""Both engines as generators that stop after every plane, and the clock that times them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from official import add_prompt, build_official, start_state
from propagation_scene import AS_IT_IS, SHAPE

from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.tracking import Tracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from propagation_scene import Discs, Weights

    from napari_anysam import Prompt
    from napari_anysam.networks.sam2 import Sam2Model

__all__ = ["Engine", "Seconds", "images_of", "official_engine", "own_engine", "timed"]


@dataclass(frozen=True)
class Seconds:
    """How long something took.

    Parameters
    ----------
    wall : float
        By the clock.
    cpu : float
        Of this process on all cores: hardly changed by what else the machine does.
    """

    wall: float
    cpu: float

    def __add__(self, other: Seconds) -> Seconds:
        """Return the time of both."""
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)

    @classmethod
    def least(cls, times: Iterable[Seconds]) -> Seconds:
        """Return the least of each: what others do on the machine only adds."""
        known = list(times)
        return cls(min(one.wall for one in known), min(one.cpu for one in known))


def timed(work: Callable[[], object]) -> Seconds:
    """Do some work and return how long it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


@dataclass
class Engine:
    """One engine on its way through the stack: yields the plane's index after every plane."""

    name: str
    steps: Iterator[int]
    answers: dict[Any, torch.Tensor] = field(default_factory=dict)
    seconds: dict[int, Seconds] = field(default_factory=dict)

    def step(self) -> None:
        """Go on by one plane and time it."""
        reached: list[int] = []
        taken = timed(lambda: reached.append(next(self.steps)))
        self.seconds[reached[0]] = taken


def images_of(model: Sam2Model, stack: Discs | np.ndarray) -> torch.Tensor:
    """Return all planes as the network's input (N, 3, S, S), as the official predictor keeps."""
    planes = (AS_IT_IS.apply(stack[(index,)]) for index in range(stack.shape[0]))
    return torch.cat([model._input(plane) for plane in planes])


def official_engine(weights: Weights, stack: Discs | np.ndarray, prompts: list[Prompt]) -> Engine:
    """Return the official predictor on its way forward from plane 0."""
    predictor = build_official(weights.tensors, weights.configuration)
    encoder = weights.model()

    def steps() -> Iterator[int]:
        state = start_state(images_of(encoder, stack), SHAPE)
        for prompt in prompts:
            add_prompt(predictor, state, prompt)
        for plane, _, _ in predictor.propagate_in_video(state):
            yield plane

    return Engine("official", steps(), predictor.ungated)


def own_engine(
    weights: Weights, stack: Discs | np.ndarray, prompts: list[Prompt], name: str
) -> Engine:
    """Return our engine on its way; its name is a precision, or "fp32, fast memory"."""
    model = weights.model(name.split(",", maxsplit=1)[0])
    engine = Engine(name, iter(()))
    follow = model.follow

    def noting(embedding: Any, recalls: Any, *, plane_count: int) -> Any:
        tracked = follow(embedding, recalls, plane_count=plane_count)
        plane = len(engine.seconds)
        for place, prompt in enumerate(prompts):
            engine.answers[prompt.object_id, plane] = tracked.logits[place, 0]
        return tracked

    model.follow = noting
    memory = "fast" if "fast" in name else "full"
    tracker = Tracker(model, Planes(stack), AS_IT_IS, region="plane", memory=memory)
    engine.steps = (result.index for result in tracker.run(prompts, direction="forward"))
    return engine
