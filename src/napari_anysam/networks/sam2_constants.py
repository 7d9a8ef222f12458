"""Modules of SAM 2 that compute their positional constants once, not with every image.

The package copies the sine encodings of every level for each image, although one level is used and
never changed, and interpolates the encoder's own positions anew. Each module keeps what it computed
in its ``cache``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.position_encoding import PositionEmbeddingSine

if TYPE_CHECKING:
    import torch

__all__ = ["KEEPERS"]


class KeptSinePositions(PositionEmbeddingSine):  # type: ignore[misc]  # has no types
    """Hands out one encoding (B, C, H, W) per size as a view."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the encoding of every place of a map (B, C, H, W)."""
        size = tuple(image.shape[-2:])
        if size not in self.cache:
            super().forward(image[:1])
        kept: torch.Tensor = self.cache[size].to(image.device)
        return kept.expand(len(image), -1, -1, -1)


class KeptHieraPositions(Hiera):  # type: ignore[misc]  # has no types
    """Interpolates its positions once for every size."""

    cache: dict[tuple[int, int], torch.Tensor]

    def _get_pos_embed(self, hw: tuple[int, int]) -> torch.Tensor:
        if hw not in self.cache:
            self.cache[hw] = super()._get_pos_embed(hw)
        return self.cache[hw]


KEEPERS = (KeptSinePositions, KeptHieraPositions)
