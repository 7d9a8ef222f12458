"""The stretches of training: their lengths, rates and sampling."""

from __future__ import annotations

from dataclasses import dataclass

from batches import Sampling


@dataclass(frozen=True, slots=True)
class Stage:
    """One stretch of training.

    Attributes
    ----------
    name, steps
        Name and number of optimiser steps.
    images, stacks
        How single planes and stacks are sampled.
    stack_every
        Every so many steps one takes stacks; never if it is 0.
    rate, last_rate
        Learning rate after the warm-up, and at the end of the cosine.
    auxiliary
        Weight of the auxiliary losses on the encoder's and the decoder's features.
    balance
        See `losses.balanced_cross_entropy`.
    warm_up
        Steps until the full learning rate.
    corrections
        Chances of no, one, two, ... corrections after the first prompt.
    """

    name: str
    steps: int
    images: Sampling
    rate: float
    last_rate: float
    auxiliary: float
    balance: float
    stacks: Sampling | None = None
    stack_every: int = 0
    warm_up: int = 200
    corrections: tuple[float, ...] = (0.7, 0.2, 0.1)


MANY = (0.55, 0.2, 0.1, 0.1, 0.05)

STAGES = (
    Stage(
        "small", 1500, Sampling(128, images=6, objects=6, whole=0.15, least_share=0.012),
        rate=5e-4, last_rate=3e-4, auxiliary=1.0, balance=1.0, corrections=(0.85, 0.15, 0.0),
    ),
    Stage(
        "small-stacks", 700, Sampling(128, images=6, objects=6, whole=0.15, least_share=0.012),
        rate=4e-4, last_rate=3e-4, auxiliary=0.5, balance=0.8,
        stacks=Sampling(128, images=4, objects=4, planes=3, whole=0.2, least_share=0.012),
        stack_every=2, warm_up=50,
    ),
    Stage(
        "planes", 2800, Sampling(256, images=4, objects=6, whole=0.3),
        rate=3e-4, last_rate=1e-5, auxiliary=0.3, balance=0.6,
        stacks=Sampling(256, images=2, objects=4, planes=3, whole=0.3), stack_every=3, warm_up=50,
    ),
    Stage(
        "wide", 2400, Sampling(128, images=12, objects=6, whole=0.1, least_share=0.008),
        rate=5e-4, last_rate=2e-4, auxiliary=0.3, balance=0.6,
        stacks=Sampling(128, images=6, objects=4, planes=4, whole=0.15, least_share=0.008),
        stack_every=3,
    ),
    Stage(
        "long", 6500, Sampling(256, images=4, objects=6, whole=0.15),
        rate=3e-4, last_rate=2e-5, auxiliary=0.2, balance=0.1, corrections=MANY,
        stacks=Sampling(256, images=2, objects=4, planes=4, whole=0.2), stack_every=3,
    ),
    Stage(
        "long-stacks", 400, Sampling(256, images=4, objects=6, whole=0.15),
        rate=4e-5, last_rate=5e-6, auxiliary=0.1, balance=0.1, corrections=MANY,
        stacks=Sampling(256, images=2, objects=4, planes=8, whole=0.2), stack_every=2, warm_up=20,
    ),
    Stage(
        "again", 4600, Sampling(256, images=4, objects=6, whole=0.15),
        rate=2.5e-4, last_rate=5e-6, auxiliary=0.1, balance=0.1, corrections=MANY,
        stacks=Sampling(256, images=2, objects=4, planes=6, whole=0.2), stack_every=3, warm_up=50,
    ),
)  # fmt: skip
