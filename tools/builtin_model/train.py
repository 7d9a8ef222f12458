"""Train the shipped model from nothing, in stages that can be interrupted and resumed.

On a CPU several processes of one thread each share every step and average their gradients: threads
inside the operators would wait for each other thousands of times a step, which stalls on a busy
machine.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from batches import make_batch
from losses import DecoderSupervision, FeatureAffinity, candidates_loss, intersection_over_union
from network import (
    PADDING,
    Features,
    align_positions,
    build_network,
    decode,
    encode,
    set_image_size,
)
from pool import fill_pool, open_pool
from prompts import (
    add_correction,
    box_prompt,
    click_prompt,
    deepest_cell,
    first_clicks,
    rough_mask,
)
from stages import STAGES, Stage
from torch import distributed, multiprocessing
from torch.nn import functional

from tracking import Anchor, Course, PlaneResult, presence_loss, propagate

if TYPE_CHECKING:
    from batches import Batch, Sampling
    from pool import Pool
    from torch import Tensor

STACK_PLANES = 8  # planes of the stacks in the pool


def average_path(run: Path, stage: Stage) -> Path:
    """Name the file of the running average at a stage's end."""
    return run / f"average-{stage.name}.pt"


class Trainer:
    """Network, optimiser and running average of one run, kept together on disk.

    Everything random in a step is seeded by the run's seed, the worker, the stage and the step, so
    that an interrupted run goes on as if it had not been.

    Parameters
    ----------
    run
        Folder of the run: checkpoint, log, pool.
    device
        Where to compute. On CUDA the steps use bfloat16 and `scale` times as many scenes.
    seed
        Seed of weights, batches and prompts.
    scale
        Factor on the scenes per step and worker.
    worker, workers
        Number of this process and of all; each draws its own scenes, gradients are averaged.
    """

    def __init__(
        self,
        run: Path,
        device: str,
        *,
        seed: int = 0,
        scale: float = 1,
        worker: int = 0,
        workers: int = 1,
    ) -> None:
        torch.manual_seed(seed)
        self.run, self.seed = run, seed
        self.worker, self.workers = worker, workers
        self.device = torch.device(device)
        self.scale = scale
        self.network = build_network().to(self.device).train()
        align_positions(self.network)
        self.affinity = FeatureAffinity().to(self.device)
        self.supervision = DecoderSupervision(self.network.sam_mask_decoder).to(self.device)
        self.average = {name: value.detach().clone() for name, value in self._weights()}
        modules = (self.network, self.affinity, self.supervision)
        self.parameters = [one for module in modules for one in module.parameters()]
        self.optimiser = torch.optim.AdamW(
            self.parameters, weight_decay=0.02, betas=(0.9, 0.98), fused=True
        )
        self.rng = np.random.default_rng(seed)
        self.stage, self.step = 0, 0

    def _weights(self) -> list[tuple[str, Tensor]]:
        return list(self.network.state_dict().items())

    def save(self) -> None:
        """Write the checkpoint beside the old one, then replace it; the first worker does it."""
        if self.worker:
            return
        state = {
            "network": self.network.state_dict(),
            "average": self.average,
            "affinity": self.affinity.state_dict(),
            "supervision": self.supervision.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "stage": self.stage,
            "step": self.step,
        }
        part = self.run / "checkpoint.part"
        torch.save(state, part)
        part.replace(self.run / "checkpoint.pt")

    def resume(self) -> None:
        """Go on from the run's checkpoint, if there is one."""
        path = self.run / "checkpoint.pt"
        if not path.exists():
            return
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average = {name: value.to(self.device) for name, value in state["average"].items()}
        self.affinity.load_state_dict(state["affinity"])
        self.supervision.load_state_dict(state["supervision"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.stage, self.step = state["stage"], state["step"]

    def run_stage(self, stage: Stage, images: Pool, stacks: Pool | None, save_every: float) -> None:
        """Train one stage to its end, saving every so many seconds."""
        set_image_size(self.network, stage.images.size)
        log = _Log(self.run / "log.txt", stage)
        saved = time.monotonic()
        while self.step < stage.steps:
            self._set_rate(stage)
            self._seed_step()
            takes_stack = stacks is not None and stage.stacks is not None and stage.stack_every
            if takes_stack and self.step % stage.stack_every == 0:
                figures = self.stack_step(stage, stacks)
            else:
                figures = self.image_step(stage, images)
            self.step += 1
            if not self.worker:
                log.add(self.step, figures)
            if time.monotonic() - saved > save_every:
                self.save()
                saved = time.monotonic()
        if not self.worker:
            torch.save(self.average, average_path(self.run, stage))
        self.stage, self.step = self.stage + 1, 0
        self.save()

    def _seed_step(self) -> None:
        entropy = (self.seed, self.worker, self.stage, self.step)
        self.rng = np.random.default_rng(entropy)
        torch.manual_seed(int(self.rng.integers(2**31)))

    def _set_rate(self, stage: Stage) -> None:
        share = (1 + math.cos(math.pi * self.step / stage.steps)) / 2
        rate = stage.last_rate + (stage.rate - stage.last_rate) * share
        rate *= min(1.0, (self.step + 1) / stage.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def _batch(self, pool: Pool, sampling: Sampling) -> Batch:
        scenes = max(1, round(sampling.images * self.scale / self.workers))
        sampling = replace(sampling, images=scenes)
        batch = make_batch(self.rng, pool, sampling)
        return type(batch)(*(part.to(self.device) for part in batch))

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Use bfloat16 on CUDA; on the CPUs tried its backward pass was slower than float32."""
        if self.device.type == "cuda":
            return torch.autocast("cuda", torch.bfloat16)
        return contextlib.nullcontext()

    def image_step(self, stage: Stage, pool: Pool) -> dict[str, float]:
        """Encode planes once, decode first prompts and corrections, learn from all."""
        batch = self._batch(pool, stage.images)
        target = batch.targets[:, :1]
        index = torch.arange(len(target), device=self.device) // stage.images.objects
        clicks = first_clicks(batch.clicks, target)
        with self._autocast():
            features = encode(self.network, batch.images)
        features = Features(*(level.float() for level in features))
        affinity = self.affinity(features, index, clicks / 4, target)
        loss = stage.auxiliary * affinity
        figures = {"affinity": float(affinity.detach())}
        for name, rows in (("click", slice(0, None, 2)), ("box", slice(1, None, 2))):
            points = click_prompt(clicks) if name == "click" else box_prompt(batch.boxes)
            prompt = points[0][rows], points[1][rows]
            chosen = features.select(index[rows])
            truth = target[rows], batch.outside[rows]
            part, iou = self._interact(stage, chosen, prompt, truth, name)
            loss = loss + part
            figures |= iou
        return figures | self._learn(loss)

    def _interact(
        self,
        stage: Stage,
        features: Features,
        prompt: tuple[Tensor, Tensor],
        truth: tuple[Tensor, Tensor],
        name: str,
    ) -> tuple[Tensor, dict[str, float]]:
        """Decode a first prompt and corrections of it."""
        (points, labels), (target, outside) = prompt, truth
        mask = None
        if name == "box" and self.rng.random() < 0.12:
            mask, name = rough_mask(target), "mask"
            if self.rng.random() < 0.5:
                points, labels = torch.zeros_like(points[:, :1]), -torch.ones_like(labels[:, :1])
        loss, figures = torch.zeros((), device=self.device), {}
        for turn in range(1 + self.rng.choice(len(stage.corrections), p=stage.corrections)):
            with self._autocast():
                decoded = decode(self.network, features, points, labels, mask)
            guide = self.supervision(target)
            loss = loss + stage.auxiliary * guide
            loss = loss + candidates_loss(
                decoded.logits, decoded.iou, target, stage.balance, outside=outside
            )
            figures[f"guide{turn}"] = float(guide.detach())
            present = torch.ones_like(decoded.object_score)
            loss = loss + 0.05 * functional.binary_cross_entropy_with_logits(
                decoded.object_score, present
            )
            best = _shown(decoded.logits.detach(), decoded.iou.detach(), several=turn == 0)
            figures[f"{name}{turn}"] = float(intersection_over_union(best, target).mean())
            points, labels = add_correction(points, labels, best, target)
            mask = best.clamp(-32, 32) if self.rng.random() < 0.6 else None
        return loss, figures

    def stack_step(self, stage: Stage, pool: Pool) -> dict[str, float]:
        """Prompt objects on the first plane and follow them through the others."""
        sampling = stage.stacks
        batch = self._batch(pool, sampling)
        index = torch.arange(len(batch.targets), device=self.device) // sampling.objects
        steps = sampling.planes
        anchors, course = self._anchors(batch, steps), self._course(steps)
        with self._autocast():
            results = propagate(self.network, batch.images, index, anchors, course, steps)
        presence = presence_loss(results, batch.targets)
        loss, figures = 2 * presence, {"presence": float(presence.detach())}
        for plane, result in enumerate(results):
            if plane == 0 and anchors[0].mask is not None:
                continue
            part, iou = _plane_loss(result, batch.targets[:, plane : plane + 1], stage.balance)
            loss = loss + part / len(results) * 2
            figures["first" if plane == 0 else f"plane{plane}"] = iou
        return figures | self._learn(loss)

    def _anchors(self, batch: Batch, steps: int) -> dict[int, Anchor]:
        """Draw the first prompt: a mask, box or click; sometimes click once more later."""
        kind = self.rng.choice(3, p=[0.35, 0.4, 0.25])
        target = batch.targets[:, :1]
        if kind == 0:
            mask = functional.interpolate(target, scale_factor=4.0, mode="bilinear") > 0.5
            anchors = {0: Anchor(mask=mask)}
        elif kind == 1:
            anchors = {0: Anchor(*box_prompt(batch.boxes))}
        else:
            anchors = {0: Anchor(*click_prompt(first_clicks(batch.clicks, target)))}
        if self.rng.random() < 0.25:
            step = int(self.rng.integers(1, steps))
            anchors[step] = self._later_anchor(batch.targets[:, step : step + 1])
        return anchors

    def _later_anchor(self, target: Tensor) -> Anchor:
        """Click on the objects that are there, without memory only if all of them are."""
        inside = target > 0.5
        present = inside.flatten(1).any(1)
        points, labels = click_prompt(deepest_cell(inside))
        labels = torch.where(present[:, None], labels, PADDING)
        fresh = bool(present.all()) and self.rng.random() < 0.5
        return Anchor(points, labels, fresh=fresh)

    def _course(self, steps: int) -> Course:
        """Draw a place in a stack; its length sets the scale of the pointers' positions."""
        planes = int(self.rng.choice([steps, 12, 24, 48]))
        reverse = bool(self.rng.random() < 0.3)
        first = int(self.rng.integers(planes - steps + 1))
        return Course(first + steps - 1 if reverse else first, planes, reverse)

    def _learn(self, loss: Tensor) -> dict[str, float]:
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.workers > 1:
            self._average_gradients()
        size = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        if torch.isfinite(size):
            self.optimiser.step()
            self._update_average()
        return {"loss": float(loss.detach())}

    def _average_gradients(self) -> None:
        """Average over the workers; what a worker's step did not touch counts as zero."""
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in self.parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        parts = (flat / self.workers).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    @torch.no_grad()
    def _update_average(self) -> None:
        done = self.step + 1 if self.stage == 0 else math.inf
        decay = min(0.998, 1 - 1 / (1 + 0.1 * done))
        weights = self.network.state_dict()
        names = [name for name, value in weights.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [self.average[name] for name in names], [weights[name] for name in names], 1 - decay
        )


def _shown(logits: Tensor, iou: Tensor, *, several: bool) -> Tensor:
    """Pick the mask that a user would see: the best-scored candidate, or the single mask."""
    if not several:
        return logits[:, :1]
    best = iou[:, 1:].argmax(1) + 1
    return logits[torch.arange(len(logits), device=logits.device), best][:, None]


def _plane_loss(result: PlaneResult, target: Tensor, balance: float) -> tuple[Tensor, float]:
    """Loss and IoU over the objects that are present and were not gated away."""
    present = target.flatten(1).sum(1) > 1.0
    weight = (present & (result.object_score[:, 0] > 0)).float()
    logits = result.logits.float()
    loss = candidates_loss(logits, result.iou.float(), target, balance, weight=weight)
    best = result.iou.argmax(1)
    shown = logits[torch.arange(len(logits), device=logits.device), best][:, None]
    iou = intersection_over_union(shown, target)[:, 0][present]
    return loss, float(iou.mean()) if present.any() else math.nan


class _Log:
    """Means of the figures over some steps, one line each."""

    def __init__(self, path: Path, stage: Stage, every: int = 50) -> None:
        self.path, self.stage, self.every = path, stage, every
        self.sums: dict[str, list[float]] = {}
        self.started = time.monotonic()

    def add(self, step: int, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self.sums.setdefault(name, []).append(value)
        if step % self.every:
            return
        pace = (time.monotonic() - self.started) / self.every
        means = " ".join(f"{name} {np.nanmean(self.sums[name]):.3f}" for name in sorted(self.sums))
        now = time.strftime("%H:%M:%S")
        with self.path.open("a") as file:
            file.write(f"{now} {self.stage.name} {step} {pace:.2f}s {means}\n")
        self.sums, self.started = {}, time.monotonic()


def train(worker: int, options: argparse.Namespace, rendezvous: str) -> None:
    """Run all stages that are not finished, as one of several workers."""
    workers = options.workers
    if workers > 1:
        torch.set_num_threads(1)
        distributed.init_process_group(
            "gloo", init_method=f"file://{rendezvous}", rank=worker, world_size=workers
        )
    trainer = Trainer(
        options.run, options.device, seed=options.seed, scale=options.scale,
        worker=worker, workers=workers,
    )  # fmt: skip
    trainer.resume()
    while trainer.stage < len(STAGES):
        pools = (open_pool(options.run / "pool", planes) for planes in (1, STACK_PLANES))
        trainer.run_stage(STAGES[trainer.stage], *pools, options.save_every)


def main() -> None:
    """Fill the pool, then train."""
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--device", default="cuda" if cuda else "cpu")
    parser.add_argument("--workers", type=int, default=1 if cuda else os.cpu_count())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=16 if cuda else 1, help="scenes per step")
    parser.add_argument("--image-shards", type=int, default=36)
    parser.add_argument("--stack-shards", type=int, default=9)
    parser.add_argument("--save-every", type=float, default=120, help="seconds")
    options = parser.parse_args()
    pool = options.run / "pool"
    fill_pool(pool, 1, options.image_shards, seed=options.seed)
    fill_pool(pool, STACK_PLANES, options.stack_shards, seed=options.seed)
    with tempfile.TemporaryDirectory() as folder:
        arguments = (options, str(Path(folder) / "rendezvous"))
        multiprocessing.spawn(train, arguments, nprocs=options.workers)


if __name__ == "__main__":
    main()
