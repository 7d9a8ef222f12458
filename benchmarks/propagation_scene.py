"""What both engines are given: planes with moving discs, their masks, and weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from napari_anysam import Prompt, load_model
from napari_anysam.images.conditioning import Conditioning
from napari_anysam.models.store import builtin_folder
from napari_anysam.networks.sam2 import Sam2Model, build_sam2, official_configuration
from napari_anysam.networks.sam2_build import read_configuration

__all__ = ["AS_IT_IS", "NANO", "SHAPE", "TINY", "WEIGHTS", "Discs", "Weights"]

SHAPE = (256, 320)
AS_IT_IS = Conditioning(((0, 255),))
NANO, TINY = "anysam-nano", "sam2.1-tiny (random)"


class Discs:
    """A stack of moving discs, each plane made when it is read.

    Parameters
    ----------
    count : int
        Planes.
    objects : int
        Up to 8 discs are large, up to 32 are half as large.
    """

    ndim, dtype = 3, np.dtype(np.uint8)

    def __init__(self, count: int, objects: int = 8) -> None:
        self.shape = (count, *SHAPE)
        self._size = 1.0 if objects <= 8 else 0.5
        self._columns = 4 if objects <= 8 else 8
        self._objects = 8 if objects <= 8 else 32

    def __getitem__(self, key: tuple[int, ...]) -> np.ndarray:
        """Make the plane that the first index names."""
        plane = key[0]
        pixels = np.random.default_rng(plane).normal(60, 8, SHAPE)
        for number in range(self._objects):
            pixels[self.disc(number, plane)] += 40 + 15 * (number % 8)
        return pixels.clip(0, 255).astype(np.uint8)

    def kept(self) -> np.ndarray:
        """Return all planes, so that making them is not timed."""
        return np.stack([self[(plane,)] for plane in range(self.shape[0])])

    def disc(self, number: int, plane: int) -> np.ndarray:
        """Return where a disc is on a plane, bool (H, W)."""
        rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
        down, along = divmod(number, self._columns)
        row = (70 + 115 * down + 10 * np.sin(plane / 9 + number)) * self._size
        column = (50 + 72 * along + 10 * np.cos(plane / 7 + number)) * self._size
        radius = (17 + number % 8) * self._size
        return (rows - row) ** 2 + (columns - column) ** 2 < radius**2

    def prompt(self, number: int, plane: int = 0) -> Prompt:
        """Return the mask of a disc on a plane."""
        return Prompt(number + 1, plane, mask=self.disc(number, plane))


@dataclass
class Weights:
    """What both engines are built from."""

    tensors: dict[str, torch.Tensor]
    configuration: Any

    def model(self, precision: str = "fp32") -> Sam2Model:
        """Build our engine's network."""
        return build_sam2(
            self.tensors, self.configuration, name="benchmark", key="benchmark", precision=precision
        )


def _shipped() -> Weights:
    path = builtin_folder() / "anysam-nano.yaml"
    network = load_model("anysam-nano", "cpu", "fp32").network
    return Weights(network.state_dict(), read_configuration(path))


def _tiny() -> Weights:
    """SAM 2.1 tiny at full size with seeded random weights; objects count as present."""
    from hydra.utils import instantiate

    configuration = official_configuration("2.1", "tiny")
    torch.manual_seed(0)
    tensors = instantiate(configuration.model, _recursive_=True).state_dict()
    tensors["sam_mask_decoder.pred_obj_score_head.layers.2.bias"].fill_(10.0)
    return Weights(tensors, configuration)


WEIGHTS = {NANO: _shipped, TINY: _tiny}
"""Builders of the weights by the name in the tables."""
