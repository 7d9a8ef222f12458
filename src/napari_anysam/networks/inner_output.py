"""Listening to a layer inside a network that a package holds."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

__all__ = ["output_of"]


@contextmanager
def output_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a layer gives out, one tensor for every time it runs inside the context."""
    heard: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _layer, _given, output: heard.append(output))
    try:
        yield heard
    finally:
        hook.remove()
