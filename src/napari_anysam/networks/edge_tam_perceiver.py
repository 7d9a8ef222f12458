"""EdgeTAM's spatial perceiver: a plane's memory pressed into a few hundred tokens.

Half of the tokens ask the whole plane, with positions; each of the others asks one window of it and
keeps that window's place in a grid. Source: facebookresearch/EdgeTAM (commit 9cc44bfe),
``sam2/modeling/perceiver.py``, with the settings of ``sam2/configs/edgetam.yaml``; no package holds
it. Names of the modules are the official ones, so that its tensors load as they are.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["SpatialPerceiver"]

_WIDENING = 4


class SpatialPerceiver(nn.Module):
    """Reads a memory (B, C, h, w) into tokens (B, n + m, C).

    Parameters
    ----------
    dim : int
        Channels of a memory.
    depth : int
        Number of layers; both kinds of tokens go through the same ones.
    num_latents : int
        Tokens that see the whole plane, n.
    num_latents_2d : int
        Tokens that see one window each, m: a square number whose root divides h and w.
    """

    def __init__(self, dim: int, depth: int, num_latents: int, num_latents_2d: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(num_latents, dim))
        self.latents_2d = nn.Parameter(torch.randn(num_latents_2d, dim))
        self.layers = nn.ModuleList(_Layer(dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    @property
    def grid(self) -> int:
        """Side of the square of windows."""
        return math.isqrt(len(self.latents_2d))

    def forward(self, memory: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Return the tokens for a memory and its positional encoding, both (B, C, h, w)."""
        return torch.cat([self._of_plane(memory, positions), self._of_windows(memory)], dim=1)

    def _of_plane(self, memory: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        places, pixels = (one.flatten(2).transpose(1, 2) for one in (positions, memory))
        tokens = self.latents.expand(len(memory), -1, -1)
        for layer in self.layers:
            tokens = layer(tokens, pixels, places)
        normed: torch.Tensor = self.norm(tokens)
        return normed

    def _of_windows(self, memory: torch.Tensor) -> torch.Tensor:
        batch, width, rows, columns = memory.shape
        grid = self.grid
        split = memory.reshape(batch, width, grid, rows // grid, grid, columns // grid)
        windows = split.permute(0, 2, 4, 3, 5, 1).reshape(batch * grid * grid, -1, width)
        tokens = self.latents_2d.expand(batch, -1, -1).reshape(-1, 1, width)
        for layer in self.layers:
            tokens = layer(tokens, windows, None)
        normed: torch.Tensor = self.norm(tokens.reshape(batch, -1, width))
        return normed


class _Layer(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.attn = _Reading(dim)
        self.ff = _feed_forward(dim)
        self.self_attn = _Mixing(dim)
        self.self_ff = _feed_forward(dim)

    def forward(
        self, tokens: torch.Tensor, pixels: torch.Tensor, places: torch.Tensor | None
    ) -> torch.Tensor:
        tokens = tokens + self.attn(tokens, pixels, places)
        tokens = tokens + self.ff(tokens)
        tokens = tokens + self.self_attn(tokens)
        mixed: torch.Tensor = tokens + self.self_ff(tokens)
        return mixed


class _Reading(nn.Module):
    """Tokens attend to pixels; places are added to keys and values."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm_x, self.norm_latents = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(
        self, tokens: torch.Tensor, pixels: torch.Tensor, places: torch.Tensor | None
    ) -> torch.Tensor:
        keys, values = self.to_kv(self.norm_x(pixels)).chunk(2, dim=-1)
        if places is not None:
            keys, values = keys + places, values + places
        queries = self.to_q(self.norm_latents(tokens))
        read: torch.Tensor = self.to_out(_attended(queries, keys, values))
        return read


class _Mixing(nn.Module):
    """Tokens attend to each other."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = self.norm(tokens)
        keys, values = self.to_kv(tokens).chunk(2, dim=-1)
        mixed: torch.Tensor = self.to_out(_attended(self.to_q(tokens), keys, values))
        return mixed


def _attended(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Attend with one head, (B, n, C) to (B, m, C)."""
    keys, values = keys.to(queries.dtype), values.to(queries.dtype)
    return F.scaled_dot_product_attention(queries[:, None], keys[:, None], values[:, None])[:, 0]


def _feed_forward(dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(dim),
        nn.Linear(dim, _WIDENING * dim, bias=False),
        nn.GELU(),
        nn.Linear(_WIDENING * dim, dim, bias=False),
    )
