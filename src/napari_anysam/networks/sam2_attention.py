"""Reading memories into a plane's features: SAM 2's memory attention, driven for many objects.

As ``SAM2Base._prepare_memory_conditioned_features`` and ``MemoryAttention.forward``, with three
savings that change nothing but rounding:

- The positional constants are computed once, and the first layer's self-attention, which sees no
  memory yet, once per plane for all its objects.
- Attention weights are applied to the memories themselves (64 channels) and the value projection
  (256 channels) comes after. That is exact, because there is one head and the weights of a row add
  up to one, and takes a third of the multiplications out of cross-attention. The fused kernel
  cannot do that, and is left in place on GPUs, where it pays more.
- On the CPU, cross-attention is a few large matrix products instead of the fused kernel, which is
  three times slower there in bfloat16, and a little slower in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sam2.modeling.sam2_base import SAM2Base

    from napari_anysam.networks.tracking_protocol import Recall

__all__ = ["MemoryReader", "PlaneTokens", "rotated"]

_BATCH_TOKENS_CPU = 2**15
_BATCH_TOKENS = 2**18
_ROWS = 256


@dataclass(frozen=True, slots=True, eq=False)
class PlaneTokens:
    """A plane before any memory is read.

    Parameters
    ----------
    tokens : tensor (1, h * w, C) or (B, h * w, C)
        After the first layer's self-attention; one for all objects, or one per object.
    positions : tensor (1, h * w, C)
        Where they are.
    size : (h, w)
        Their grid.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    size: tuple[int, int]

    def rows(self, places: Sequence[int]) -> PlaneTokens:
        """Return those of some objects; one for all stays as it is."""
        if len(self.tokens) == 1:
            return self
        return PlaneTokens(self.tokens[list(places)], self.positions, self.size)


@dataclass(frozen=True, slots=True, eq=False)
class _MemoryTokens:
    """Memories of a batch of objects and their positions (B, n, c); the last are pointers."""

    values: torch.Tensor
    positions: torch.Tensor
    pointer_tokens: int


class MemoryReader:
    """Conditions image features on memories.

    Parameters
    ----------
    network : SAM2Base
        Its ``memory_attention`` and temporal encodings are used.
    """

    def __init__(self, network: SAM2Base) -> None:
        self._network = network
        self._attention = network.memory_attention
        self._on_cpu = network.device.type == "cpu" and all(
            layer.cross_attn_image.num_heads == 1 for layer in self._attention.layers
        )

    @property
    def tokens_each(self) -> int:
        """Tokens of one memory."""
        side = int(self._network.sam_image_embedding_size)
        return side * side

    def batch_size(self, layout: tuple[int, int]) -> int:
        """Return how many objects with so many memories and pointers are best read at once."""
        limit = _BATCH_TOKENS_CPU if self._on_cpu else _BATCH_TOKENS
        return max(1, limit // max(1, layout[0] * self.tokens_each))

    def start(self, image: torch.Tensor) -> PlaneTokens:
        """Return a plane's tokens; ``image`` is (1, C, h, w), or (B, C, h, w) for B objects."""
        encoded = self._network.image_encoder.neck.position_encoding(image[:1])
        positions = encoded.flatten(2).transpose(1, 2).to(image.dtype)
        tokens = image.flatten(2).transpose(1, 2)
        if self._attention.pos_enc_at_input:
            tokens = tokens + 0.1 * positions
        tokens = self._attention.layers[0]._forward_sa(tokens, positions)
        return PlaneTokens(tokens, positions, (image.shape[-2], image.shape[-1]))

    def read(self, plane: PlaneTokens, recalls: Sequence[Recall], plane_count: int) -> torch.Tensor:
        """Return image features (B, C, h, w) that know each object's memories.

        Parameters
        ----------
        plane : PlaneTokens
            From ``start``.
        recalls : sequence of Recall
            Of one layout.
        plane_count : int
            Planes of the whole stack.
        """
        memory = self._memory(recalls, plane, plane_count)
        tokens = plane.tokens.expand(len(recalls), -1, -1)
        for number, layer in enumerate(self._attention.layers):
            if number:
                tokens = layer._forward_sa(tokens, plane.positions)
            tokens = self._cross(layer, tokens, plane.positions, memory)
            hidden = layer.activation(layer.linear1(layer.norm3(tokens)))
            tokens = tokens + layer.linear2(hidden)
        normed: torch.Tensor = self._attention.norm(tokens)
        return normed.transpose(1, 2).reshape(len(recalls), -1, *plane.size)

    def _cross(
        self, layer: Any, tokens: torch.Tensor, positions: torch.Tensor, memory: _MemoryTokens
    ) -> torch.Tensor:
        """As ``MemoryAttentionLayer._forward_ca``."""
        if self._fused:
            crossed: torch.Tensor = layer._forward_ca(
                tokens, memory.values, positions, memory.positions, memory.pointer_tokens
            )
            return crossed
        attention = layer.cross_attn_image
        query = layer.norm2(tokens)
        if layer.pos_enc_at_cross_attn_queries:
            query = query + positions
        keys = memory.values
        if layer.pos_enc_at_cross_attn_keys:
            keys = keys + memory.positions
        query, keys = attention.q_proj(query), attention.k_proj(keys)
        spatial = keys.shape[1] - memory.pointer_tokens
        query = rotated(query, self._rotations(attention)) * attention.internal_dim**-0.5
        turned = self._turned_keys(attention, keys[:, :spatial])
        keys = torch.cat([turned, keys[:, spatial:]], dim=1)
        read = _attended(query, keys, memory.values.to(keys.dtype))
        attended: torch.Tensor = tokens + attention.out_proj(attention.v_proj(read))
        return attended

    def _turned_keys(self, attention: Any, keys: torch.Tensor) -> torch.Tensor:
        """Rotate the keys (B, r * h * w, d) of r memories by their places."""
        return rotated(keys, self._rotations(attention))

    @property
    def _fused(self) -> bool:
        """Whether the package's own cross-attention is the better choice."""
        return not self._on_cpu

    def _rotations(self, attention: Any) -> torch.Tensor:
        """Return the rotary encoding (h * w, d / 2), complex."""
        side = int(self._network.sam_image_embedding_size)
        if attention.freqs_cis.shape[0] != side * side:
            attention.freqs_cis = attention.compute_cis(end_x=side, end_y=side)
        attention.freqs_cis = attention.freqs_cis.to(self._network.device)
        rotations: torch.Tensor = attention.freqs_cis
        return rotations

    def _memory(
        self, recalls: Sequence[Recall], plane: PlaneTokens, plane_count: int
    ) -> _MemoryTokens:
        """Put memories and pointers of a batch of objects in line."""
        # Memories may be older than a move to another device, and fp16 autocast joins no bfloat16.
        alike = plane.tokens
        dtype = alike.dtype
        values = torch.stack(
            [torch.cat([one.to(alike) for one in recall.features]) for recall in recalls]
        )
        places = torch.stack([self._spatial_positions(recall.ages) for recall in recalls])
        if not recalls[0].pointers:
            return _MemoryTokens(values, places.to(dtype), 0)
        width = values.shape[-1]
        pointers = torch.stack(
            [torch.stack([one.to(alike) for one in recall.pointers]) for recall in recalls]
        )
        times = torch.stack(
            [self._pointer_positions(recall.distances, plane_count) for recall in recalls]
        )
        # A pointer is wider than a memory: it is cut into tokens that share their time.
        tokens_each = pointers.shape[-1] // width
        pointers = pointers.reshape(len(recalls), -1, width)
        values = torch.cat([values, pointers], dim=1)
        places = torch.cat([places, times.repeat_interleave(tokens_each, dim=1)], dim=1)
        return _MemoryTokens(values, places.to(dtype), pointers.shape[1])

    def _spatial_positions(self, ages: Sequence[int]) -> torch.Tensor:
        """Return where and when the tokens of so old memories are (n * h * w, c)."""
        # Age 0 is an anchor: the last temporal encoding, whatever its distance.
        return torch.cat([self._memory_positions[age - 1] for age in ages])

    @cached_property
    def _memory_positions(self) -> torch.Tensor:
        """Spatial and temporal encodings (ages, h * w, c) of memories."""
        network = self._network
        side = network.sam_image_embedding_size
        blank = network.maskmem_tpos_enc.new_empty(1, 1, side, side)
        grid = network.memory_encoder.position_encoding(blank).flatten(2).transpose(1, 2)
        encoded: torch.Tensor = grid + network.maskmem_tpos_enc[:, 0]
        return encoded

    def _pointer_positions(self, distances: Sequence[int], plane_count: int) -> torch.Tensor:
        """Return when pointers of so far planes were made (n, c)."""
        from sam2.modeling.sam2_utils import get_1d_sine_pe

        network = self._network
        parameter: torch.Tensor = network.maskmem_tpos_enc
        if not network.add_tpos_enc_to_obj_ptrs:
            return parameter.new_zeros(len(distances), network.mem_dim)
        width = network.hidden_dim if network.proj_tpos_enc_in_obj_ptrs else network.mem_dim
        span = min(plane_count, network.max_obj_ptrs_in_encoder) - 1
        times = torch.tensor(distances, device=parameter.device) / span
        projected: torch.Tensor = network.obj_ptr_tpos_proj(get_1d_sine_pe(times, dim=width))
        return projected


def rotated(tokens: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    """Rotate (B, r * h * w, d) tokens by their places, as ``apply_rotary_enc`` does."""
    batch, count, width = tokens.shape
    pairs = tokens.float().reshape(batch, -1, len(rotations), width // 2, 2)
    turned = torch.view_as_real(torch.view_as_complex(pairs) * rotations)
    return turned.reshape(batch, count, width).to(tokens.dtype)


def _attended(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return softmax(query @ keys.T) @ values for (B, n, d) tensors, some rows at a time."""
    batch, rows, _ = query.shape
    read = query.new_empty(batch, rows, values.shape[-1])
    weights = query.new_empty(min(_ROWS, rows), keys.shape[1])
    for one in range(batch):
        turned = keys[one].t()
        for first in range(0, rows, _ROWS):
            last = min(first + _ROWS, rows)
            part = weights[: last - first]
            torch.mm(query[one, first:last], turned, out=part)
            torch.softmax(part, dim=-1, out=part)
            torch.mm(part, values[one], out=read[one, first:last])
    return read
